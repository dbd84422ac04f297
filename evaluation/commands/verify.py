"""`manage.py evaluate verify`: every number again, from the judges' own words."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, OutputWrapper

from evaluation.commands.common import find_run
from evaluation.services import verifying

HELP = "Compute every number of a run, or of a report's folder, again from the raw judgments, and say what differs."


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("what", metavar="ID|FOLDER")


def handle(out: OutputWrapper, options: dict[str, Any]) -> None:
    folder = Path(options["what"])
    if folder.is_dir():
        checked, problems = verifying.folder(folder=folder)
    else:
        checked, problems = verifying.run(run=find_run(options["what"]))
    for problem in problems[:50]:
        out.write(problem)
    if problems:
        raise CommandError(f"{len(problems)} of {checked} differ.")
    out.write(f"{checked} checked, all agree.")
