"""What the subcommands that read vote files share: their options, and the votes that remain."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser

from arena.battle_files import shapes
from arena.battle_files.reading import read
from arena.battle_files.rows import BattleRow


def add_file(parser: CommandParser) -> None:
    parser.add_argument("file", type=Path, help="Votes: .json, .jsonl, .csv, .tsv or .parquet.")
    parser.add_argument(
        "--format", choices=tuple(shapes.SHAPES), help="Told from the first row unless given."
    )


def add_filters(parser: CommandParser) -> None:
    parser.add_argument("--named", action="store_true", help="Also count votes cast with the names in view.")
    parser.add_argument("--no-ties", action="store_true", help="Leave out ties of both kinds.")
    parser.add_argument("--language", help="Only this language, for example de.")
    parser.add_argument("--category", help="Only battles of this category, for example coding.")
    parser.add_argument(
        "--exclude", nargs="+", default=[], metavar="MODEL", help="Leave out these chat models."
    )


def votes(options: dict[str, Any]) -> Iterator[BattleRow]:
    for row in read(options["file"], shape=options["format"]):
        if wanted(row, options):
            yield row


def wanted(row: BattleRow, options: dict[str, Any]) -> bool:
    return (
        (row.anonymous or options["named"])
        and not (options["no_ties"] and row.score == 0.5)
        and options["language"] in (None, row.language)
        and (options["category"] is None or options["category"] in row.categories)
        and not {row.left, row.right} & set(options["exclude"])
    )


def anchor(text: str | None) -> tuple[str, float] | None:
    """NAME=RATING."""
    if text is None:
        return None
    name, equals, rating = text.rpartition("=")
    try:
        if not (equals and name):
            raise ValueError
        value = float(rating)
    except ValueError:
        raise CommandError(f"--anchor must be NAME=RATING, for example gpt-4=1114; got {text!r}.") from None
    if not abs(value) < 1e6:
        raise CommandError("--anchor must name a rating between -1000000 and 1000000.")
    return name, value
