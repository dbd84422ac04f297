"""The judges judge: every game is one call, whose verdict is stored before anything is made of it.

A judge's nonsense is asked for once more in other words, then counted as an error; it never becomes a score. What a
judge has said before to the same prompt with the same settings comes from the cache and costs nothing.
"""

import hashlib
import json
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass

from django.conf import settings

from evaluation.calls import Call, Caller, Completion, Outcome
from evaluation.errors import Broken, Gone
from evaluation.models import CachedJudgment, EvaluationRun, Judge, StoredAnswer, StoredVerdict
from evaluation.records import Answer, Question
from evaluation.services import asking, games, judge_prompts, judges
from evaluation.services.answering import UNREACHABLE
from evaluation.services.asking import Asked
from evaluation.services.games import Game
from evaluation.services.settings import room, storable
from workers.models import ChatModel
from workers.protocol import ChatMessage, Sampling

# Calls that gave no verdict before the game is given up: the first, and one that asks for the verdict alone.
MOST_TRIES = 2
FRESH = "fresh"
"""A run's parameter: judges are asked anew also where the cache knows what they said."""
# Games settled from the cache before the lease is looked after.
BETWEEN_LOOKS = 100


class Grading:
    """The second phase of a run. Resumed, it leaves out the games that have a row."""

    def __init__(self, run: EvaluationRun, questions: Sequence[Question]):
        self._run = run
        self._questions = {str(question.id): question for question in questions}
        self._answers = {
            (row.chat_model, row.question_id): row
            for row in StoredAnswer.objects.filter(run=run, complete=True, error_message="")
        }
        self._judges = {judge.name: judge for judge in Judge.objects.filter(name__in=run.judges)}
        self._rooms = {name: self._room(judge) for name, judge in self._judges.items()}
        self._identities = {name: _identity(judge) for name, judge in self._judges.items()}
        self._prompts = judge_prompts.of(run)
        self._callers: dict[str, Caller] = {}
        self._busy: Counter[str] = Counter()
        self._open: dict[Game, _Try] = {}
        stored = StoredVerdict.objects.filter(run=run)
        finished = {
            Game(*row)
            for row in stored.values_list("judge", "question_id", "turn", "model_1", "model_2", "game")
        }
        self.done = len(finished)
        self.errors = stored.filter(failed=True).count()
        self._waiting: dict[str, deque[Game]] = {name: deque() for name in run.judges}
        for game in games.wanted(
            mode=run.mode,
            chat_models=run.chat_models,
            baseline=run.baseline,
            judges=run.judges,
            questions=questions,
        ):
            if game not in finished:
                self._waiting[game.judge].append(game)

    @property
    def left(self) -> bool:
        return any(self._waiting.values())

    @property
    def wanted(self) -> set[str]:
        """The chat models of the catalog that still have something to judge."""
        judging = (self._judges[name] for name, waiting in self._waiting.items() if waiting)
        return {judge.model for judge in judging if not judge.remote}

    def ready(self) -> tuple[Game, Caller, Call] | None:
        """The next call to start. None when nothing can be started, or after a while of games that needed no call."""
        settled_before = self.done
        for name, waiting in self._waiting.items():
            while (
                waiting
                and self._busy[name] < self._rooms[name]
                and self.done - settled_before < BETWEEN_LOOKS
            ):
                game = waiting.popleft()
                call = self._begin(game)
                if call is not None:
                    self._busy[name] += 1
                    return game, self._caller(name), call
        return None

    def take(self, outcome: Outcome[Game]) -> None:
        """Store the verdict, or ask once more. Raises `Broken` when the judge is gone for good."""
        game, error = outcome.key, outcome.error
        self._busy[game.judge] -= 1
        if error and (error.fatal or error.code in UNREACHABLE):
            kind = Gone if error.code in UNREACHABLE else Broken
            raise kind(f"Judge {game.judge}: {error} Then resume the run.")
        attempt = self._open[game]
        attempt.failures += outcome.failures
        if outcome.completion is None:
            self._store(game, attempt, None, error_message=str(error))
            return
        attempt.add(outcome.completion)
        verdict = asking.read(attempt.asked, outcome.completion.text)
        if verdict is None and attempt.tries < MOST_TRIES:
            attempt.failures += 1
            self._waiting[game.judge].appendleft(game)  # `_begin` goes on with the same try
            return
        if verdict is None:
            attempt.failures += 1
            self._store(game, attempt, None, error_message="The judge's answer holds no verdict.")
            return
        self._remember(game, attempt, outcome.completion)
        self._store(game, attempt, verdict)

    def _begin(self, game: Game) -> Call | None:
        """The call that the game needs now; None when it is settled without one."""
        if game in self._open:
            return self._call(game, asking.once_more(self._open[game].asked, self._open[game].text))
        names = [name for name in (game.model_1, game.model_2) if name]
        answers = [self._answers.get((name, game.question_id)) for name in names]
        if None in answers:
            absent = names[answers.index(None)]
            attempt = self._open[game] = _Try(Asked.nothing(), "")
            self._store(game, attempt, None, error_message=f"{absent} gave no answer.")
            return None
        asked = asking.ask(
            self._questions[game.question_id],
            [
                Answer(answer.question_id, answer.chat_model, tuple(answer.turns))
                for answer in answers
                if answer
            ],
            turn=game.turn,
            swapped=game.game == 2,
            from_file=self._prompts,
        )
        call = self._call(game, asked.messages)
        attempt = self._open[game] = _Try(asked, content_key(self._identities[game.judge], call))
        return None if self._from_cache(game, attempt) else call

    def _call(self, game: Game, messages: tuple[ChatMessage, ...]) -> Call:
        judge = self._judges[game.judge]
        sampling = Sampling(temperature=judge.temperature, max_tokens=judge.max_tokens)
        schema = asking.schema(pair=bool(game.model_2)) if judge.structured else None
        return Call(messages, sampling, schema)

    def _from_cache(self, game: Game, attempt: "_Try") -> bool:
        if self._run.parameters.get(FRESH):
            return False
        cached = CachedJudgment.objects.filter(content_key=attempt.content_key).first()
        verdict = asking.read(attempt.asked, cached.text) if cached else None
        if cached is None or verdict is None:
            return False
        attempt.text, attempt.cached = cached.text, True
        self._store(game, attempt, verdict)
        return True

    def _remember(self, game: Game, attempt: "_Try", completion: Completion) -> None:
        CachedJudgment.objects.get_or_create(
            content_key=attempt.content_key,
            defaults={
                "judge": game.judge,
                "text": storable(completion.text),
                "prompt_tokens": attempt.prompt_tokens,
                "completion_tokens": attempt.completion_tokens,
            },
        )

    def _store(
        self, game: Game, attempt: "_Try", verdict: "asking.Read | None", *, error_message: str = ""
    ) -> None:
        StoredVerdict.objects.create(
            run=self._run,
            kind=game.kind,
            question_id=game.question_id,
            turn=game.turn,
            judge=game.judge,
            model_1=game.model_1,
            model_2=game.model_2,
            game=game.game,
            content_key=attempt.content_key,
            score=verdict.score if verdict else None,
            winner=verdict.winner if verdict else ("error" if game.model_2 else ""),
            prompt_name=attempt.asked.prompt_name,
            user_prompt=storable(attempt.asked.user_prompt),
            judgment=storable(attempt.text),
            failed=verdict is None,
            error_message=storable(error_message)[:500],
            attempts=attempt.failures,
            cached=attempt.cached,
            prompt_tokens=attempt.prompt_tokens,
            completion_tokens=attempt.completion_tokens,
            seconds=attempt.seconds,
        )
        del self._open[game]
        self.done += 1
        self.errors += verdict is None

    def _room(self, judge: Judge) -> int:
        return judge.concurrency if judge.remote else room(judge.model, self._run.parameters)

    def _caller(self, name: str) -> Caller:
        if name not in self._callers:
            seconds = float(self._run.parameters.get("timeout") or settings.GENERATION_TIMEOUT)
            self._callers[name] = judges.caller_of(self._judges[name], timeout=seconds)
        return self._callers[name]


