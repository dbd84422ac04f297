"""Models in which a tie is a result of its own, and not half a win for each.

With d the difference of two ratings in log-odds:

* Davidson (1970, JASA 65, 317–328): win : tie : loss = e^(d/2) : ν : e^(−d/2). The odds of winning are those of
  Bradley and Terry among the votes that decide.
* Rao and Kupper (1967, JASA 62, 194–204): a win needs d to beat a threshold δ, P(win) = σ(d − δ), P(loss) = σ(−d − δ).

Both likelihoods are concave in ratings and tie parameter, so Newton finds their one maximum. Ratings are on a wider
scale than the plain model's, which counts a tie as half of either.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from arena.ratings import graph
from arena.ratings.arrays import CENTRE, POINTS, Floats, Integers, logistic
from arena.ratings.bradley_terry import (
    WEAK_PRIOR,
    Fit,
    diverging_models,
    gauge_of,
    inverse,
    named_components,
    without_gauge,
)
from arena.ratings.pairs import PairCounts

Kind = Literal["davidson", "rao-kupper"]
KINDS: tuple[Kind, ...] = ("davidson", "rao-kupper")
TOLERANCE = 1e-9
MOST_STEPS = 100


@dataclass(frozen=True)
class TieFit:
    """Ratings, and the tie parameter: Davidson's ν, or Rao and Kupper's δ in log-odds, each with its error.

    `even` is how often two equal models tie.
    """

    fit: Fit
    kind: Kind
    parameter: float
    error: float
    even: float


class _Pairs(NamedTuple):
    """One row per unordered pair: (P,) positions, and (3, P) sums of weights and squares of win, loss and tie."""

    left: Integers
    right: Integers
    weight: Floats
    squares: Floats


class _Terms(NamedTuple):
    """Per pair and result (3, P): log-likelihood and its first and second derivatives in d and the parameter t."""

    value: Floats
    d: Floats
    t: Floats
    dd: Floats
    dt: Floats
    tt: Floats


def fit(counts: PairCounts, kind: Kind = "davidson", *, anchor: tuple[str, float] | None = None) -> TieFit:
    """Solve for all ratings and the tie parameter at once. Raises ValueError where all votes, or none, are ties."""
    if kind not in KINDS:
        raise ValueError(f"unknown tie model {kind!r}; known are {', '.join(KINDS)}.")
    if anchor is not None and anchor[0] not in counts.models:
        raise ValueError(f"The anchor {anchor[0]} has no votes.")
    pairs = _pairs(counts)
    won, lost, tied = (float(value) for value in pairs.weight.sum(axis=1))
    if tied == 0 or won + lost == 0:
        what = "No vote is a tie" if tied == 0 else "Every vote is a tie"
        raise ValueError(f"{what}, so a tie model has nothing to fit: rate without it.")
    connected = graph.components(counts.games)
    diverging = diverging_models(connected, graph.strong_components(counts.wins))
    prior = WEAK_PRIOR if diverging.any() else None
    size = len(counts.models)
    precision = np.zeros(size + 1)
    precision[:size] = 0.0 if prior is None else (POINTS / prior) ** 2
    gauge = gauge_of(connected, size + 1)
    terms = _davidson if kind == "davidson" else _rao_kupper
    values, gradient, steps = _solve(pairs, terms, precision, gauge, tied / (won + lost))
    found = terms(values[pairs.left] - values[pairs.right], values[size])
    bread = without_gauge(inverse(_curvature(pairs, found, size) + np.diag(precision) + gauge), connected)
    meat, dispersion = _meat(pairs, found, size)
    # Where only the prior holds a rating, the votes' own spread would be sure of it: see `bradley_terry`.
    robust = bread if diverging.any() else bread @ meat @ bread
    ratings = CENTRE + POINTS * values[:size]
    if anchor is not None:
        ratings = ratings + (anchor[1] - ratings[counts.models.index(anchor[0])])
    parameter, error = float(values[size]), float(np.sqrt(robust[size, size]))
    if kind == "davidson":
        parameter = float(np.exp(parameter))
        error *= parameter
    return TieFit(
        Fit(
            models=counts.models,
            ratings=ratings,
            covariance=robust[:size, :size] * POINTS**2,
            votes=counts.votes,
            gradient_norm=gradient,
            iterations=steps,
            components=named_components(counts.models, connected),
            diverging=tuple(n for n, apart in zip(counts.models, diverging, strict=True) if apart),
            prior=prior,
            dispersion=dispersion,
        ),
        kind,
        parameter,
        error,
        float(np.exp(terms(np.zeros(1), values[size]).value[2, 0])),
    )


def _pairs(counts: PairCounts) -> _Pairs:
    tables = (
        counts.left_wins + counts.right_wins.T,
        counts.right_wins + counts.left_wins.T,
        counts.ties + counts.ties.T,
        counts.left_squares + counts.right_squares.T,
        counts.right_squares + counts.left_squares.T,
        counts.tie_squares + counts.tie_squares.T,
    )
    left, right = np.nonzero(np.triu(counts.games, 1))
    columns = np.array([table[left, right] for table in tables]).reshape(6, len(left))
    return _Pairs(left.astype(np.int64), right.astype(np.int64), columns[:3], columns[3:])


def _davidson(d: Floats, t: float) -> _Terms:
    """t = ln ν."""
    logits = np.stack([d / 2, -d / 2, np.full_like(d, t)])
    top = logits.max(axis=0)
    total = top + np.log(np.exp(logits - top).sum(axis=0))
    value = logits - total
    win, loss, tie = np.exp(value)
    mean = (win - loss) / 2
    sides = np.array([0.5, -0.5, 0.0])[:, None]
    ties = np.array([0.0, 0.0, 1.0])[:, None]
    same = np.ones((3, 1))
    return _Terms(
        value,
        sides - mean,
        ties - tie,
        same * (mean**2 - (win + loss) / 4),
        same * (mean * tie),
        same * (tie**2 - tie),
    )


def _rao_kupper(d: Floats, t: float) -> _Terms:
    """t = δ > 0. P(tie) = σ(d + δ) σ(δ − d) (1 − e^(−2δ)), in which no difference loses its digits."""
    if t <= 0:
        return _Terms(*(np.full((3, len(d)), -np.inf if name == "value" else 0.0) for name in _Terms._fields))
    up, down = logistic(d + t), logistic(d - t)  # σ(d + δ), σ(d − δ)
    steep, flat = up * (1 - up), down * (1 - down)
    grown = float(np.expm1(2 * t))
    value = np.stack([_log(d - t), _log(-d - t), _log(d + t) + _log(t - d) + np.log(-np.expm1(-2 * t))])
    return _Terms(
        value,
        np.stack([1 - down, -up, (1 - up) - down]),
        np.stack([-(1 - down), -up, (1 - up) + down + 2 / grown]),
        np.stack([-flat, -steep, -steep - flat]),
        np.stack([flat, -steep, flat - steep]),
        np.stack([-flat, -steep, -steep - flat - 4 * (grown + 1) / grown**2]),
    )


def _log(x: Floats) -> Floats:
    """ln σ(x)."""
    return np.asarray(-np.logaddexp(0.0, -x))


def _solve(
    pairs: _Pairs, terms: Callable[[Floats, float], _Terms], precision: Floats, gauge: Floats, start: float
) -> tuple[Floats, float, int]:
    """(values, largest gradient, steps) of the maximum; `start` is about the tie parameter."""
    size = len(precision) - 1
    values = np.zeros(size + 1)
    values[size] = np.log(start) if terms is _davidson else np.log1p(start)

    def objective(at: Floats) -> float:
        found = terms(at[pairs.left] - at[pairs.right], at[size])
        return float((pairs.weight * found.value).sum() - 0.5 * (precision @ at**2))

    height, norm = objective(values), np.inf
    for step in range(MOST_STEPS):
        found = terms(values[pairs.left] - values[pairs.right], values[size])
        gradient = _gradient(pairs, found, size) - precision * values
        norm = float(np.abs(gradient).max())
        if norm < TOLERANCE:
            return values, norm, step
        move = np.linalg.solve(_curvature(pairs, found, size) + np.diag(precision) + gauge, gradient)
        for _ in range(40):
            new = objective(values + move)
            if new >= height - 1e-12 * abs(height):
                break
            move = move / 2
        values, height = values + move, new
    return values, norm, MOST_STEPS


def _gradient(pairs: _Pairs, found: _Terms, size: int) -> Floats:
    per_pair = (pairs.weight * found.d).sum(axis=0)
    return np.append(_per_model(pairs, per_pair, size), (pairs.weight * found.t).sum())


def _curvature(pairs: _Pairs, found: _Terms, size: int) -> Floats:
    """Minus the second derivatives, (M + 1, M + 1)."""
    dd, dt, tt = (-(pairs.weight * part).sum(axis=0) for part in (found.dd, found.dt, found.tt))
    return _square(pairs, dd, dt, float(tt.sum()), size)


def _meat(pairs: _Pairs, found: _Terms, size: int) -> tuple[Floats, float]:
    """Σ w² s sᵀ of each vote's score s, and the variance of a vote in d against what the model expects."""
    parts = ((pairs.squares * one * other).sum(axis=0)
             for one, other in ((found.d, found.d), (found.d, found.t), (found.t, found.t)))  # fmt: skip
    dd, dt, tt = parts
    expected = float(-(pairs.squares * found.dd).sum())
    return _square(pairs, dd, dt, float(tt.sum()), size), float(dd.sum()) / expected if expected else 1.0


def _square(pairs: _Pairs, dd: Floats, dt: Floats, tt: float, size: int) -> Floats:
    table = np.zeros((size, size))
    table[pairs.left, pairs.right] = dd
    table = table + table.T
    total = np.zeros((size + 1, size + 1))
    total[:size, :size] = np.diag(table.sum(axis=1)) - table
    total[:size, size] = total[size, :size] = _per_model(pairs, dt, size)
    total[size, size] = tt
    return total


def _per_model(pairs: _Pairs, value: Floats, size: int) -> Floats:
    left = np.bincount(pairs.left, weights=value, minlength=size)
    return np.asarray(left - np.bincount(pairs.right, weights=value, minlength=size))
