"""`manage.py arena verify ID`."""

import argparse
from collections.abc import Callable
from typing import Any

from django.core.management.base import CommandError, CommandParser

from arena.errors import InvalidValue
from arena.services import publishing

HELP = "Solve a published board again from the votes it names, and compare bit for bit."


def add_arguments(parser: CommandParser | argparse.ArgumentParser) -> None:
    parser.add_argument("id", type=int)


def run(options: dict[str, Any], say: Callable[[str], None]) -> None:
    try:
        verdict = publishing.verify(snapshot_id=options["id"])
    except InvalidValue as error:
        raise CommandError(str(error)) from error
    snapshot = verdict.snapshot
    if verdict.problems:
        raise CommandError(f"Board {snapshot.pk} does not hold. {' '.join(verdict.problems)}")
    say(f"Board {snapshot.pk} holds: {len(snapshot.rows)} chat models from {snapshot.votes} votes.")
