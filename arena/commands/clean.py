"""A file of votes without those that should not count, and why each was left out."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser

from arena.battle_files.reading import outcomes, read
from arena.battle_files.rows import BadFile, BattleRow
from arena.battle_files.writing import write
from arena.commands import Say, files
from arena.ratings import outliers, weights

HELP = "Write the votes that should count to a new file, and say why the others were left out."


def add_arguments(parser: CommandParser) -> None:
    files.add_file(parser)
    files.add_filters(parser)
    parser.add_argument("output", type=Path, help="The file to write: .json, .jsonl, .csv or .parquet.")
    parser.add_argument(
        "--alpha", type=float, default=outliers.ALPHA, help="Share of honest voters lost at most."
    )
    parser.add_argument("--keep-outliers", action="store_true", help="Do not leave out contrary voters.")
    parser.add_argument(
        "--keep-copies", action="store_true", help="Let copied prompts weigh as much as others."
    )


def run(options: dict[str, Any], say: Say) -> None:
    if options["output"].exists():
        raise CommandError(f"{options['output']} is there already; it is not overwritten.")
    reasons: Counter[str] = Counter()
    kept = list(_readable(options, reasons, say))
    if not options["keep_outliers"]:
        kept = _without_outliers(kept, options["alpha"], reasons)
    if not options["keep_copies"]:
        kept = _weighed(kept, reasons)
    number = write(options["output"], kept)
    for reason, count in reasons.most_common():
        say(f"{count:>9}  {reason}")
    say(f"{number:>9}  written to {options['output']}")


def _readable(options: dict[str, Any], reasons: Counter[str], say: Say) -> Iterator[BattleRow]:
    def refuse(problem: BadFile) -> None:
        reasons["could not be read"] += 1
        say(str(problem))

    seen = set()
    for row in read(options["file"], shape=options["format"], rejected=refuse):
        key = (row.external_id, row.voter, row.left, row.right)
        if row.external_id and key in seen:
            reasons["the same vote again"] += 1
        elif not files.wanted(row, options):
            reasons["not wanted by the options, or cast with the names in view"] += 1
        else:
            seen.add(key)
            yield row


def _without_outliers(rows: list[BattleRow], alpha: float, reasons: Counter[str]) -> list[BattleRow]:
    votes, _, _ = outcomes(rows)
    if votes.voter is None:
        return rows
    judged = outliers.judge_voters(votes, alpha=alpha)
    names = sorted({row.voter for row in rows})
    contrary = {names[one.voter] for one in judged if one.flagged}
    left = [row for row in rows if row.voter not in contrary]
    if contrary:
        reasons[f"of {len(contrary)} voters who vote against everybody else"] = len(rows) - len(left)
    return left


def _weighed(rows: list[BattleRow], reasons: Counter[str]) -> list[BattleRow]:
    votes, _, _ = outcomes(rows)
    if votes.prompt is None:
        return rows
    made = list(zip(rows, weights.for_duplicates(votes.prompt).tolist(), strict=True))
    reduced = sum(weight < 1.0 for _, weight in made)
    if reduced:
        reasons["on copied prompts: kept with less weight"] = reduced
    return [replace(row, weight=row.weight * weight) for row, weight in made]
