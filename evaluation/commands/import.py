# ruff: noqa: N999 - named as the subcommand
"""`manage.py evaluate import`: FastChat's files as a run of ours."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import OutputWrapper

from evaluation.commands.common import material_of_files
from evaluation.services import imports

HELP = (
    "Take FastChat's files (or a folder of them) in as a finished run, to be read and compared on the site."
)


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("files", nargs="+", metavar="FILE", help="Files and folders of FastChat's.")
    parser.add_argument(
        "--name", default="", help="What the suite is to be called; the folder's name otherwise."
    )


def handle(out: OutputWrapper, options: dict[str, Any]) -> None:
    material = material_of_files(options["files"])
    run = imports.store(material=material, name=options["name"], source=" ".join(options["files"]))
    out.write(
        f"Run {str(run.pk)[:8]}: {len(material.questions)} questions, {len(material.answers)} answers, "
        f"{len(material.singles) + len(material.pairs)} judgments. It is on the site under /evaluations/{run.pk}/"
    )
