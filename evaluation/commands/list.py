"""`manage.py evaluate list`."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import OutputWrapper

from evaluation.commands.common import progress_line
from evaluation.selectors import runs

HELP = "List the evaluations, newest first."


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--limit", type=int, default=20)


def handle(out: OutputWrapper, options: dict[str, Any]) -> None:
    found = list(runs.newest(limit=max(1, options["limit"])))
    if not found:
        out.write("There are no evaluations yet. Start one: manage.py evaluate run --suite … --models …")
    for run in found:
        judges = f", judged by {', '.join(run.judges)}" if run.judges else ""
        out.write(f"{str(run.pk)[:8]}  {run.status:<9} {progress_line(run)}  {run}{judges}")
        if run.error_message:
            out.write(f"          {run.error_message}")
