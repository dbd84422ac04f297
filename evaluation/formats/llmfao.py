"""Comparisons of the LLMFAO project as votes (github.com/dustalov/llmfao, `…-comparisons.csv`, data CC BY 4.0).

A row is one vote: `prompt`, the chat models `left` and `right`, `winner` (left, right or tie), and `worker` where
people voted. A file of a judge has no workers.
"""

import csv
from collections.abc import Iterable

from evaluation.formats.jsonl import FormatError
from evaluation.metrics.agreement import TIE, Ballot

FIELDS = ("prompt", "left", "right", "winner")


def read_ballots(lines: Iterable[str], source: str, judge: str) -> list[Ballot]:
    """`judge` names the judge of a file without workers. Raises `FormatError`."""
    reader = csv.DictReader(lines)
    missing = [name for name in FIELDS if name not in (reader.fieldnames or ())]
    if missing:
        raise FormatError(
            source, 1, f"the column {missing[0]} is missing; it has to have {', '.join(FIELDS)}"
        )
    return [_ballot(row, source, reader.line_num, judge) for row in reader]


def _ballot(row: dict[str, str | None], source: str, line: int, judge: str) -> Ballot:
    empty = next((name for name in FIELDS if not row[name]), None)
    if empty:
        raise FormatError(source, line, f"{empty} is empty")
    prompt, left, right, winner = (str(row[name]) for name in FIELDS)
    if winner not in ("left", "right", "tie"):
        raise FormatError(source, line, f"winner is {winner!r}; it must be left, right or tie")
    if left == right:
        raise FormatError(source, line, f"left and right are both {left!r}")
    first, second = sorted((left, right))
    name = {"left": left, "right": right}.get(winner, TIE)
    return Ballot(prompt, 1, (first, second), row.get("worker") or judge, name)
