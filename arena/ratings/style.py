"""Ratings with style held constant: how long and how decorated an answer is, and on which side it stood.

Each feature is the relative difference (left − right) / (left + right + 1) of a count. Two methods:

* `ours`: features scaled to a standard deviation of one, the position as a covariate of its own, no shrinkage; every
  effect has a robust standard error. A feature that never differs is left out and named, instead of spoiling all.
* `fastchat`: features centred and scaled, no position, ½ · 0.5 · ‖(r, b)‖² on ratings and effects (r in factors of
  ten), as `compute_style_control` of FastChat's rating_systems.py has it. For comparison.
"""

import re
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from arena.ratings import graph, newton
from arena.ratings.arrays import CENTRE, POINTS, Booleans, Floats
from arena.ratings.bradley_terry import (
    WEAK_PRIOR,
    Fit,
    cells,
    diverging_models,
    gauge_of,
    inverse,
    named_components,
    precisions,
    toss_share,
    without_gauge,
)
from arena.ratings.pairs import Outcomes, PairCounts

FEATURES = ("length", "headers", "lists", "bold")
POSITION = "position"
FASTCHAT_SHRINKAGE = 0.5

_FENCE = re.compile(r"^(```|~~~).*?(?:^\1|\Z)", re.MULTILINE | re.DOTALL)
_HEADER = re.compile(r"^ {0,3}#{1,6}\s", re.MULTILINE)
_LIST = re.compile(r"^[ \t]*(?:[-*+]|\d{1,9}[.)])\s", re.MULTILINE)
_BOLD = re.compile(r"\*\*[^*\n]+\*\*|__[^_\n]+__")
_WORD = re.compile(r"\w+|[^\w\s]")
_CHARACTERS_A_TOKEN = 4  # of a long word; about right for English, and the same for both sides


class StyleCounts(NamedTuple):
    """Of one side of a battle: all its answers together."""

    length: int
    headers: int
    lists: int
    bold: int


class Effect(NamedTuple):
    """What one standard deviation of a feature (or standing on the left) is worth, in points, with its error."""

    name: str
    coefficient: float  # in log-odds, as published coefficients are
    points: float
    error: float  # in points


@dataclass(frozen=True)
class StyleFit:
    """A fit whose ratings are those of answers of the same style; what style is worth; what could not be told."""

    fit: Fit
    effects: tuple[Effect, ...]
    left_out: tuple[str, ...]


