"""The curves of a run as SVG, made of plain numbers. Colours and sizes are the style sheet's, by class (plots.css)."""

import math
from collections.abc import Sequence
from html import escape
from typing import NamedTuple

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 360, 200, 44, 8, 8, 20
LEGEND = 18


class Series(NamedTuple):
    name: str
    points: Sequence[tuple[float, float]]
    """(step, value), in order of the steps."""


class _Frame(NamedTuple):
    """Where values come to lie."""

    first: float
    last: float
    low: float
    high: float

    def x(self, step: float) -> float:
        return LEFT + (step - self.first) / (self.last - self.first) * (WIDTH - LEFT - RIGHT)

    def y(self, value: float) -> float:
        return HEIGHT - BOTTOM - (value - self.low) / (self.high - self.low) * (HEIGHT - BOTTOM - TOP)


def draw(series: Sequence[Series], *, title: str) -> str:
    """Lines over steps; "" when there is no point that can be drawn."""
    drawn = [one for one in (_finite(one) for one in series) if one.points]
    if not drawn:
        return ""
    frame = _frame([point for one in drawn for point in one.points])
    parts = [*_grid(frame), *_steps(frame)]
    for number, one in enumerate(drawn):
        parts += _line(one, frame, number)
    height = HEIGHT + LEGEND * len(drawn)
    return (
        f'<svg class="plot" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" '
        f'aria-label="{escape(title)}">{"".join(parts)}</svg>'
    )


def _finite(series: Series) -> Series:
    return Series(series.name, [(x, y) for x, y in series.points if math.isfinite(x) and math.isfinite(y)])


def _frame(points: Sequence[tuple[float, float]]) -> _Frame:
    steps, values = [x for x, _ in points], [y for _, y in points]
    low, high = min(values), max(values)
    margin = (high - low) * 0.04 or abs(high) * 0.1 or 1.0
    return _Frame(min(steps), max(max(steps), min(steps) + 1), low - margin, high + margin)


def _grid(frame: _Frame) -> list[str]:
    parts = []
    for value in ticks(frame.low, frame.high):
        y = frame.y(value)
        parts.append(f'<line class="plot__grid" x1="{LEFT}" y1="{y:.1f}" x2="{WIDTH - RIGHT}" y2="{y:.1f}"/>')
        parts.append(_text(LEFT - 4, y + 4, _short(value), "plot__tick", "end"))
    return parts


def _steps(frame: _Frame) -> list[str]:
    y = HEIGHT - 4
    return [
        _text(LEFT, y, f"{frame.first:g}", "plot__tick", "start"),
        _text(WIDTH - RIGHT, y, f"{frame.last:g}", "plot__tick", "end"),
    ]


def _line(series: Series, frame: _Frame, number: int) -> list[str]:
    colour = f"plot__series plot__series--{number % 8}"
    places = [(frame.x(step), frame.y(value)) for step, value in series.points]
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    end_x, end_y = places[-1]
    row = HEIGHT + number * LEGEND + 12
    return [
        f'<polyline class="{colour}" points="{points}"><title>{escape(series.name)}</title></polyline>',
        f'<circle class="{colour}" cx="{end_x:.1f}" cy="{end_y:.1f}" r="2.5"/>',
        f'<line class="{colour}" x1="{LEFT}" y1="{row - 4}" x2="{LEFT + 18}" y2="{row - 4}"/>',
        _text(LEFT + 24, row, f"{series.name}: {series.points[-1][1]:.4g}", "plot__name", "start"),
    ]


def ticks(low: float, high: float) -> list[float]:
    """Three to six round numbers between `low` and `high`, of whatever size they are."""
    power = 10.0 ** math.floor(math.log10((high - low) / 3))
    step = next(factor * power for factor in (10, 5, 2, 1) if (high - low) / (factor * power) >= 3)
    first = math.ceil(low / step)
    count = math.floor(high / step) - first + 1
    return [(first + number) * step for number in range(count)]


def _short(value: float) -> str:
    """So few letters that they fit in front of the grid."""
    if value and abs(value) < 0.01:
        mantissa, _, exponent = f"{value:.1e}".partition("e")
        return f"{mantissa.removesuffix('.0')}e{int(exponent)}"
    return f"{value:.3g}"


def _text(x: float, y: float, words: str, style: str, anchor: str) -> str:
    return f'<text class="{style}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(words)}</text>'
