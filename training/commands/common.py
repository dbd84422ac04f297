"""What the subcommands share: arguments, hooks by name, and a report for a terminal."""

import importlib
import json
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Callable
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, OutputWrapper

from training.data import formats
from training.data.cleaning import Report


def add_sources(parser: ArgumentParser) -> None:
    parser.add_argument("files", nargs="+", type=Path, help="JSON, JSON lines (also .gz) or Parquet.")
    parser.add_argument(
        "--from",
        dest="source_format",
        choices=formats.NAMES,
        default="",
        help="The format of the rows; by default each row shows it.",
    )


def add_target(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--out", type=Path, required=True, help="By its ending: .json, .jsonl, .jsonl.gz, .parquet."
    )
    parser.add_argument(
        "--to",
        dest="target_format",
        choices=formats.NAMES,
        default="",
        help="The format to write; by default sharegpt, and preference for pairs.",
    )
    parser.add_argument("--rejects", type=Path, help="Where rows that are left out go, with the reason.")
    parser.add_argument("--processes", type=whole(0), default=0, help="0 (the default): all cores.")
    parser.add_argument("--report", type=Path, help="Write the report to this file as JSON, too.")


def whole(least: int) -> Callable[[str], int]:
    """A type for arguments: a whole number that is not below `least`."""

    def read(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            raise ArgumentTypeError(f"{text!r} is not a whole number") from None
        if value < least:
            raise ArgumentTypeError(f"{value} is below {least}")
        return value

    return read


def share(text: str) -> float:
    """A type for arguments: a number between 0 and 1."""
    try:
        value = float(text)
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is not a number") from None
    if not 0 <= value <= 1:
        raise ArgumentTypeError(f"{text} is not between 0 and 1")
    return value


def hook(name: str, option: str) -> Any:
    """The function that `module:function` names. Raises `CommandError`."""
    module, _, function = name.partition(":")
    try:
        found = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError, ValueError) as error:
        raise CommandError(f"{option} must be module:function that can be imported: {error}") from None
    if not callable(found):
        raise CommandError(f"{option}: {name} is not a function.")
    return found


def show(out: OutputWrapper, report: Report, target: Path, to_file: Path | None) -> None:
    out.write(f"{report.read} rows read, {report.written} written to {target}.")
    for title, counts in (("Left out", report.dropped), ("Changed", report.changed)):
        if counts:
            listed = ", ".join(f"{count} {reason}" for reason, count in counts.most_common())
            out.write(f"{title}: {listed}.")
    if to_file:
        to_file.write_text(json.dumps(report.as_dict(), indent=2) + "\n", encoding="utf-8")
