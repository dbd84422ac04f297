"""A board as one file that needs no server: of a file's votes, or of this site's."""

from array import array
from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from django.core.management.base import CommandError, CommandParser

from arena.battle_files.rows import BattleRow
from arena.boards import solving
from arena.boards.report import page
from arena.boards.report.page import Content
from arena.boards.solving import Counter, Widening
from arena.commands import Say, files
from arena.ratings.pairs import Outcomes

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
    content = _of_site(options["title"], made) if options["file"] is None else _of_file(options, made)
    if not content.slices:
        raise CommandError("There are no votes for a report. Votes cast with names in view need --named.")
    try:
        output.write_text(page.render(content), encoding="utf-8")
    except OSError as error:
        raise CommandError(str(error)) from error
    count = len(content.slices)
    say(f"{output}: {count} {'slice' if count == 1 else 'slices'}, {output.stat().st_size / 1024:.0f} KiB.")


class Gathered:
    """What of each vote tells how votes hang together, in some tens of bytes each."""

    def __init__(self) -> None:
        self._names: tuple[dict[str, int], ...] = ({}, {}, {})  # chat models, people, prompts
        self._columns = tuple(array("q") for _ in range(4))  # left, right, voter, prompt
        self._scores, self._weights = array("d"), array("d")
        self._rows: dict[str, array[int]] = defaultdict(lambda: array("q"))
        self._voters = self._prompts = False

    def passing(self, votes: Iterable[BattleRow]) -> Iterator[BattleRow]:
        """The same votes, each noted on its way."""
        for vote in votes:
            self._note(vote)
            yield vote

    def widening(self, name: str) -> Widening:
        """Of a slice."""
        rows = np.array(self._rows[name], dtype=np.int64)
        left, right, voter, prompt = (np.array(column, dtype=np.int64)[rows] for column in self._columns)
        present, places = np.unique(np.concatenate([left, right]), return_inverse=True)
        names = list(self._names[0])
        return solving.widening(
            Outcomes(
                tuple(names[index] for index in present),
                places[: len(rows)],
                places[len(rows) :],
                np.array(self._scores)[rows],
                np.array(self._weights)[rows],
                voter=voter if self._voters else None,
                prompt=prompt if self._prompts else None,
            )
        )

    def _note(self, vote: BattleRow) -> None:
        number = len(self._scores)
        models, people, prompts = self._names
        prompt = vote.turns[0].prompt if vote.turns else vote.prompt
        # Who or what is not known is another one each time.
        self._columns[0].append(models.setdefault(vote.left, len(models)))
        self._columns[1].append(models.setdefault(vote.right, len(models)))
        self._columns[2].append(people.setdefault(vote.voter or f"unknown {number}", len(people)))
        self._columns[3].append(prompts.setdefault(prompt or f"unknown {number}", len(prompts)))
        self._voters |= bool(vote.voter)
        self._prompts |= bool(prompt)
        self._scores.append(vote.score)
        self._weights.append(vote.weight)
        for name in slices_of(vote):
            self._rows[name].append(number)


def slices_of(vote: BattleRow) -> list[str]:
    language = [f"language:{vote.language}"] if vote.language else []
    return ["all", *language, *(f"category:{category}" for category in dict.fromkeys(vote.categories))]


def tally(votes: Iterable[BattleRow]) -> dict[str, dict[str, list[Counter]]]:
    """Counters of a file's votes by slice and month."""
    sums: dict[tuple[str, str, str, str], list[float]] = defaultdict(lambda: [0.0] * 10)
    for vote in votes:
        month = "" if vote.when is None else f"{datetime.fromtimestamp(vote.when, UTC):%Y-%m}"
        for name in slices_of(vote):
            row = sums[name, month, vote.left, vote.right]
            row[_PLACE[vote.winner]] += 1
            row[_WEIGHT[vote.winner]] += vote.weight
            row[_WEIGHT[vote.winner] + 3] += vote.weight**2
    found: dict[str, dict[str, list[Counter]]] = defaultdict(lambda: defaultdict(list))
    for (name, month, left, right), values in sums.items():
        found[name][month].append(Counter(left, right, *(int(value) for value in values[:4]), *values[4:]))
    return found


def _of_file(options: dict[str, Any], made: str) -> Content:
    gathered = Gathered()
    slices = tally(gathered.passing(files.votes(options)))
    widenings = {name: gathered.widening(name) for name in page.largest(slices)}
    return Content(options["title"], options["file"].name, made, slices, widenings=widenings)


def _of_site(title: str, made: str) -> Content:
    from arena.selectors import leaderboard  # needs the database, which a file of votes does not

    return Content(
        title,
        "chatsite",
        made,
        leaderboard.by_month(),
        hidden=leaderboard.hidden_names(),
        organisations=leaderboard.organisations(),
        widenings=leaderboard.widenings(),
    )
