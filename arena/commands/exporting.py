"""`manage.py arena export FILE`."""

import csv
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any

from django.core.management.base import CommandError, CommandParser
from django.db.models import QuerySet

from arena.battle_files import writing
from arena.battle_files.rows import BattleRow
from arena.commands import Say
from arena.models import Battle, Vote
from arena.ratings.categories import Turn
from arena.selectors import battles

HELP = (
    "Write the votes to a file that `arena import` reads: no accounts, no addresses, and texts only if asked."
)
COLUMNS = (
    "id",
    "left",
    "right",
    "winner",
    "voter",
    "language",
    "categories",
    "created_at",
    "weight",
    "anony",
)
BATCH = 200


def add_arguments(parser: CommandParser) -> None:
    parser.add_argument(
        "file",
        type=Path,
        help="The file to write: .csv, .json, .jsonl or .parquet; - for CSV on the console.",
    )
    parser.add_argument("--all", action="store_true", help="The votes that do not count, too.")
    parser.add_argument("--texts", action="store_true", help="With what was asked and answered; not in CSV.")


def run(options: dict[str, Any], say: Say) -> None:
    path: Path = options["file"]
    votes = Vote.objects.all() if options["all"] else None
    plain = str(path) == "-" or path.suffix.casefold() == ".csv"
    if plain and options["texts"]:
        raise CommandError("--texts needs a .json, .jsonl or .parquet file.")
    if str(path) == "-":
        _csv(sys.stdout, votes)
        return
    if path.exists():
        raise CommandError(f"{path} is there already; it is not overwritten.")
    try:
        if plain:
            with path.open("x", encoding="utf-8", newline="") as file:
                number = _csv(file, votes)
        else:
            number = writing.write(path, _rows(votes, texts=options["texts"]))
    except OSError as error:
        raise CommandError(str(error)) from error
    say(f"{number} votes written to {path}.")


def _csv(file: IO[str], votes: QuerySet[Vote] | None) -> int:
    writer = csv.writer(file)
    writer.writerow(COLUMNS)
    number = 0
    for vote in battles.outcomes(votes):
        number += 1
        about = (vote.voter, vote.language, ";".join(vote.categories), vote.created_at.isoformat())
        writer.writerow(
            (vote.vote_id, vote.left, vote.right, vote.choice, *about, f"{vote.weight:g}", vote.anonymous)
        )
    return number


def _rows(votes: QuerySet[Vote] | None, *, texts: bool) -> Iterator[BattleRow]:
    batch: list[battles.Outcome] = []
    for outcome in battles.outcomes(votes):
        batch.append(outcome)
        if len(batch) == BATCH:
            yield from _batch(batch, texts=texts)
            batch = []
    yield from _batch(batch, texts=texts)


def _batch(outcomes: list[battles.Outcome], *, texts: bool) -> Iterable[BattleRow]:
    said: dict[int, tuple[Turn, ...]] = {}
    if texts:
        for battle in Battle.objects.filter(votes__in=[o.vote_id for o in outcomes]).prefetch_related(
            "votes"
        ):
            turns = tuple(Turn(t.prompt, t.left.text, t.right.text) for t in battles.turns(battle))
            said |= {vote.pk: turns for vote in battle.votes.all()}
    for outcome in outcomes:
        yield BattleRow(
            left=outcome.left,
            right=outcome.right,
            winner=outcome.choice,
            voter=outcome.voter,
            external_id=str(outcome.vote_id),
            when=outcome.created_at.timestamp(),
            anonymous=outcome.anonymous,
            language=outcome.language,
            categories=tuple(outcome.categories),
            turns=said.get(outcome.vote_id, ()),
            weight=outcome.weight,
        )
