"""From what somebody wrote (a name, a file, a folder of FastChat's, an https address) to a suite."""

import difflib
from collections import Counter
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from evaluation.formats import fastchat
from evaluation.formats.jsonl import FormatError
from evaluation.judges.prompts import REFERENCED_CATEGORIES
from evaluation.records import Answer, Question
from evaluation.suites import fetching, references, shapes
from evaluation.suites.errors import SuiteError
from evaluation.suites.shipped import SHIPPED, Shipped
from evaluation.suites.suite import Suite

QUESTIONS = "question.jsonl"
REFERENCES = "reference_answer"


def load(source: str, *, fetch: Callable[[str], str] = fetching.fetch) -> Suite:
    """Raises `SuiteError`: with file and line where a line cannot be used, and where there are no questions."""
    source = source.strip()
    if source in SHIPPED:
        return _shipped(SHIPPED[source])
    if "://" in source:
        name = PurePosixPath(urlsplit(source).path).stem or source
        return _suite(name, _parsed(fetch(source), source), [])
    if not source:
        raise SuiteError(f"Name a suite: {_names()}, a file or an https address.")
    return _file(source)


def _shipped(shipped: Shipped) -> Suite:
    questions = _parsed(_text(shipped.path), shipped.path.name)
    return Suite(shipped.name, shipped.version, tuple(questions))


def _file(source: str) -> Suite:
    path = Path(source)
    try:
        if path.is_dir():
            path = path / QUESTIONS
        if not path.is_file():
            raise SuiteError(_unknown(source))
    except (OSError, ValueError) as error:
        raise SuiteError(f"{source[:200]!r} is no path of a file: {error}") from None
    name = path.parent.resolve().name if path.name == QUESTIONS else path.stem
    return _suite(name, _parsed(_text(path), str(path)), _reference_answers(path))


def _suite(name: str, questions: list[Question], answers: list[Answer]) -> Suite:
    questions, wrong = references.attach(questions, answers)
    remarks = _remarks(questions)
    if wrong:
        ids = ", ".join(str(identifier) for identifier in wrong)
        remarks.append(f"The reference answers to {ids} are reported to be wrong and were left out.")
    return Suite(name, "", tuple(questions), tuple(remarks))


def _reference_answers(path: Path) -> list[Answer]:
    """From the one file in the folder beside the questions; which of several is meant, nobody could know."""
    found = sorted((path.parent / REFERENCES).glob("*.jsonl")) if path.name == QUESTIONS else []
    if not found:
        return []
    if len(found) > 1:
        names = ", ".join(file.name for file in found)
        raise SuiteError(
            f"{found[0].parent} holds several files ({names}); leave the one that judges are to see."
        )
    try:
        return fastchat.read_answers(_text(found[0]).split("\n"), str(found[0]))
    except FormatError as error:
        raise SuiteError(str(error)) from None


def _parsed(text: str, source: str) -> list[Question]:
    try:
        questions = shapes.read(text, source)
    except FormatError as error:
        raise SuiteError(str(error)) from None
    for question in questions:
        if not all(turn.strip() for turn in question.turns):
            raise SuiteError(f"{source}: question {question.id} has an empty turn; write it or remove it.")
    repeated = [
        name for name, times in Counter(str(question.id) for question in questions).items() if times > 1
    ]
    if repeated:
        # Answers are stored under the id as text, so 1 and "1" would be one question.
        raise SuiteError(
            f"{source}: the id {repeated[0]} is there twice, as a number and as a text; change one of them."
        )
    return questions


def _text(path: Path) -> str:
    try:
        if path.stat().st_size > fetching.LARGEST:
            raise SuiteError(f"{path} is larger than {fetching.LARGEST // 2**20} MiB; is it a suite at all?")
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SuiteError(f"{path} cannot be read as UTF-8 text: {error}") from None


def _remarks(questions: list[Question]) -> list[str]:
    remarks = []
    asked = Counter(question.turns for question in questions)
    same = sum(times - 1 for times in asked.values())
    if same:
        remarks.append(f"{same} questions ask the very same as another one and count double.")
    bare = [q for q in questions if q.category.lower() in REFERENCED_CATEGORIES and not q.reference]
    if bare:
        remarks.append(
            f"{len(bare)} questions of categories that judges grade by a reference have none, such as {bare[0].id}."
        )
    return remarks


def _unknown(source: str) -> str:
    close = difflib.get_close_matches(source, SHIPPED, n=1)
    meant = f" Did you mean {close[0]}?" if close else ""
    return f"{source}: there is no such suite or file.{meant} The suites that come with it: {_names()}."


def _names() -> str:
    return ", ".join(SHIPPED)
