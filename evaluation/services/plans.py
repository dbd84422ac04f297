"""What an evaluation would do and take, before anything is spent."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from django.db.models import Sum

from evaluation.errors import CannotEvaluate
from evaluation.models import EvaluationRun, Judge, StoredAnswer, StoredVerdict
from evaluation.records import Question
from evaluation.services import games, judge_prompts, judges, suites
from evaluation.services.settings import DEFAULT_MAX_TOKENS, room
from evaluation.suites import Suite
from workers import client
from workers.models import ChatModel

Mode = EvaluationRun.Mode
JUDGED = tuple(mode.value for mode in Mode if mode != Mode.HARNESS)
"""The modes in which judges look at answers."""
LIMITS = {
    "limit": (1, 1_000_000),
    "concurrency": (1, 4096),
    "max_tokens": (1, 1_000_000),
    "temperature": (0, 2),
    "seed": (0, 2**31 - 1),
    "timeout": (1, 86_400),
    "attempts": (1, 100),
}
# Where nothing was measured yet: an answer's length, and a small model's pace on a small machine.
GUESSED_ANSWER_TOKENS = 300
GUESSED_JUDGMENT_TOKENS = 200
GUESSED_TOKENS_PER_SECOND = 100.0
GUESSED_REMOTE_SECONDS = 6.0
# A judge's prompt around question and answers, in tokens.
PROMPT_FRAME = 250


@dataclass(frozen=True, slots=True)
class Plan:
    suite: Suite
    suite_source: str
    chat_models: tuple[str, ...]
    judges: tuple[Judge, ...]
    mode: str
    baseline: str
    parameters: dict[str, Any]
    questions: Sequence[Question] = field(repr=False, default=())
    answered: bool = False
    """The answers are there already."""

    @property
    def answer_calls(self) -> int:
        return len(self.chat_models) * sum(len(question.turns) for question in self.questions)

    @property
    def verdict_calls(self) -> int:
        return games.count(
            mode=self.mode,
            chat_models=self.chat_models,
            baseline=self.baseline,
            judges=[judge.name for judge in self.judges],
            questions=self.questions,
        )


@dataclass(frozen=True, slots=True)
class Estimate:
    """Foreseen, not promised: from earlier runs where there are some, else from round guesses."""

    answer_calls: int
    verdict_calls: int
    prompt_tokens: int
    """To judges."""
    completion_tokens: int
    """Of judges."""
    seconds: float
    cost: float
    """In the currency of the judges' prices."""
    measured: bool
    """Whether earlier runs of these chat models are behind the time."""

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def plan(
    *,
    suite: str,
    chat_models: Sequence[str],
    judge_names: Sequence[str] = (),
    mode: str = Mode.SINGLE,
    baseline: str = "",
    parameters: Mapping[str, Any] | None = None,
    loaded: Suite | None = None,
    prompts: judge_prompts.Rows = (),
) -> Plan:
    """Check everything that can be checked. Raises `CannotEvaluate`, naming the field and what helps.

    `suite` is where the questions come from; `loaded` are the questions when the caller has them already. `prompts` are
    records of FastChat's judge prompts, to be used in place of ours.
    """
    chosen = check_parameters(parameters or {})
    names = tuple(dict.fromkeys(name.strip() for name in chat_models if name.strip()))
    names = _with_baseline(names, mode, baseline)
    check_models(names)
    loaded = loaded or suites.load(suite)
    questions = list(loaded.questions)[: chosen.get("limit")]
    suites.check(questions=questions, source=suite)
    if prompts:
        judge_prompts.check(rows=prompts, pair=mode != Mode.SINGLE, questions=questions)
        chosen[judge_prompts.PARAMETER] = [dict(row) for row in prompts]
    return Plan(
        suite=loaded,
        suite_source=suite,
        chat_models=names,
        judges=tuple(judges.named(names=judge_names)),
        mode=mode,
        baseline=baseline if mode == Mode.PAIRWISE_BASELINE else "",
        parameters=chosen,
        questions=questions,
    )


def estimate(*, plan: Plan) -> Estimate:
    answer_tokens, measured = _answer_tokens(plan.chat_models)
    prompt = completion = 0
    cost = seconds = 0.0
    seconds += 0.0 if plan.answered else _answer_seconds(plan, answer_tokens)
    per_judge = plan.verdict_calls // max(1, len(plan.judges))
    answers_shown = 1 if plan.mode == Mode.SINGLE else 2
    shown = PROMPT_FRAME + answers_shown * answer_tokens + _question_tokens(plan.questions)
    for judge in plan.judges:
        said = min(judge.max_tokens, GUESSED_JUDGMENT_TOKENS)
        prompt += per_judge * shown
        completion += per_judge * said
        cost += per_judge * (shown * judge.prompt_price + said * judge.completion_price) / 1e6
        seconds += _judge_seconds(judge, per_judge, said)
    return Estimate(
        answer_calls=0 if plan.answered else plan.answer_calls,
        verdict_calls=plan.verdict_calls,
        prompt_tokens=prompt,
        completion_tokens=completion,
        seconds=round(seconds, 1),
        cost=round(cost, 4),
        measured=measured,
    )


