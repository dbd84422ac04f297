"""`manage.py evaluate cancel`."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError, OutputWrapper

from evaluation.commands.common import find_run
from evaluation.services import runs

HELP = "Stop an evaluation. What it has is kept, and it may be resumed."


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("run", metavar="ID")


def handle(out: OutputWrapper, options: dict[str, Any]) -> None:
    run = find_run(options["run"])
    if not runs.cancel(run=run):
        raise CommandError(f"The run has ended already ({run.get_status_display().lower()}).")
    out.write("It stops within seconds.")
