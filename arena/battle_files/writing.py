"""Votes for other programs: FastChat's clean_battle rows as JSON or JSON lines, CSV, Parquet."""

import csv
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from arena.battle_files.reading import PARQUET_HELP
from arena.battle_files.rows import BOTH_BAD, LEFT, RIGHT, TIE, BadFile, BattleRow

_LABELS = {LEFT: "model_a", RIGHT: "model_b", TIE: "tie", BOTH_BAD: "tie (bothbad)"}
COLUMNS = (
    "question_id", "model_a", "model_b", "winner", "judge", "prompt", "language", "tstamp", "anony", "weight",
    "categories",
)  # fmt: skip


def write(path: Path, rows: Iterable[BattleRow]) -> int:
    """The kind of file follows from the name: .json, .jsonl, .csv or .parquet. Returns how many votes were written."""
    suffix = path.suffix.casefold()
    writers = {".json": _json, ".jsonl": _json_lines, ".csv": _csv, ".parquet": _parquet}
    if suffix not in writers:
        raise BadFile(path, None, f"unknown ending {suffix!r}; known are {', '.join(writers)}.")
    return writers[suffix](path, rows)


def clean_battle(row: BattleRow) -> dict[str, Any]:
    """A row as FastChat's tools read it, conversations and `conv_metadata` included."""
    made: dict[str, Any] = {
        "question_id": row.external_id,
        "model_a": row.left,
        "model_b": row.right,
        "winner": _LABELS[row.winner],
        "judge": row.voter,
        "prompt": row.prompt,
        "language": row.language,
        "tstamp": row.when,
        "anony": row.anonymous,
        "weight": row.weight,
        "categories": list(row.categories),
    }
    if row.turns:
        made["turn"] = len(row.turns)
        for side, answers in (("a", [t.left for t in row.turns]), ("b", [t.right for t in row.turns])):
            made[f"conversation_{side}"] = [
                {"role": role, "content": said}
                for turn, answer in zip(row.turns, answers, strict=True)
                for role, said in (("user", turn.prompt), ("assistant", answer))
            ]
    if row.style is not None:
        made["conv_metadata"] = {
            name.format(side): value
            for side, counts in zip("ab", row.style, strict=True)
            for name, value in zip(
                ("sum_assistant_{}_tokens", "header_count_{}", "list_count_{}", "bold_count_{}"),
                counts,
                strict=True,
            )
        }
    return made


def _json(path: Path, rows: Iterable[BattleRow]) -> int:
    count = 0
    with path.open("w", encoding="utf-8") as out:
        out.write("[")
        for count, line in enumerate(_encoded(rows), 1):
            out.write(("," if count > 1 else "") + "\n" + line)
        out.write("\n]\n")
    return count


def _json_lines(path: Path, rows: Iterable[BattleRow]) -> int:
    count = 0
    with path.open("w", encoding="utf-8") as out:
        for line in _encoded(rows):
            out.write(line + "\n")
            count += 1
    return count


def _encoded(rows: Iterable[BattleRow]) -> Iterator[str]:
    for row in rows:
        yield json.dumps(clean_battle(row), ensure_ascii=False)


def _csv(path: Path, rows: Iterable[BattleRow]) -> int:
    count = 0
    with path.open("w", encoding="utf-8", newline="") as out:
        writer = csv.DictWriter(out, COLUMNS, extrasaction="ignore")
        writer.writeheader()
        for row in rows:
            writer.writerow({**clean_battle(row), "categories": ";".join(row.categories)})
            count += 1
    return count


def _parquet(path: Path, rows: Iterable[BattleRow]) -> int:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise BadFile(path, None, PARQUET_HELP) from error
    made = [clean_battle(row) for row in rows]
    # Nested columns as JSON text: an all-empty list or object has no type that Parquet could keep.
    for row in made:
        for name in ("conversation_a", "conversation_b", "conv_metadata", "categories"):
            row[name] = json.dumps(row[name], ensure_ascii=False) if row.get(name) else None
    parquet.write_table(pyarrow.Table.from_pylist(made), path)
    return len(made)
