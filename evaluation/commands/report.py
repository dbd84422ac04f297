"""`manage.py evaluate report`: a folder that opens without a server."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, OutputWrapper

from evaluation.commands.common import find_run, material_of_files
from evaluation.report import files, folder
from evaluation.selectors import reading

HELP = "Write a report into a folder that opens in a browser without a server, from a run or from FastChat's files."


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "source", nargs="+", metavar="RUN|FILE", help="A run's id, or files and folders of FastChat's."
    )
    parser.add_argument(
        "--out", type=Path, required=True, help="A new folder, or the one of an earlier report."
    )


def handle(out: OutputWrapper, options: dict[str, Any]) -> None:
    sources: list[str] = options["source"]
    if any(Path(source).exists() for source in sources):
        material = material_of_files(sources)
    elif len(sources) == 1:
        material = reading.material(find_run(sources[0]))
    else:
        raise CommandError(f"{sources[0]}: there is no such file or folder. A run is named alone.")
    try:
        report = folder.write(material, options["out"], raw=files.raw(material))
    except (folder.FolderInUse, OSError) as error:
        raise CommandError(str(error)) from None
    for warning in report.warnings:
        out.write(f"Note: {warning}")
    out.write(f"The report is in {options['out'] / 'index.html'}")
