"""Which shape of file this is, told by its first object, and the reader for it."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from evaluation.formats import fastchat
from evaluation.formats.jsonl import FormatError, Row, rows
from evaluation.records import Question
from evaluation.suites import alpaca_eval, arena_hard, plain
from evaluation.suites.lines import as_lines

Reader = Callable[[Row, int], Question]

EXPECTED = (
    "a suite's line needs turns (a list of texts, with question_id: FastChat), turns with content or uid and prompt "
    "(Arena-Hard), instruction (AlpacaEval), or just prompt"
)


def read(text: str, source: str) -> list[Question]:
    """The questions of a file in any known shape. Raises `FormatError` with the line, also for a repeated id."""
    lines = as_lines(text, source)
    first = next(iter(rows(lines, source)), None)
    if first is None:
        raise FormatError(source, 1, f"there are no questions in it; {EXPECTED}")
    reader = _reader(first.rest)
    if reader is None and isinstance(first.rest.get("turns"), list):
        return fastchat.read_questions(lines, source)
    if reader is None:
        raise first.error(f"this is no question; {EXPECTED}")
    return list(_unique(rows(lines, source), reader))


def _reader(values: Mapping[str, Any]) -> Reader | None:
    turns = values.get("turns")
    if isinstance(turns, list) and turns and isinstance(turns[0], dict):
        return arena_hard.first_version
    if "uid" in values and "prompt" in values:
        return arena_hard.second_version
    if "instruction" in values:
        return alpaca_eval.question
    return plain.question if "prompt" in values else None


def _unique(found: Iterator[Row], reader: Reader) -> Iterator[Question]:
    seen: set[str] = set()
    for position, row in enumerate(found, start=1):
        question = reader(row, position)
        if str(question.id) in seen:
            raise row.error(f"the id {question.id} is there twice; remove one of them or give it another id")
        seen.add(str(question.id))
        yield question
