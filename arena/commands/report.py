"""A board as one file that needs no server: of a file's votes, or of this site's."""

from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser

from arena.battle_files.rows import BattleRow
from arena.boards.report import page
from arena.boards.report.page import Content
from arena.boards.solving import Counter
from arena.commands import Say, files

HELP = "Write a board as one HTML file that solves itself in the browser, without a server."
_PLACE = {"left": 0, "right": 1, "tie": 2, "both_bad": 3}
_WEIGHT = {"left": 4, "right": 5, "tie": 6, "both_bad": 6}


def add_arguments(parser: CommandParser) -> None:
    parser.add_argument("output", type=Path, help="The file to write, for example board.html.")
    parser.add_argument(
        "--votes", type=Path, dest="file", help="A file of votes; without it, this site's votes."
    )
    parser.add_argument("--format", help="Of the votes; told from the first row unless given.")
    files.add_filters(parser)
    parser.add_argument("--title", default="Leaderboard", help="Default: %(default)s.")


def run(options: dict[str, Any], say: Say) -> None:
    output: Path = options["output"]
    if output.exists():
        raise CommandError(f"{output} is there already; it is not overwritten.")
    made = f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
    if options["file"] is None:
        content = _of_site(options["title"], made)
    else:
        content = Content(options["title"], options["file"].name, made, tally(files.votes(options)))
    if not content.slices:
        raise CommandError("There are no votes for a report. Votes cast with names in view need --named.")
    try:
        output.write_text(page.render(content), encoding="utf-8")
    except OSError as error:
        raise CommandError(str(error)) from error
    say(f"{output}: {len(content.slices)} slices, {output.stat().st_size / 1024:.0f} KiB.")


def tally(votes: Iterable[BattleRow]) -> dict[str, dict[str, list[Counter]]]:
    """Counters of a file's votes by slice and month."""
    sums: dict[tuple[str, str, str, str], list[float]] = defaultdict(lambda: [0.0] * 10)
    for vote in votes:
        month = "" if vote.when is None else f"{datetime.fromtimestamp(vote.when, UTC):%Y-%m}"
        for name in ("all", *([f"language:{vote.language}"] if vote.language else ()),
                     *(f"category:{category}" for category in dict.fromkeys(vote.categories))):  # fmt: skip
            row = sums[name, month, vote.left, vote.right]
            row[_PLACE[vote.winner]] += 1
            row[_WEIGHT[vote.winner]] += vote.weight
            row[_WEIGHT[vote.winner] + 3] += vote.weight**2
    found: dict[str, dict[str, list[Counter]]] = defaultdict(lambda: defaultdict(list))
    for (name, month, left, right), values in sums.items():
        found[name][month].append(Counter(left, right, *(int(value) for value in values[:4]), *values[4:]))
    return found


def _of_site(title: str, made: str) -> Content:
    from arena.selectors import leaderboard  # needs the database, which a file of votes does not

    return Content(
        title,
        "chatsite",
        made,
        leaderboard.by_month(),
        hidden=leaderboard.hidden_names(),
        organisations=leaderboard.organisations(),
    )
