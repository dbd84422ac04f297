"""From a solved board to what its page shows: plots with the tables beside them, and files."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext as _

from arena.boards import plots
from arena.boards.solving import Board
from arena.selectors.leaderboard import Shown

IN_MATRIX = 12
IN_CHART = 30


@dataclass(frozen=True)
class Plot:
    """A drawing and the same as a table."""

    key: str
    title: str
    note: str
    svg: SafeString
    head: Sequence[str]
    rows: Sequence[Sequence[str]]


def build(board: Board, lines: Sequence[Shown]) -> list[Plot]:
    if not lines:
        return []
    few = lines[:IN_MATRIX]
    return [
        _intervals(lines[:IN_CHART]),
        _fractions(board, few),
        _counts(board, few),
        _win_rates(lines[:IN_CHART]),
    ]


def history(months: Sequence[str], ratings: Mapping[str, Sequence[float | None]]) -> Plot | None:
    """None where there is no month to show."""
    if not months:
        return None
    title = _("Rating over time")
    series = [plots.Series(name, values) for name, values in ratings.items()]
    return Plot(
        "over-time",
        title,
        _("Of all votes up to the end of each month; the best chat models of today."),
        _drawn(plots.lines(months, series, title=title)),
        [_("Chat model"), *months],
        [[name, *("" if v is None else f"{v:.0f}" for v in values)] for name, values in ratings.items()],
    )


def table(lines: Sequence[Shown]) -> Iterator[Sequence[object]]:
    yield ("rank", "tier", "model", "rating", "low", "high", "votes", "win_rate", "organisation", "licence")
    for line in lines:
        s = line.standing
        numbers = (round(s.rating, 2), round(s.low, 2), round(s.high, 2), s.votes, round(s.win_rate, 4))
        yield (s.rank, s.tier, line.name, *numbers, line.organisation, line.licence)


def pairs(board: Board, lines: Sequence[Shown]) -> Iterator[Sequence[object]]:
    yield ("model", "opponent", "wins", "losses", "ties")
    for first in lines:
        for second in lines:
            meeting = board.meeting(first.name, second.name)
            if meeting.votes:
                yield (first.name, second.name, meeting.wins, meeting.losses, meeting.ties)


def _intervals(lines: Sequence[Shown]) -> Plot:
    title = _("Ratings with 95 % intervals")
    rows = [plots.Interval(x.name, x.standing.rating, x.standing.low, x.standing.high) for x in lines]
    return Plot(
        "intervals",
        title,
        _(
            "Where intervals overlap a little, two chat models may still be told apart: the table above says so."
        ),
        _drawn(plots.intervals(rows, title=title)),
        [_("Chat model"), _("Rating"), _("From"), _("To")],
        [[row.name, f"{row.value:.0f}", f"{row.low:.0f}", f"{row.high:.0f}"] for row in rows],
    )


def _fractions(board: Board, lines: Sequence[Shown]) -> Plot:
    title = _("Share of wins, ties left out")
    names = [line.name for line in lines]
    cells: list[list[plots.Cell | None]] = []
    rows = []
    for first in names:
        found = [board.meeting(first, second).fraction for second in names]
        cells.append(
            [
                None if f is None else _fraction_cell(first, second, f)
                for second, f in zip(names, found, strict=True)
            ]
        )
        rows.append([first, *("" if f is None else f"{f:.0%}" for f in found)])
    return Plot(
        "fractions",
        title,
        _("The row's chat model against the column's, in per cent."),
        _drawn(plots.heat_map(names, cells, title=title)),
        [_("Chat model"), *names],
        rows,
    )


def _fraction_cell(first: str, second: str, fraction: float) -> plots.Cell:
    percent = f"{fraction * 100:.0f}"
    return plots.Cell(
        (fraction - 0.5) * 1.6,
        percent,
        _("%(first)s won %(percent)s %% against %(second)s")
        % {"first": first, "percent": percent, "second": second},
    )


def _counts(board: Board, lines: Sequence[Shown]) -> Plot:
    title = _("Votes of each pair")
    names = [line.name for line in lines]
    numbers = [[board.meeting(first, second).votes for second in names] for first in names]
    most = max(max(row) for row in numbers) or 1
    cells = [
        [
            plots.Cell(0.75 * n / most, str(n) if n < 1000 else f"{n // 1000}k", f"{first} – {second}: {n}")
            if n
            else None
            for second, n in zip(names, row, strict=True)
        ]
        for first, row in zip(names, numbers, strict=True)
    ]
    return Plot(
        "counts",
        title,
        _("Ties included."),
        _drawn(plots.heat_map(names, cells, title=title)),
        [_("Chat model"), *names],
        [[name, *(str(n) if n else "" for n in row)] for name, row in zip(names, numbers, strict=True)],
    )


def _win_rates(lines: Sequence[Shown]) -> Plot:
    title = _("Average win rate")
    ordered = sorted(lines, key=lambda line: -line.standing.win_rate)
    rows = [plots.Bar(x.name, x.standing.win_rate, f"{x.standing.win_rate:.0%}") for x in ordered]
    return Plot(
        "win-rates",
        title,
        _("The fitted chance against an opponent drawn evenly from all others."),
        _drawn(plots.bars(rows, title=title)),
        [_("Chat model"), _("Win rate")],
        [[row.name, row.text] for row in rows],
    )


def _drawn(svg: str) -> SafeString:
    return mark_safe(svg)  # noqa: S308 - `plots` escapes every name
