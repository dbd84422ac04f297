"""Plots as SVG, made of plain numbers. Knows neither Django nor the leaderboard.

Colours come from the page's style sheet by class. Every plot is 360 units wide, the width of a small phone, so that its
letters keep their size there. What a plot says, a table beside it says as well.
"""

from collections.abc import Sequence
from html import escape
from typing import NamedTuple

WIDTH = 360
ROW = 30
PAD = 8
LONGEST_NAME = 34


class Interval(NamedTuple):
    name: str
    value: float
    low: float
    high: float


class Bar(NamedTuple):
    name: str
    value: float
    text: str


class Cell(NamedTuple):
    """One square of a heat map; `strength` −1 … 1 gives its colour, 0 the page's own."""

    strength: float
    text: str
    title: str


class Series(NamedTuple):
    name: str
    values: Sequence[float | None]


def intervals(rows: Sequence[Interval], *, title: str) -> str:
    """Dots with whiskers, one row each: the name above its line."""
    low, high = _padded([row.low for row in rows] + [row.high for row in rows])

    def x(value: float) -> float:
        return PAD + (value - low) / (high - low) * (WIDTH - 2 * PAD)

    height = len(rows) * ROW + 24
    parts = []
    for tick in _ticks(low, high):
        parts.append(_line(x(tick), 0, x(tick), height - 18, "plot__grid"))
        parts.append(_text(x(tick), height - 4, f"{tick:g}", "plot__tick", anchor="middle"))
    for number, row in enumerate(rows):
        y = number * ROW + 22
        parts.append(_text(PAD, y - 8, _short(row.name), "plot__name"))
        parts.append(_text(WIDTH - PAD, y - 8, f"{row.value:.0f}", "plot__value", anchor="end"))
        parts.append(_line(x(row.low), y, x(row.high), y, "plot__whisker"))
        parts.append(f'<circle class="plot__dot" cx="{x(row.value):.1f}" cy="{y}" r="3.5"/>')
    return _svg(height, title, parts)


def bars(rows: Sequence[Bar], *, title: str) -> str:
    """Horizontal bars from 0; the name above its bar."""
    most = max([row.value for row in rows], default=0.0) or 1.0
    parts = []
    for number, row in enumerate(rows):
        y = number * ROW
        width = max(0.0, row.value / most) * (WIDTH - 2 * PAD)
        parts.append(_text(PAD, y + 14, _short(row.name), "plot__name"))
        parts.append(_text(WIDTH - PAD, y + 14, row.text, "plot__value", anchor="end"))
        parts.append(_rect(PAD, y + 19, WIDTH - 2 * PAD, 6, "plot__track"))
        parts.append(_rect(PAD, y + 19, width, 6, "plot__bar"))
    return _svg(len(rows) * ROW + 4, title, parts)


def heat_map(names: Sequence[str], cells: Sequence[Sequence[Cell | None]], *, title: str) -> str:
    """`cells[i][j]` tells of row i and column j. Columns carry the rows' numbers, since names would not fit."""
    gutter = 128
    side = (WIDTH - gutter - PAD) / max(1, len(names))
    parts = []
    for number, name in enumerate(names):
        middle = 20 + number * side + side / 2
        parts.append(
            _text(gutter - 6, middle + 4, f"{_short(name, 15)} {number + 1}", "plot__name", anchor="end")
        )
        parts.append(
            _text(gutter + number * side + side / 2, 14, f"{number + 1}", "plot__tick", anchor="middle")
        )
    for i, row in enumerate(cells):
        for j, cell in enumerate(row):
            if cell is not None:
                parts.append(_square(gutter + j * side, 20 + i * side, side, cell))
    return _svg(20 + len(names) * side + PAD, title, parts)


