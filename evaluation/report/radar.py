"""A radar of categories as plain geometry: points for an SVG, drawn without scripts and without inline styles."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

RADIUS: Final = 120.0
RINGS: Final = 5
MOST_SERIES: Final = 6
"""More outlines than this cannot be told apart, neither by colour nor by dash; the table beside has them all."""

FEWEST_CATEGORIES: Final = 3
"""With fewer corners there is no area."""

LABEL_GAP: Final = 14.0


@dataclass(frozen=True)
class Spoke:
    label: str
    x: float
    y: float
    label_x: float
    label_y: float
    anchor: str


@dataclass(frozen=True)
class Outline:
    name: str
    number: int
    """From 1; picks the colour and the dash."""
    points: str
    dots: Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Radar:
    title: str
    spokes: Sequence[Spoke]
    rings: Sequence[str]
    outlines: Sequence[Outline]
    low: float
    high: float
    left_out: Sequence[str] = ()


def draw(
    title: str,
    values: Mapping[str, Mapping[str, float]],
    categories: Sequence[str],
    *,
    low: float,
    high: float,
) -> Radar | None:
    """`values` are series → category → value; None when there are too few categories for an area.

    A category without a value is drawn at the centre's edge, `low`: leaving the corner out would join its neighbours
    and make a gap look like a result.
    """
    if len(categories) < FEWEST_CATEGORIES or not values or not low < high:
        return None
    names = list(values)
    outlines = [
        _outline(name, number, [_portion(values[name].get(c, low), low, high) for c in categories])
        for number, name in enumerate(names[:MOST_SERIES], start=1)
    ]
    rings = [_joined(_corners([ring / RINGS] * len(categories))) for ring in range(1, RINGS + 1)]
    spokes = [_spoke(category, position, len(categories)) for position, category in enumerate(categories)]
    return Radar(title, spokes, rings, outlines, low, high, tuple(names[MOST_SERIES:]))


def _portion(value: float, low: float, high: float) -> float:
    if not math.isfinite(value):
        return 0.0
    return min(1.0, max(0.0, (value - low) / (high - low)))


def _outline(name: str, number: int, portions: Sequence[float]) -> Outline:
    corners = _corners(portions)
    return Outline(name, number, _joined(corners), corners)


def _corners(portions: Sequence[float]) -> list[tuple[float, float]]:
    return [_at(position, len(portions), RADIUS * portion) for position, portion in enumerate(portions)]


def _at(position: int, total: int, distance: float) -> tuple[float, float]:
    """Clockwise from the top; SVG's y grows downwards."""
    angle = 2 * math.pi * position / total
    return round(distance * math.sin(angle), 1), round(-distance * math.cos(angle), 1)


def _joined(corners: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{x:g},{y:g}" for x, y in corners)


def _spoke(label: str, position: int, total: int) -> Spoke:
    x, y = _at(position, total, RADIUS)
    label_x, label_y = _at(position, total, RADIUS + LABEL_GAP)
    anchor = "middle" if abs(label_x) < 1 else "start" if label_x > 0 else "end"
    return Spoke(label, x, y, label_x, label_y + 4, anchor)
