"""`manage.py evaluate export`: a run as FastChat's files."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, OutputWrapper

from evaluation.commands.common import find_run
from evaluation.report import files
from evaluation.selectors import reading

HELP = (
    "Write a run as FastChat's folder of question, model_answer, reference_answer and model_judgment files."
)


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", help="The run's id; see: manage.py evaluate list")
    parser.add_argument("--out", type=Path, required=True, help="A new or empty folder.")


def handle(out: OutputWrapper, options: dict[str, Any]) -> None:
    folder: Path = options["out"]
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise CommandError(f"{folder} is not an empty folder. Name a new one with --out.")
    written = files.raw(reading.material(find_run(options["run"])))
    try:
        for name, text in written.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise CommandError(str(error)) from None
    out.write(f"{len(written)} files are in {folder}")
