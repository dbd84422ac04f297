"""A strong model writes reference answers into a suite's file, for the judges to compare with."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from django.conf import settings

from evaluation.calls import Call, Caller, Outcome, Pool
from evaluation.errors import Broken, CannotEvaluate
from evaluation.formats import fastchat, jsonl
from evaluation.judges.prompts import REFERENCED_CATEGORIES
from evaluation.models import Judge
from evaluation.records import Question
from evaluation.services import judges
from evaluation.services.answering import UNREACHABLE
from evaluation.services.settings import room, storable
from evaluation.suites import Suite
from workers.protocol import ChatMessage, Sampling

MAX_TOKENS = 2048
ATTEMPTS = 6
TICK = 1.0

Tell = Callable[[str], None]


def wanted(*, suite: Suite, categories: Sequence[str] = (), replacing: bool = False) -> list[Question]:
    """The questions that are to get a reference: of `categories`, else of those in which judges are shown one.

    Whoever has one for each turn keeps it, unless `replacing`. Raises `CannotEvaluate` for a category that is none.
    """
    known = {name.lower() for name in suite.categories}
    chosen = {name.lower() for name in categories} or REFERENCED_CATEGORIES
    if unknown := sorted(chosen - known if categories else ()):
        raise CannotEvaluate(
            "categories",
            f"{unknown[0]!r} is no category of {suite.name} ({', '.join(sorted(known)) or 'none'}).",
        )
    return [
        question
        for question in suite.questions
        if question.category.lower() in chosen and (replacing or not _complete(question))
    ]


def write(
    *, suite: Suite, questions: Sequence[Question], author: Judge, path: Path, max_tokens: int, tell: Tell
) -> list[str]:
    """Write the suite to `path`, with references by `author` for `questions`. Returns the ids that got none.

    Each reference is in the file before the next one is asked for, so a call that was paid is never made twice: with
    the same arguments it goes on where it stopped. Raises `CannotEvaluate` when `path` is another suite's file, and
    `Broken` when the author cannot be asked any more.
    """
    asked = {str(question.id) for question in questions}
    done = _begun(path, suite, asked)
    rows = {str(question.id): question for question in suite.questions}
    rows |= done
    waiting = [question for question in questions if str(question.id) not in done]
    failed: list[str] = []
    if not waiting:
        _save(path, suite, rows)
        return failed
    # Those that are still to come are left out, which is how a later start tells them.
    _save(path, suite, {key: row for key, row in rows.items() if key not in asked or key in done})
    author_calls = _Author(author, waiting, max_tokens)
    for question, reference in author_calls.answers():
        key = str(question.id)
        if reference is None:
            failed.append(key)
            continue
        rows[key] = replace(question, reference=reference)
        with path.open("a", encoding="utf-8") as file:
            file.write(jsonl.line(fastchat.question_row(rows[key])) + "\n")
        tell(f"{key}: {len(waiting) - len(author_calls.left)} of {len(waiting)}")
    if not failed:
        _save(path, suite, rows)
    return failed


class _Author:
    """Asks one model the turns of each question, one conversation a question."""

    def __init__(self, author: Judge, questions: Sequence[Question], max_tokens: int):
        self.left = {str(question.id): question for question in questions}
        self._room = author.concurrency if author.remote else room(author.model, {})
        self._caller: Caller = judges.caller_of(author, timeout=float(settings.GENERATION_TIMEOUT))
        self._sampling = Sampling(temperature=author.temperature, max_tokens=max_tokens)
        self._said: dict[str, tuple[str, ...]] = {}

    def answers(self) -> Iterator[tuple[Question, tuple[str, ...] | None]]:
        """As they come; None for one that could not be had. Raises `Broken` when no further one can be had."""
        waiting = list(reversed(self.left))
        with Pool[str](attempts=ATTEMPTS) as pool:
            while self.left:
                while waiting and pool.running < self._room:
                    key = waiting.pop()
                    pool.start(key, self._caller, self._call(key))
                outcome = pool.next(TICK)
                if outcome is None:
                    continue
                if self._take(outcome):
                    waiting.append(outcome.key)  # its next turn comes first
                    continue
                question = self.left.pop(outcome.key)
                yield question, self._said.get(outcome.key) if outcome.completion else None

    def _take(self, outcome: Outcome[str]) -> bool:
        """Whether the question has another turn to be asked."""
        if outcome.error and (outcome.error.fatal or outcome.error.code in UNREACHABLE):
            raise Broken(f"{outcome.error} What is written is kept; start again with the same arguments.")
        if outcome.completion is None:
            return False
        said = (*self._said.get(outcome.key, ()), storable(outcome.completion.text))
        self._said[outcome.key] = said
        return len(said) < len(self.left[outcome.key].turns)

    def _call(self, key: str) -> Call:
        question, said = self.left[key], self._said.get(key, ())
        messages: list[ChatMessage] = []
        for text, answer in zip(question.turns, said, strict=False):
            messages += [ChatMessage("user", text), ChatMessage("assistant", answer)]
        return Call((*messages, ChatMessage("user", question.turns[len(said)])), self._sampling)


def _begun(path: Path, suite: Suite, asked: set[str]) -> dict[str, Question]:
    """The references that an earlier start has written into the file."""
    if not path.exists():
        return {}
    try:
        found = fastchat.read_questions(path.read_text("utf-8").split("\n"), str(path))
    except (OSError, ValueError) as error:
        raise CannotEvaluate("out", f"{error}. Name another file with --out.") from None
    same = {str(question.id): question.turns for question in suite.questions}
    if any(same.get(str(question.id)) != question.turns for question in found):
        raise CannotEvaluate(
            "out", f"{path} holds other questions than {suite.name}. Name another file with --out."
        )
    return {str(q.id): q for q in found if str(q.id) in asked and _complete(q)}


def _complete(question: Question) -> bool:
    return len(question.reference) >= len(question.turns) and all(question.reference)


def _save(path: Path, suite: Suite, rows: dict[str, Question]) -> None:
    """The questions of `rows`, in the suite's order; the file is never there by half."""
    lines = [
        jsonl.line(fastchat.question_row(rows[str(question.id)])) + "\n"
        for question in suite.questions
        if str(question.id) in rows
    ]
    fresh = path.with_name(path.name + ".new")
    fresh.write_text("".join(lines), encoding="utf-8")
    fresh.replace(path)
