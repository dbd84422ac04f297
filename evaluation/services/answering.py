"""The chat models answer: every turn is one call, and is stored before the next one is asked.

Knows which call comes next and what becomes of its outcome; who runs the calls is `evaluation.services.runner`.
"""

from collections import Counter, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from django.conf import settings

from evaluation.calls import Call, Caller, CatalogCaller, Outcome
from evaluation.errors import Broken, Gone
from evaluation.models import EvaluationRun, StoredAnswer
from evaluation.records import Question
from evaluation.services.settings import DEFAULT_MAX_TOKENS, room, storable, temperature_of
from workers.models import ChatModel
from workers.protocol import ChatMessage, ErrorCode, Sampling

# Codes of calls that fail because nobody is there to take them.
UNREACHABLE = (ErrorCode.NO_WORKER, "broker")


@dataclass(frozen=True, slots=True)
class AnswerKey:
    chat_model: str
    question_id: str


class Answering:
    """The first phase of a run. Resumed, it goes on behind the last stored turn of each answer."""

    def __init__(self, run: EvaluationRun, questions: Sequence[Question]):
        self._run = run
        self._parameters = run.parameters
        self._questions = {str(question.id): question for question in questions}
        self._rows = {
            AnswerKey(row.chat_model, row.question_id): row for row in StoredAnswer.objects.filter(run=run)
        }
        self._models = {model.name: model for model in ChatModel.objects.filter(name__in=run.chat_models)}
        self._callers: dict[str, Caller] = {}
        self._rooms = {name: room(name, self._parameters) for name in run.chat_models}
        self._busy: Counter[str] = Counter()
        self._waiting = {name: deque(self._unfinished(name, questions)) for name in run.chat_models}
        # A question that was given up counts as if all of its turns had been asked.
        self.done = sum(
            len(self._questions[key.question_id].turns) if row.error_message else len(row.turns)
            for key, row in self._rows.items()
        )
        self.errors = sum(1 for row in self._rows.values() if row.error_message)

    @property
    def left(self) -> bool:
        return any(self._waiting.values())

    @property
    def wanted(self) -> set[str]:
        """The chat models that still have something to answer."""
        return {name for name, waiting in self._waiting.items() if waiting}

    def ready(self) -> tuple[AnswerKey, Caller, Call] | None:
        """The next call to start; None when all chat models have what they can take, or nothing is left."""
        for name, waiting in self._waiting.items():
            if waiting and self._busy[name] < self._rooms[name]:
                key = self._next(waiting, self._rooms[name])
                self._busy[name] += 1
                return key, self._caller(name), self._call(key)
        return None

    def take(self, outcome: Outcome[AnswerKey]) -> None:
        """Store what came of a call. Raises `Broken` when the chat model is gone for good."""
        key = outcome.key
        self._busy[key.chat_model] -= 1
        if outcome.error and (outcome.error.fatal or outcome.error.code in UNREACHABLE):
            kind = Gone if outcome.error.code in UNREACHABLE else Broken
            raise kind(f"{key.chat_model}: {outcome.error} Start a worker for it, then resume.")
        row = self._row(key)
        row.attempts += outcome.failures
        if outcome.completion is None:
            row.complete, row.outcome = True, (outcome.error.code if outcome.error else "")[:32]
            row.error_message = storable(str(outcome.error))[:500]
            self.errors += 1
            self.done += len(self._questions[key.question_id].turns) - len(row.turns)
        else:
            self._add_turn(key, row, outcome)
            self.done += 1
        row.save()
        if not row.complete:
            # In front: its conversation is still in the engine's cache.
            self._waiting[key.chat_model].appendleft(key)

    def _next(self, waiting: deque[AnswerKey], room: int) -> AnswerKey:
        """The first that waits; of the last ones the one with most turns to come, or the engine ends half empty."""
        if len(waiting) > room:
            return waiting.popleft()
        longest = max(waiting, key=self._turns_left)
        waiting.remove(longest)
        return longest

    def _turns_left(self, key: AnswerKey) -> int:
        row = self._rows.get(key)
        return len(self._questions[key.question_id].turns) - (len(row.turns) if row else 0)

    def _add_turn(self, key: AnswerKey, row: StoredAnswer, outcome: Outcome[AnswerKey]) -> None:
        completion = outcome.completion
        assert completion is not None
        row.turns = [*row.turns, storable(completion.text)]
        row.outcome = completion.outcome[:32]
        row.prompt_tokens += completion.prompt_tokens
        row.completion_tokens += completion.completion_tokens
        row.seconds += completion.seconds
        row.complete = len(row.turns) >= len(self._questions[key.question_id].turns)

    def _unfinished(self, name: str, questions: Iterable[Question]) -> Iterable[AnswerKey]:
        for question in questions:
            key = AnswerKey(name, str(question.id))
            row = self._rows.get(key)
            if row is None or not row.complete:
                yield key

    def _row(self, key: AnswerKey) -> StoredAnswer:
        if key not in self._rows:
            self._rows[key] = StoredAnswer(
                run=self._run, chat_model=key.chat_model, question_id=key.question_id
            )
        return self._rows[key]

    def _caller(self, name: str) -> Caller:
        if name not in self._callers:
            seconds = float(self._parameters.get("timeout") or settings.GENERATION_TIMEOUT)
            self._callers[name] = CatalogCaller(name, timeout=seconds)
        return self._callers[name]

    def _call(self, key: AnswerKey) -> Call:
        question, row = self._questions[key.question_id], self._rows.get(key)
        model = self._models.get(key.chat_model)
        messages = [ChatMessage("system", model.system_prompt)] if model and model.system_prompt else []
        said = row.turns if row else []
        for text, answer in zip(question.turns, said, strict=False):
            messages += [ChatMessage("user", text), ChatMessage("assistant", answer)]
        messages.append(ChatMessage("user", question.turns[len(said)]))
        return Call(tuple(messages), self._sampling(question, model))

    def _sampling(self, question: Question, model: ChatModel | None) -> Sampling:
        return Sampling(
            temperature=temperature_of(question, self._parameters),
            top_p=model.top_p if model else None,
            max_tokens=int(self._parameters.get("max_tokens") or DEFAULT_MAX_TOKENS),
            seed=self._parameters.get("seed"),
        )
