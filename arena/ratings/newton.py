"""One solver for every logistic model of the arena: Newton with step-halving on sums per pair.

A row says that model `left` met model `right` with `weight`, that the left side got `score` of it, and what else was
different between the two (`features`). logit P(left) = r[left] − r[right] + features · b, in natural units.
"""

from dataclasses import dataclass

import numpy as np

from arena.ratings.arrays import Floats, Integers, logistic

TOLERANCE = 1e-9  # largest component of the gradient, in votes
MOST_STEPS = 100


@dataclass(frozen=True)
class Rows:
    """(n,) arrays, and features (k, n): each feature's numbers side by side. `size` is the number of models."""

    size: int
    left: Integers
    right: Integers
    score: Floats  # in the share of `weight` that the left side won: weight · y
    weight: Floats
    features: Floats

    @property
    def pair(self) -> Integers:
        return self.left * self.size + self.right


@dataclass(frozen=True)
class Grouped:
    """Rows sorted by pair, because sums over neighbours and repeated ratings are several times as fast as lookups."""

    size: int
    starts: Integers  # (P,): where each pair begins
    times: Integers  # (P,)
    left: Integers  # (P,)
    right: Integers  # (P,)
    score: Floats  # (n,)
    weight: Floats  # (n,)
    features: Floats  # (k, n)


@dataclass(frozen=True)
class Solution:
    """Where the gradient vanishes. `values` are (M + k,): ratings, then coefficients; `hessian` without the gauge."""

    values: Floats
    hessian: Floats
    gradient_norm: float
    iterations: int


def solve(
    rows: Grouped,
    *,
    precision: Floats,
    gauge: Floats,
    start: Floats | None = None,
    tolerance: float = TOLERANCE,
) -> Solution:
    """Minimise the negative log-likelihood plus ½ Σ precision · value².

    `gauge` (M + k, M + k) is added to the Hessian where the likelihood is flat (the average of each connected group).
    The gradient is orthogonal to it, so it moves nothing and only makes the system solvable. `start` saves steps.
    """
    values = np.zeros(rows.size + len(rows.features)) if start is None else start
    logits = _logits(rows, values)
    loss = _loss(rows, logits, values, precision)
    for iteration in range(MOST_STEPS):
        gradient, hessian = _derivatives(rows, logits, values, precision)
        norm = float(np.abs(gradient).max(initial=0.0))
        if norm < tolerance:
            return Solution(values, hessian, norm, iteration)
        step: Floats = np.linalg.solve(hessian + gauge, gradient).astype(np.float64, copy=False)
        values, logits, loss, moved = _descend(rows, values, logits, step, precision, loss)
        if not moved:  # rounding is all that is left
            break
    gradient, hessian = _derivatives(rows, logits, values, precision)
    return Solution(values, hessian, float(np.abs(gradient).max(initial=0.0)), iteration + 1)


def group(rows: Rows) -> Grouped:
    pair = rows.pair
    # Numpy sorts 16-bit numbers by counting, ten times as fast as longer ones.
    keys = pair.astype(np.uint16) if rows.size <= 256 else pair
    order = np.argsort(keys, kind="stable")
    times = np.bincount(pair, minlength=rows.size**2)
    present = np.flatnonzero(times)
    times = times[present]
    left, right = np.divmod(present, max(rows.size, 1))
    return Grouped(
        size=rows.size,
        starts=np.cumsum(times) - times,
        times=times,
        left=left,
        right=right,
        score=rows.score[order],
        weight=rows.weight[order],
        features=np.array([feature[order] for feature in rows.features]).reshape(
            len(rows.features), len(order)
        ),
    )


def _descend(
    rows: Grouped, values: Floats, logits: Floats, step: Floats, precision: Floats, loss: float
) -> tuple[Floats, Floats, float, bool]:
    """Go along `step`, half as far each time the loss would rise."""
    # Near the minimum the loss no longer changes in double precision while the gradient still falls: allow for that.
    slack = 1e-12 * max(1.0, abs(loss))
    length = 1.0
    for _ in range(40):
        there = values - length * step
        ahead = _logits(rows, there)
        new = _loss(rows, ahead, there, precision)
        if new <= loss + slack:
            return there, ahead, new, bool(np.abs(length * step).max() > 1e-15)
        length /= 2.0
    return values, logits, loss, False


def _logits(rows: Grouped, values: Floats) -> Floats:
    ratings, coefficients = values[: rows.size], values[rows.size :]
    logits = np.repeat(ratings[rows.left] - ratings[rows.right], rows.times)
    if len(coefficients):
        logits += coefficients @ rows.features
    return np.asarray(logits)


def _loss(rows: Grouped, logits: Floats, values: Floats, precision: Floats) -> float:
    # w·log(1 + e^x) − w·y·x, in a form that cannot overflow
    softplus = np.maximum(logits, 0.0) + np.log1p(np.exp(-np.abs(logits)))
    return float(rows.weight @ softplus - rows.score @ logits + 0.5 * (precision @ values**2))


def _derivatives(rows: Grouped, logits: Floats, values: Floats, precision: Floats) -> tuple[Floats, Floats]:
    """Gradient (M + k,) and Hessian (M + k, M + k) with the prior, without the gauge."""
    size = rows.size
    expected = logistic(logits)
    error = rows.weight * expected - rows.score  # (n,)
    curvature = rows.weight * expected * (1.0 - expected)  # (n,)
    gradient = np.zeros(len(values))
    gradient[:size] = _per_model(rows, _per_pair(rows, error))
    gradient[size:] = rows.features @ error
    return gradient + precision * values, gram(rows, curvature) + np.diag(precision)


def chances(rows: Grouped, values: Floats) -> Floats:
    """(n,): of the left side in each row; in the order of the group."""
    return logistic(_logits(rows, values))


def gram(rows: Grouped, value: Floats) -> Floats:
    """Σ value · x xᵀ (M + k, M + k), where x is +1 at the left model, −1 at the right one, and the features."""
    size, wide = rows.size, rows.size + len(rows.features)
    total = np.zeros((wide, wide))
    between = np.zeros((size, size))
    between[rows.left, rows.right] = _per_pair(rows, value)
    between = between + between.T
    total[:size, :size] = np.diag(between.sum(axis=1)) - between
    if wide > size:
        weighted = rows.features * value  # (k, n)
        for column, sums in enumerate(_per_pair(rows, weighted)):
            total[:size, size + column] = _per_model(rows, sums)
        total[size:, :size] = total[:size, size:].T
        total[size:, size:] = weighted @ rows.features.T
    return total


def _per_pair(rows: Grouped, value: Floats) -> Floats:
    """(…, P) from (…, n): sums over the rows of each pair."""
    if not len(rows.starts):
        return np.zeros((*value.shape[:-1], 0))
    return np.asarray(np.add.reduceat(value, rows.starts, axis=-1))


def _per_model(rows: Grouped, sums: Floats) -> Floats:
    """(M,): Σ where a model stands left, minus Σ where it stands right, from sums per pair."""
    left = np.bincount(rows.left, weights=sums, minlength=rows.size)
    return np.asarray(left - np.bincount(rows.right, weights=sums, minlength=rows.size))
