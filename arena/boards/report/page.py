"""The file of `manage.py arena report`. Pure: counters by slice and month in, one HTML page out.

The page carries no ratings, only counters: its script adds up the months and the slice that the reader wants and solves
them. Its own Content-Security-Policy names script and style by their hashes, so it loads and runs nothing else.
"""

import base64
import hashlib
import json
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from statistics import median

from arena.boards.solving import Counter, Widening

FOLDER = Path(__file__).parent
MOST_SLICES = 60

Months = Mapping[str, Iterable[Counter]]


@dataclass(frozen=True)
class Content:
    """What stands in a report. `slices` has counters by slice and month ("2026-11", or "" where no time is known)."""

    title: str
    source: str
    made: str
    slices: Mapping[str, Months]
    hidden: Collection[str] = ()
    """Chat models that are rated and neither named nor shown."""
    organisations: Mapping[str, str] = field(default_factory=dict)
    widenings: Mapping[str, Widening] = field(default_factory=dict)
    """How votes hang together, by slice; in one that is not here they are taken as independent."""


def render(content: Content) -> str:
    """The whole page."""
    style, script = (FOLDER / name for name in ("report.css", "report.js"))
    css, js = style.read_text(encoding="utf-8"), script.read_text(encoding="utf-8")
    policy = (
        f"default-src 'none'; script-src '{_hash(js)}'; style-src '{_hash(css)}'; img-src data:; base-uri 'none'; "
        "form-action 'none'"
    )
    values = {
        "policy": escape(policy),
        "title": escape(content.title),
        "source": escape(f"{content.source} · {content.made}"),
        "style": css,
        "data": _json(data(content)),
        "script": js,
    }
    template = (FOLDER / "report.html").read_text(encoding="utf-8")
    # In one pass: what is filled in is not looked through again.
    return re.sub(r"@(policy|title|source|style|data|script)@", lambda found: values[found[1]], template)


def data(content: Content) -> dict[str, object]:
    """As the script reads it. A row is [month, left, right, left wins, right wins, ties, both bad], and the six sums of
    weights and squares where votes do not all weigh one. `widened` has [chat model, factor of its error],
    `middle` that of all others, `by` what holds the votes of the slice together."""
    chosen = largest(content.slices)
    names = sorted(
        {name for months in chosen.values() for rows in months.values() for row in rows for name in row[:2]}
    )
    position = {name: index for index, name in enumerate(names)}
    months = sorted({month for one in chosen.values() for month in one})
    return {
        "models": _shown(names, content.hidden),
        "hidden": [position[name] for name in names if name in content.hidden],
        "organisations": [
            content.organisations.get(name, "") if name not in content.hidden else "" for name in names
        ],
        "months": months,
        "slices": [
            {
                "name": name,
                **_widened(content.widenings.get(name), position),
                "rows": [
                    [months.index(month), position[row.left], position[row.right], *_numbers(row)]
                    for month, rows in sorted(one.items())
                    for row in sorted(rows)
                ],
            }
            for name, one in chosen.items()
        ],
    }


def largest(slices: Mapping[str, Months]) -> dict[str, dict[str, list[Counter]]]:
    """The slices that a report shows: everything first, then those with most votes; rows without votes left out."""
    kept = {
        name: {
            month: [row for row in rows if row.votes and row.left != row.right]
            for month, rows in months.items()
        }
        for name, months in slices.items()
    }
    votes = {
        name: sum(row.votes for rows in months.values() for row in rows) for name, months in kept.items()
    }
    order = sorted(
        (name for name in kept if votes[name]), key=lambda name: (name != "all", -votes[name], name)
    )
    return {name: kept[name] for name in order[:MOST_SLICES]}


def _widened(found: Widening | None, position: Mapping[str, int]) -> dict[str, object]:
    if found is None or not found.factors:
        return {}
    factors = [
        [position[name], round(factor, 9)]
        for name, factor in sorted(found.factors.items())
        if name in position
    ]
    middle = round(median(found.factors.values()), 9)
    return {"widened": factors, "middle": middle, "by": list(found.kinds)}


def _shown(names: list[str], hidden: Collection[str]) -> list[str]:
    return [f"hidden {index + 1}" if name in hidden else name for index, name in enumerate(names)]


def _numbers(row: Counter) -> list[float]:
    counts = [row.left_wins, row.right_wins, row.ties, row.both_bad]
    plain = (row.left_wins, row.right_wins, row.ties + row.both_bad) * 2
    return [*counts] if plain == row[6:] else [*counts, *row[6:]]


def _json(value: object) -> str:
    """That cannot end the script element it stands in."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
