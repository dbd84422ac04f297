"""The questions of a run: loaded once, then kept as they are, however their file changes."""

import hashlib
import json
import re
from collections.abc import Sequence
from pathlib import PurePath

from evaluation import suites
from evaluation.errors import CannotEvaluate
from evaluation.formats import fastchat
from evaluation.models import SuiteSnapshot
from evaluation.records import Question
from evaluation.selectors import arena_prompts
from evaluation.suites import Suite, shapes


def load(source: str) -> Suite:
    """A suite by its name, from a file, an https address or the arena (`arena`, `arena:50`).

    Raises `CannotEvaluate` naming file and line.
    """
    name, _, size = source.strip().partition(":")
    if name == arena_prompts.NAME:
        return _from_arena(size)
    try:
        return suites.load(source)
    except suites.SuiteError as error:
        raise CannotEvaluate("suite", str(error)) from None


def _from_arena(size: str) -> Suite:
    if size and not (re.fullmatch("[0-9]{1,4}", size) and 1 <= int(size) <= arena_prompts.LARGEST):
        raise CannotEvaluate(
            "suite", f"arena:{size[:20]} is no size; write arena:N with N from 1 to {arena_prompts.LARGEST}."
        )
    suite = arena_prompts.draw(size=int(size) if size else arena_prompts.DEFAULT_SIZE)
    if not suite.questions:
        raise CannotEvaluate(
            "suite",
            "The arena has no messages to draw from yet: they come from battles with a vote that counts, by people who "
            "accepted the terms. Take another suite, such as dialogue.",
        )
    return suite


def rows(suite: Suite) -> list[dict[str, object]]:
    return [fastchat.question_row(question) for question in suite.questions]


def load_public(source: str) -> Suite:
    """`load` for a web page: shipped suites, the arena and https addresses, and none of the server's own files."""
    arena = source.partition(":")[0] == arena_prompts.NAME
    if not arena and source not in suites.SHIPPED and not source.startswith("https://"):
        named = ", ".join(suites.SHIPPED)
        raise CannotEvaluate(
            "suite", f"{source!r} is no suite ({named}) and no https address. Upload a file below."
        )
    return load(source)


def parse(content: bytes, *, source: str) -> Suite:
    """A suite from an uploaded file."""
    try:
        questions = shapes.read(content.decode("utf-8-sig"), source)
    except (ValueError, suites.SuiteError) as error:  # FormatError and UnicodeDecodeError are ValueErrors
        raise CannotEvaluate("suite_file", str(error)) from None
    return Suite(PurePath(source).stem, "", tuple(questions))


def check(*, questions: Sequence[Question], source: str) -> None:
    """Raises `CannotEvaluate` for what a run cannot be made of."""
    if not questions:
        raise CannotEvaluate("suite", f"{source}: there are no questions in it.")
    seen: set[str] = set()
    for question in questions:
        # Answers are stored under the id as text, so 1 and "1" would be one question.
        if str(question.id) in seen:
            raise CannotEvaluate(
                "suite", f"{source}: the id {question.id} is there twice; remove one of them."
            )
        seen.add(str(question.id))


def keep(*, suite: Suite, questions: Sequence[Question]) -> SuiteSnapshot:
    """The row that holds exactly these questions, made when there is none."""
    rows = [fastchat.question_row(question) for question in questions]
    said = json.dumps([suite.name, suite.version, rows], sort_keys=True)
    content_hash = hashlib.sha256(said.encode()).hexdigest()
    snapshot, _ = SuiteSnapshot.objects.get_or_create(
        content_hash=content_hash,
        defaults={"name": suite.name[:200], "version": suite.version[:64], "questions": rows},
    )
    return snapshot
