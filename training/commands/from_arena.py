"""manage.py data from-arena"""

from argparse import ArgumentParser, ArgumentTypeError
from datetime import datetime
from pathlib import Path
from typing import Any

from django.core.management.base import OutputWrapper
from django.utils import timezone
from django.utils.dateparse import parse_date

from training import files
from training.commands.common import show
from training.data import formats
from training.data.cleaning import Options, Report, clean
from training.data.records import Record
from training.selectors import arena_data

HELP = "Draw preference pairs, or the preferred conversations, from the arena's votes (with consent)."


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, required=True, help="By its ending: .json, .jsonl, .parquet, …")
    parser.add_argument(
        "--kind",
        choices=("preferences", "conversations"),
        default="preferences",
        help="Pairs of a preferred and another answer, or the preferred side alone.",
    )
    parser.add_argument("--since", type=day, metavar="YYYY-MM-DD", help="Votes from that day on.")
    parser.add_argument("--lang", action="append", default=[], metavar="CODE", help="Such as en; repeatable.")
    parser.add_argument("--winner", action="append", default=[], metavar="MODEL", help="Only what it won.")
    parser.add_argument(
        "--personal",
        choices=("hide", "drop", "keep"),
        default="hide",
        help="Mail addresses, numbers and keys in what people wrote (hide).",
    )
    parser.add_argument("--report", type=Path, help="Write the report to this file as JSON, too.")


def day(text: str) -> datetime:
    try:
        found = parse_date(text)
    except ValueError:
        found = None
    if found is None:
        raise ArgumentTypeError(f"{text!r} is not a day such as 2026-11-24")
    return timezone.make_aware(datetime(found.year, found.month, found.day))


def handle(out: OutputWrapper, options: dict[str, Any]) -> None:
    wanted = arena_data.Wanted(options["since"], tuple(options["lang"]), tuple(options["winner"]))
    pairs = options["kind"] == "preferences"
    found = arena_data.preferences(wanted) if pairs else arena_data.conversations(wanted)
    steps = Options(
        html="never",
        check_lists=False,
        personal_data="" if options["personal"] == "keep" else options["personal"],
    )
    report = Report()
    with files.writing(options["out"]) as target:
        for record in found:
            _write(record, "preference" if pairs else "messages", target, steps, report)
    show(out, report, options["out"], options["report"])


def _write(record: Record, name: str, target: files.Writer, steps: Options, report: Report) -> None:
    report.read += 1
    cleaned = clean(formats.write(record, name), report.read, steps)
    report.changed.update({key: count for key, count in cleaned.changes.items() if count})
    if cleaned.rejected:
        report.dropped[cleaned.rejected.reason] += 1
    for kept in cleaned.records:
        target.write(formats.write(kept, name))
        report.written += 1
