"""`manage.py arena export FILE`."""

import argparse
import csv
import sys
from collections.abc import Callable
from typing import Any

from django.core.management.base import CommandError, CommandParser

from arena.models import Vote
from arena.selectors import battles

HELP = "Write the votes to a CSV file that `arena import` reads: no accounts, no addresses, no texts."
COLUMNS = ("id", "left", "right", "winner", "voter", "language", "category", "created_at", "weight")


def add_arguments(parser: CommandParser | argparse.ArgumentParser) -> None:
    parser.add_argument("file", help="The file to write; - for the console.")
    parser.add_argument("--all", action="store_true", help="The votes that do not count, too.")


def run(options: dict[str, Any], say: Callable[[str], None]) -> None:
    votes = Vote.objects.all() if options["all"] else None
    if options["file"] == "-":
        _write(sys.stdout, votes)
        return
    try:
        with open(options["file"], "x", encoding="utf-8", newline="") as file:  # noqa: PTH123
            number = _write(file, votes)
    except FileExistsError as error:
        raise CommandError(f"{options['file']} is there already; it is not overwritten.") from error
    except OSError as error:
        raise CommandError(str(error)) from error
    say(f"{number} votes written to {options['file']}.")


def _write(file: Any, votes: Any) -> int:
    writer = csv.writer(file)
    writer.writerow(COLUMNS)
    number = 0
    for vote in battles.outcomes(votes):
        number += 1
        category = vote.categories[0] if vote.categories else ""
        known = (vote.voter, vote.language, category, vote.created_at.isoformat(), f"{vote.weight:g}")
        writer.writerow((vote.vote_id, vote.left, vote.right, vote.choice, *known))
    return number
