"""Files of votes: JSON, JSON lines, CSV and Parquet, whatever the shape of their rows."""

import csv
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from arena.battle_files import shapes
from arena.battle_files.rows import BadFile, BadRow, BattleRow
from arena.ratings.arrays import Floats
from arena.ratings.pairs import Outcomes

Rejected = Callable[[BadFile], None]
PARQUET_HELP = (
    "Parquet needs pyarrow: bin/up --install-only --extra eval, or save the file as CSV or JSON lines."
)


class Ragged(dict[str, Any]):
    """A row of a CSV file with more or fewer cells than its header."""


def read(path: Path, *, shape: str | None = None, rejected: Rejected | None = None) -> Iterator[BattleRow]:
    """Every vote of a file, in its order. The shape is told from the first row unless it is given.

    A bad row raises `BadFile` with its number; with `rejected` it is handed there instead and the rest is read.
    """
    parse = _parser(path, shape) if shape else None
    for line, row in records(path):
        try:
            if parse is None:
                parse = shapes.SHAPES[shapes.detect(row)]
            if isinstance(row, Ragged):
                raise BadRow("the row has more or fewer cells than the header.")
            vote = parse(row)
            if vote is not None:
                if vote.left == vote.right:
                    raise BadRow(f"{vote.left} fights itself.")
                yield replace(vote, line=line)
        except BadRow as error:
            problem = BadFile(path, line, str(error), row)
            if rejected is None or parse is None:
                raise problem from error
            rejected(problem)


def records(path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """(line or row number from 1, the row) of any supported file."""
    if not path.is_file():
        raise BadFile(path, None, "there is no such file.")
    suffix = path.suffix.casefold()
    try:
        if suffix in (".csv", ".tsv"):
            yield from _csv(path, "\t" if suffix == ".tsv" else ",")
        elif suffix in (".parquet", ".pq"):
            yield from _parquet(path)
        else:
            yield from _json(path)
    except UnicodeDecodeError as error:
        raise BadFile(path, None, f"not UTF-8 text (byte {error.start}).") from error


def outcomes(rows: Iterable[BattleRow]) -> tuple[Outcomes, Floats | None, Floats | None]:
    """Arrays for the ratings, and the style counts of both sides, (n, 4) each; None when not every row has them."""
    left: list[str] = []
    right: list[str] = []
    score: list[float] = []
    weight: list[float] = []
    voter: list[str] = []
    prompt: list[str] = []
    style: list[tuple[int, ...]] = []
    for row in rows:
        left.append(row.left)
        right.append(row.right)
        score.append(row.score)
        weight.append(row.weight)
        voter.append(row.voter)
        prompt.append(row.prompt)
        if row.style is not None:
            style.append((*row.style.left, *row.style.right))
    votes = Outcomes.of(
        left,
        right,
        score,
        weight=weight,
        voter=voter if voter and all(voter) else None,
        prompt=prompt if prompt and all(prompt) else None,
    )
    if not style or len(style) < len(score):
        return votes, None, None
    counts = np.array(style, dtype=np.float64)
    return votes, counts[:, :4], counts[:, 4:]


def _parser(path: Path, shape: str) -> shapes.Parser:
    if shape not in shapes.SHAPES:
        raise BadFile(path, None, f"unknown format {shape!r}; known are {', '.join(shapes.SHAPES)}.")
    return shapes.SHAPES[shape]


def _csv(path: Path, delimiter: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    csv.field_size_limit(min(sys.maxsize, 2**31 - 1))  # a whole answer may stand in one cell
    with path.open(newline="", encoding="utf-8-sig") as lines:
        reader = csv.DictReader(lines, delimiter=delimiter, restkey="")
        try:
            for row in reader:
                yield reader.line_num, Ragged(row) if "" in row or None in row.values() else row
        except csv.Error as error:
            raise BadFile(path, reader.line_num, f"not CSV: {error}.") from error


def _json(path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    with path.open(encoding="utf-8-sig") as lines:
        start = lines.read(4096).lstrip()[:1]
        lines.seek(0)
        items = _array(path, lines.read()) if start == "[" else _lines(path, lines)
        for line, item in items:
            if not isinstance(item, Mapping):
                raise BadFile(path, line, "a vote must be a JSON object.")
            yield line, item


def _array(path: Path, text: str) -> Iterator[tuple[int, Any]]:
    try:
        items = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadFile(path, getattr(error, "lineno", None), f"not JSON: {error}.") from error
    yield from enumerate(items, 1)


def _lines(path: Path, lines: Iterable[str]) -> Iterator[tuple[int, Any]]:
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                yield number, json.loads(line)
            except (ValueError, RecursionError) as error:
                raise BadFile(path, number, f"not JSON: {error}.") from error


def _parquet(path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    try:
        from pyarrow import ArrowInvalid, parquet
    except ImportError as error:
        raise BadFile(path, None, PARQUET_HELP) from error
    try:
        number = 0
        with parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=2000):
                for row in batch.to_pylist():
                    number += 1
                    yield number, row
    except (ArrowInvalid, OSError) as error:
        raise BadFile(path, None, f"not a Parquet file: {error}.") from error