def lines(labels: Sequence[str], series: Sequence[Series], *, title: str, counts: bool = False) -> str:
    """Lines over equally spaced labels, with a gap where there is no value. `counts` begin at 0, in whole steps."""
    known = [value for one in series for value in one.values if value is not None]
    low, high = (0.0, max(1.0, *known)) if counts and known else _padded(known or [0.0, 1.0])
    top, bottom, left = 8, 200, 38

    def x(index: int) -> float:
        return left + index / max(1, len(labels) - 1) * (WIDTH - left - PAD)

    def y(value: float) -> float:
        return bottom - (value - low) / (high - low) * (bottom - top)

    parts = []
    for tick in _ticks(low, high):
        if counts and tick != int(tick):
            continue
        parts.append(_line(left, y(tick), WIDTH - PAD, y(tick), "plot__grid"))
        parts.append(_text(left - 4, y(tick) + 4, f"{tick:g}", "plot__tick", anchor="end"))
    for index in _spread(len(labels), 4):
        anchor = "end" if index and index == len(labels) - 1 else "start" if index == 0 else "middle"
        parts.append(_text(x(index), bottom + 16, labels[index], "plot__tick", anchor=anchor))
    for number, one in enumerate(series):
        colour = f"plot__series plot__series--{number % 8}"
        for run in _runs(one.values):
            points = " ".join(f"{x(index):.1f},{y(value):.1f}" for index, value in run)
            parts.append(
                f'<polyline class="{colour}" points="{points}"><title>{escape(one.name)}</title></polyline>'
            )
            if len(run) == 1:
                index, value = run[0]
                parts.append(f'<circle class="{colour}" cx="{x(index):.1f}" cy="{y(value):.1f}" r="2.5"/>')
    legend = bottom + 34
    for number, one in enumerate(series):
        row = legend + number * 18
        parts.append(_line(left, row - 4, left + 18, row - 4, f"plot__series plot__series--{number % 8}"))
        parts.append(_text(left + 24, row, _short(one.name), "plot__name"))
    return _svg(legend + len(series) * 18, title, parts)


def _svg(height: float, title: str, parts: Sequence[str]) -> str:
    return (
        f'<svg class="plot" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}" role="img" '
        f'aria-label="{escape(title)}">{"".join(parts)}</svg>'
    )


def _text(x: float, y: float, text: str, style: str, anchor: str = "start") -> str:
    return f'<text class="{style}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _line(x1: float, y1: float, x2: float, y2: float, style: str) -> str:
    return f'<line class="{style}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def _rect(x: float, y: float, width: float, height: float, style: str) -> str:
    return f'<rect class="{style}" x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" rx="3"/>'


def _square(x: float, y: float, side: float, cell: Cell) -> str:
    style = "plot__cell--more" if cell.strength >= 0 else "plot__cell--less"
    opacity = min(1.0, abs(cell.strength))
    text = (
        _text(x + side / 2, y + side / 2 + 3, cell.text, "plot__cell-text", anchor="middle")
        if side >= 17
        else ""
    )
    return (
        f'<g><title>{escape(cell.title)}</title><rect class="{style}" x="{x + 0.5:.1f}" y="{y + 0.5:.1f}" '
        f'width="{side - 1:.1f}" height="{side - 1:.1f}" fill-opacity="{opacity:.2f}"/>{text}</g>'
    )


def _short(name: str, most: int = LONGEST_NAME) -> str:
    return name if len(name) <= most else f"{name[: most - 1]}…"


def _padded(values: Sequence[float]) -> tuple[float, float]:
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    margin = (high - low) * 0.04 or 1.0
    return low - margin, high + margin


def _ticks(low: float, high: float) -> list[float]:
    """About four round numbers between `low` and `high`."""
    rough = (high - low) / 4
    power = 10.0 ** (len(f"{int(rough)}") - 1) if rough >= 1 else 0.1
    step = next(step for factor in (1, 2, 5, 10, 20, 50, 100) if (step := factor * power) >= rough)
    first = -(-low // step)
    return [round((first + number) * step, 6) for number in range(8) if (first + number) * step <= high]


def _spread(count: int, most: int) -> list[int]:
    """Up to `most` indices, the first and the last among them."""
    if count <= most:
        return list(range(count))
    return sorted({round(number * (count - 1) / (most - 1)) for number in range(most)})


def _runs(values: Sequence[float | None]) -> list[list[tuple[int, float]]]:
    runs: list[list[tuple[int, float]]] = [[]]
    for index, value in enumerate(values):
        if value is None:
            runs.append([])
        else:
            runs[-1].append((index, value))
    return [run for run in runs if run]
