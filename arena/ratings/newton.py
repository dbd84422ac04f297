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
    """(n,) arrays, and features (n, k). `size` is the number of models."""

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
class Solution:
    """Where the gradient vanishes. `values` are (M + k,): ratings, then coefficients; `hessian` without the gauge."""

    values: Floats
    hessian: Floats
    gradient_norm: float
    iterations: int


def solve(rows: Rows, *, precision: Floats, gauge: Floats, tolerance: float = TOLERANCE) -> Solution:
    """Minimise the negative log-likelihood plus ½ Σ precision · value².

    `gauge` (M + k, M + k) is added to the Hessian where the likelihood is flat (the average of each connected group).
    The gradient is orthogonal to it, so it moves nothing and only makes the system solvable.
    """
    values = np.zeros(rows.size + rows.features.shape[1])
    pair = rows.pair
    loss = _loss(rows, values, precision)
    gradient, hessian = _derivatives(rows, pair, values, precision)
    for iteration in range(MOST_STEPS):
        norm = float(np.abs(gradient).max(initial=0.0))
        if norm < tolerance:
            return Solution(values, hessian, norm, iteration)
        step: Floats = np.linalg.solve(hessian + gauge, gradient).astype(np.float64, copy=False)
        values, loss, moved = _descend(rows, values, step, precision, loss)
        gradient, hessian = _derivatives(rows, pair, values, precision)
        if not moved:  # rounding is all that is left
            break
    return Solution(values, hessian, float(np.abs(gradient).max(initial=0.0)), iteration + 1)


def _descend(
    rows: Rows, values: Floats, step: Floats, precision: Floats, loss: float
) -> tuple[Floats, float, bool]:
    """Go along `step`, half as far each time the loss would rise."""
    # Near the minimum the loss no longer changes in double precision while the gradient still falls: allow for that.
    slack = 1e-12 * max(1.0, abs(loss))
    length = 1.0
    for _ in range(40):
        there = values - length * step
        new = _loss(rows, there, precision)
        if new <= loss + slack:
            return there, new, bool(np.abs(length * step).max() > 1e-15)
        length /= 2.0
    return values, loss, False


def _logits(rows: Rows, values: Floats) -> Floats:
    ratings, coefficients = values[: rows.size], values[rows.size :]
    logits = ratings[rows.left] - ratings[rows.right]
    if len(coefficients):
        logits += rows.features @ coefficients
    return np.asarray(logits)


def _loss(rows: Rows, values: Floats, precision: Floats) -> float:
    logits = _logits(rows, values)
    # w·log(1 + e^x) − w·y·x, in a form that cannot overflow
    softplus = np.maximum(logits, 0.0) + np.log1p(np.exp(-np.abs(logits)))
    return float(rows.weight @ softplus - rows.score @ logits + 0.5 * (precision @ values**2))


def _derivatives(rows: Rows, pair: Integers, values: Floats, precision: Floats) -> tuple[Floats, Floats]:
    """Gradient (M + k,) and Hessian (M + k, M + k) with the prior, without the gauge."""
    size, wide = rows.size, len(values)
    expected = logistic(_logits(rows, values))
    error = rows.weight * expected - rows.score  # (n,)
    curvature = rows.weight * expected * (1.0 - expected)  # (n,)
    gradient = np.zeros(wide)
    gradient[:size] = _per_model(pair, error, size)
    hessian = gram(rows, pair, curvature)
    gradient[size:] = rows.features.T @ error
    return gradient + precision * values, hessian + np.diag(precision)


def gram(rows: Rows, pair: Integers, value: Floats) -> Floats:
    """Σ value · x xᵀ (M + k, M + k), where x is +1 at the left model, −1 at the right one, and the features."""
    size, wide = rows.size, rows.size + rows.features.shape[1]
    total = np.zeros((wide, wide))
    between = np.bincount(pair, weights=value, minlength=size * size).reshape(size, size)
    between = between + between.T
    total[:size, :size] = np.diag(between.sum(axis=1)) - between
    if wide > size:
        weighted = rows.features * value[:, None]  # (n, k)
        for column in range(wide - size):
            total[:size, size + column] = _per_model(pair, np.ascontiguousarray(weighted[:, column]), size)
        total[size:, :size] = total[:size, size:].T
        total[size:, size:] = rows.features.T @ weighted
    return total


def errors(rows: Rows, values: Floats) -> Floats:
    """(n,): what each row got above what was expected of it."""
    return rows.score - rows.weight * logistic(_logits(rows, values))


def _per_model(pair: Integers, value: Floats, size: int) -> Floats:
    """(M,): Σ value where a model stands left, minus Σ value where it stands right."""
    table = np.bincount(pair, weights=value, minlength=size * size).reshape(size, size)
    return np.asarray(table.sum(axis=1) - table.sum(axis=0))
