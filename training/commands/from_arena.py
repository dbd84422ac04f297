"""manage.py data from-arena"""

from argparse import ArgumentParser, ArgumentTypeError
from datetime import datetime
from pathlib import Path
from typing import Any

from django.core.management.base import OutputWrapper

from training import files
from training.commands.common import show
from training.selectors import arena_data
from training.services import drawing

HELP = "Draw preference pairs, or the preferred conversations, from the arena's votes (with consent)."


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, required=True, help="By its ending: .json, .jsonl, .parquet, …")
    parser.add_argument(
        "--kind",
        choices=drawing.KINDS,
        default=drawing.PREFERENCES,
        help="Pairs of a preferred and another answer, or the preferred side alone.",
    )
    parser.add_argument("--since", type=day, metavar="YYYY-MM-DD", help="Votes from that day on.")
    parser.add_argument("--lang", action="append", default=[], metavar="CODE", help="Such as en; repeatable.")
    parser.add_argument("--winner", action="append", default=[], metavar="MODEL", help="Only what it won.")
    parser.add_argument(
        "--personal",
        choices=drawing.PERSONAL,
        default="hide",
        help="Mail addresses, numbers and keys in what people wrote (hide).",
    )
    parser.add_argument("--report", type=Path, help="Write the report to this file as JSON, too.")


def day(text: str) -> datetime:
    try:
        return drawing.start_of(text)
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is not a day such as 2026-11-24") from None


def handle(out: OutputWrapper, options: dict[str, Any]) -> None:
    wanted = arena_data.Wanted(options["since"], tuple(options["lang"]), tuple(options["winner"]))
    with files.writing(options["out"]) as target:
        report = drawing.draw(
            target=target, kind=options["kind"], wanted=wanted, personal=options["personal"]
        )
    show(out, report, options["out"], options["report"])