@dataclass(slots=True)
class _Try:
    """What has been asked for one game so far, and what it took."""

    asked: Asked
    content_key: str
    text: str = ""
    tries: int = 0
    failures: int = 0
    cached: bool = False
    prompt_tokens: int = 0
    completion_tokens: int = 0
    seconds: float = 0.0

    def add(self, completion: Completion) -> None:
        self.text = completion.text
        self.tries += 1
        self.prompt_tokens += completion.prompt_tokens
        self.completion_tokens += completion.completion_tokens
        self.seconds += completion.seconds


def content_key(identity: str, call: Call) -> str:
    """SHA-256 of everything that decides what the judge says: who it is, the prompt and the settings."""
    said = {
        "judge": identity,
        "messages": [[message.role, message.content] for message in call.messages],
        "temperature": call.sampling.temperature,
        "max_tokens": call.sampling.max_tokens,
        "schema": call.schema,
    }
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def _identity(judge: Judge) -> str:
    """What the judge is, whatever it is called: another checkpoint under the same name is another judge."""
    if judge.remote:
        return f"{judge.base_url.rstrip('/')} {judge.model}"
    model = ChatModel.objects.filter(name=judge.model).first()
    return f"{model.engine} {model.checkpoint}" if model and model.checkpoint else judge.model
