"""manage.py data stats"""

import json
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import OutputWrapper

from arena.boards import plots
from arena.ratings.categories import language
from training.commands.common import add_sources
from training.data.statistics import Bar, Statistics, histogram
from training.preparing import records

HELP = "Count conversations, rounds, lengths, languages and roles; draw how long they are."
WIDTH = 40
STYLE = (
    "text{font:13px sans-serif;fill:#333}.plot__track{fill:#eee}.plot__bar{fill:#4a6fd0}"
    "@media(prefers-color-scheme:dark){text{fill:#ddd}.plot__track{fill:#333}}"
)
"""A picture of its own has no page that gives it colours."""


def add_arguments(parser: ArgumentParser) -> None:
    add_sources(parser)
    parser.add_argument("--languages", action="store_true", help="Tell the languages, too.")
    parser.add_argument("--json", action="store_true", help="Print JSON.")
    parser.add_argument("--plot", type=Path, metavar="FILE.svg", help="Write a picture of the lengths.")


def handle(out: OutputWrapper, options: dict[str, Any]) -> None:
    statistics = Statistics(detect_language=language if options["languages"] else None)
    for record in records(options["files"], source_format=options["source_format"]):
        statistics.add(record)
    bars = histogram(statistics.lengths)
    if options["plot"]:
        options["plot"].write_text(picture(bars, "characters"), encoding="utf-8")
    if options["json"]:
        out.write(json.dumps(statistics.as_dict(), indent=2, ensure_ascii=False))
        return
    for line in lines(statistics, "characters"):
        out.write(line)


def picture(bars: list[Bar], unit: str) -> str:
    rows = [plots.Bar(bar.label, float(bar.amount), str(bar.amount)) for bar in bars]
    drawn = plots.bars(rows, title=f"Length of the conversations in {unit}")
    return drawn.replace(">", f"><style>{STYLE}</style>", 1)


def lines(statistics: Statistics, unit: str) -> list[str]:
    """The statistics for a terminal."""
    told = statistics.as_dict()
    shown = [
        f"{told['conversations']} conversations, {told['pairs']} preference pairs, {told['total']} {unit}"
    ]
    for name in ("rounds", "length", "prompt", "answer"):
        values = told[name]
        if values:
            listed = ", ".join(f"{key} {value:g}" for key, value in values.items())
            shown.append(f"{name:>8}: {listed}")
    for name in ("roles", "languages", "models"):
        if told[name]:
            listed = ", ".join(f"{key} {count}" for key, count in told[name].items())
            shown.append(f"{name:>9}: {listed}")
    bars = histogram(statistics.lengths)
    most = max((bar.amount for bar in bars), default=0) or 1
    shown += [
        f"{bar.label:>12} {'█' * round(WIDTH * bar.amount / most)} {bar.amount}" for bar in bars if bar.amount
    ]
    return shown