def tokens_of(text: str) -> int:
    """A guess: four characters of an alphabet a token, or one of Chinese, Japanese or Korean."""
    wide = sum(1 for character in text if ord(character) >= 0x2E80)
    return math.ceil((len(text) - wide) / 4) + wide


def check_parameters(given: Mapping[str, Any]) -> dict[str, Any]:
    """Those that are given. Raises `CannotEvaluate` for one that is not known, or out of its limits."""
    chosen = {}
    for name, value in given.items():
        if value is None:
            continue
        if name in LIMITS:
            least, most = LIMITS[name]
            if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
                raise CannotEvaluate(
                    name, f"{name}: {value!r} is not possible; say a number from {least} to {most}."
                )
        elif name != "foreground":
            raise CannotEvaluate(name, f"{name}: no such setting; there are {', '.join(LIMITS)}.")
        chosen[name] = value
    return chosen


def _with_baseline(names: tuple[str, ...], mode: str, baseline: str) -> tuple[str, ...]:
    """The chat models of the run; a baseline takes part, since it has to answer as well."""
    if mode not in JUDGED:
        raise CannotEvaluate("mode", f"{mode!r} is no mode; there are {', '.join(JUDGED)}.")
    if not names:
        raise CannotEvaluate("chat_models", "Name at least one chat model: --models NAME …")
    if mode == Mode.PAIRWISE_BASELINE:
        if not baseline:
            raise CannotEvaluate("baseline", "Pairwise against a baseline needs one: --baseline NAME")
        names = tuple(dict.fromkeys([*names, baseline]))
    elif baseline:
        raise CannotEvaluate(
            "baseline", f"A baseline is for the mode {Mode.PAIRWISE_BASELINE}, not for {mode}."
        )
    if mode != Mode.SINGLE and len(names) < 2:
        raise CannotEvaluate(
            "chat_models", "A pairwise evaluation compares two chat models or more. Name another."
        )
    return names


def check_models(names: Sequence[str]) -> None:
    """Raises `CannotEvaluate` for a name that the catalog does not have, and for one without a worker."""
    known = set(ChatModel.objects.values_list("name", flat=True))
    for name in names:
        if name not in known:
            listed = ", ".join(sorted(known)) or "it is empty"
            raise CannotEvaluate("chat_models", f"{name!r} is not a chat model of the catalog ({listed}).")
    for name in names:
        if not client.is_served(name):
            raise CannotEvaluate(
                "chat_models", f"No worker serves {name!r}. Start one: manage.py worker --model {name}"
            )


def _answer_tokens(names: Sequence[str]) -> tuple[int, bool]:
    """Tokens of a turn, and whether that was measured."""
    rows = list(
        StoredAnswer.objects.filter(chat_model__in=names, complete=True, completion_tokens__gt=0)
        .order_by("-id")
        .values_list("completion_tokens", "turns")[:500]
    )
    turns = sum(len(texts) for _, texts in rows)
    if not turns:
        return GUESSED_ANSWER_TOKENS, False
    return max(1, round(sum(tokens for tokens, _ in rows) / turns)), True


def _answer_seconds(plan: Plan, answer_tokens: int) -> float:
    limit = int(plan.parameters.get("max_tokens") or DEFAULT_MAX_TOKENS)
    turns = sum(len(question.turns) for question in plan.questions)
    return sum(
        turns * min(limit, answer_tokens) / pace(chat_model=name, parameters=plan.parameters)
        for name in plan.chat_models
    )


def pace(*, chat_model: str, parameters: Mapping[str, Any]) -> float:
    """Tokens a second that the chat model's engines gave in its newest run, all calls together; a guess without one."""
    newest = (
        StoredAnswer.objects.filter(chat_model=chat_model, complete=True, completion_tokens__gt=0)
        .order_by("-id")
        .values_list("run_id", flat=True)
        .first()
    )
    if newest is None:
        return GUESSED_TOKENS_PER_SECOND
    sums = StoredAnswer.objects.filter(run_id=newest, chat_model=chat_model).aggregate(
        tokens=Sum("completion_tokens"), seconds=Sum("seconds")
    )
    at_once = room(chat_model, parameters)
    return max(0.1, at_once * (sums["tokens"] or 0) / max(0.001, sums["seconds"] or 0.0))


def _question_tokens(questions: Sequence[Question]) -> int:
    texts = [text for question in questions for text in question.turns]
    return round(sum(map(tokens_of, texts)) / max(1, len(texts)))


def _judge_seconds(judge: Judge, calls: int, tokens: int) -> float:
    measured = (
        StoredVerdict.objects.filter(judge=judge.name, cached=False, failed=False, seconds__gt=0)
        .order_by("-id")
        .values_list("seconds", flat=True)[:200]
    )
    waits = list(measured)
    if waits:
        at_once = judge.concurrency if judge.remote else room(judge.model, {})
        return calls * sum(waits) / len(waits) / at_once
    if judge.remote:
        return calls * GUESSED_REMOTE_SECONDS / judge.concurrency
    return calls * tokens / GUESSED_TOKENS_PER_SECOND
