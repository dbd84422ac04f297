"""`manage.py arena publish`."""

import argparse
from collections.abc import Callable
from typing import Any

from django.core.management.base import CommandError, CommandParser

from arena.errors import InvalidValue
from arena.models.leaderboard import EVERYTHING
from arena.services import publishing

HELP = "Publish the board of this moment, which never changes from then on."


def add_arguments(parser: CommandParser | argparse.ArgumentParser) -> None:
    parser.add_argument("--slice", default=EVERYTHING, help="all, language:NAME or category:NAME.")


def run(options: dict[str, Any], say: Callable[[str], None]) -> None:
    try:
        snapshot = publishing.publish(slice_name=options["slice"])
    except InvalidValue as error:
        raise CommandError(str(error)) from error
    say(f"Published board {snapshot.pk} of {snapshot.votes} votes, {snapshot.votes_hash}.")
