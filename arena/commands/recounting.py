"""`manage.py arena recount`."""

import argparse
from collections.abc import Callable
from typing import Any

from django.core.management.base import CommandError, CommandParser

from arena.services import counting

HELP = "Count all votes anew for the leaderboard, for example after battles got other categories."


def add_arguments(parser: CommandParser | argparse.ArgumentParser) -> None:
    """None."""


def run(options: dict[str, Any], say: Callable[[str], None]) -> None:
    try:
        say(f"{counting.rebuild()} votes count.")
    except counting.Superseded:
        raise CommandError("Another recount has begun meanwhile; it puts right what is wrong.") from None