def count(text: str) -> StyleCounts:
    """Of one answer in Markdown. Headers, list items and bold phrases count outside of code blocks only."""
    prose = _FENCE.sub("", text)
    tokens = sum(-(-len(word) // _CHARACTERS_A_TOKEN) for word in _WORD.findall(text))
    return StyleCounts(
        tokens, len(_HEADER.findall(prose)), len(_LIST.findall(prose)), len(_BOLD.findall(prose))
    )


def add(counts: list[StyleCounts]) -> StyleCounts:
    """All answers of a side together."""
    return (
        StyleCounts(*(sum(column) for column in zip(*counts, strict=True)))
        if counts
        else StyleCounts(0, 0, 0, 0)
    )


def differences(left: Floats, right: Floats) -> Floats:
    """Relative differences of counts, between −1 and 1."""
    return np.asarray((left - right) / (left + right + 1.0))


def fit(
    outcomes: Outcomes,
    left: Floats,
    right: Floats,
    *,
    method: Literal["ours", "fastchat"] = "ours",
    anchor: tuple[str, float] | None = None,
    trusted: float = 0.0,
) -> StyleFit:
    """`left` and `right` are the counts of each vote's two sides, (n, 4) in the order of `FEATURES`.

    `trusted` is that of `bradley_terry.fit`.
    """
    if left.shape != (len(outcomes), len(FEATURES)) or right.shape != left.shape:
        raise ValueError(f"Style counts must be ({len(outcomes)}, {len(FEATURES)}) for both sides.")
    if not (
        np.isfinite(left).all() and np.isfinite(right).all() and (left >= 0).all() and (right >= 0).all()
    ):
        raise ValueError("Style counts must be finite and not negative.")
    if anchor is not None and anchor[0] not in outcomes.models:
        raise ValueError(f"The anchor {anchor[0]} has no votes.")
    # (4, n): a feature at a time, so that its numbers lie side by side in memory
    raw = [differences(left[:, index].astype(np.float64), right[:, index]) for index in range(len(FEATURES))]
    spread = [float(feature.std()) if len(feature) else 0.0 for feature in raw]
    used = [index for index, width in enumerate(spread) if width > 1e-12]
    names = [FEATURES[index] for index in used]
    columns = [raw[index] / spread[index] for index in used]
    if method == "fastchat":
        columns = [column - column.mean() for column in columns]
    else:
        columns.append(np.ones(len(outcomes)))
        names.append(POSITION)
    features = np.array(columns, dtype=np.float64).reshape(len(columns), len(outcomes))
    left_out = tuple(name for index, name in enumerate(FEATURES) if index not in used)
    return _solve(outcomes, features, tuple(names), left_out, method, anchor, trusted)


def _solve(
    outcomes: Outcomes,
    features: Floats,
    names: tuple[str, ...],
    left_out: tuple[str, ...],
    method: str,
    anchor: tuple[str, float] | None,
    trusted: float,
) -> StyleFit:
    counts = PairCounts.of(outcomes)
    size, wide = len(outcomes.models), len(outcomes.models) + len(features)
    connected = graph.components(counts.games)
    diverging = diverging_models(connected, graph.strong_components(counts.wins))
    prior = WEAK_PRIOR if diverging.any() else None
    if method == "fastchat":
        prior = POINTS * np.log(10.0) / np.sqrt(FASTCHAT_SHRINKAGE)
    # The weak prior of the effects also holds those that the others explain, or that few votes cannot tell.
    precision = precisions(size, wide, prior)
    if method == "fastchat":
        precision[size:] = FASTCHAT_SHRINKAGE
    rows = newton.group(
        newton.Rows(
            size, outcomes.left, outcomes.right, outcomes.score * outcomes.weight, outcomes.weight, features
        )
    )
    gauge = gauge_of(connected, wide)
    # The ratings without style are close, and cost next to nothing.
    plain = newton.solve(
        newton.group(cells(counts, position=False)), precision=precision[:size], gauge=gauge[:size, :size]
    )
    start = np.concatenate([plain.values, np.zeros(wide - size)])
    solution = newton.solve(rows, precision=precision, gauge=gauge, start=start)
    bread = without_gauge(inverse(solution.hessian + gauge), connected)
    spread, dispersion = _spread(rows, solution.values, counts, diverging, trusted)
    meat = newton.gram(rows, spread) + np.diag(precision)
    covariance = np.asarray(bread @ meat @ bread * POINTS**2)
    ratings = CENTRE + POINTS * solution.values[:size]
    if anchor is not None:
        ratings = ratings + (anchor[1] - ratings[outcomes.models.index(anchor[0])])
    error = np.sqrt(np.maximum(np.diag(covariance)[size:], 0.0))
    effects = tuple(
        Effect(name, float(value), float(POINTS * value), float(width))
        for name, value, width in zip(names, solution.values[size:], error, strict=True)
    )
    place = next((effect for effect in effects if effect.name == POSITION), None)
    whole = Fit(
        models=outcomes.models,
        ratings=ratings,
        covariance=covariance[:size, :size],
        votes=counts.votes,
        gradient_norm=solution.gradient_norm,
        iterations=solution.iterations,
        components=named_components(outcomes.models, connected),
        diverging=tuple(name for name, apart in zip(outcomes.models, diverging, strict=True) if apart),
        prior=None if prior is None else float(prior),
        dispersion=dispersion,
        position=place.points if place else None,
        position_error=place.error if place else None,
    )
    return StyleFit(whole, effects, left_out)


def _spread(
    rows: newton.Grouped, values: Floats, counts: PairCounts, diverging: Booleans, trusted: float
) -> tuple[Floats, float]:
    """(n,) w² (y − p)², partly as coin tosses (`toss_share`), and the variance of a vote against a coin toss's."""
    expected = newton.chances(rows, values)
    squared = (rows.score - rows.weight * expected) ** 2
    tosses = rows.weight**2 * expected * (1.0 - expected)
    total = float(tosses.sum())
    dispersion = float(squared.sum()) / total if total > 0 else 1.0
    squares = counts.left_squares + counts.right_squares + counts.tie_squares
    share = toss_share(counts.votes, (squares + squares.T).sum(axis=1), diverging, trusted)
    each = np.repeat(share[rows.left, rows.right], rows.times)
    return np.asarray((1.0 - each) * squared + each * tosses), dispersion
