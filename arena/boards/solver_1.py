"""The first solver of published boards, kept so that a board of its time can be solved again, bit for bit.

Never edited: whatever is changed here changes what `manage.py arena verify` says of boards that were published long
ago. The live board is solved by `arena.boards.solving`. It differs: this one held every rating by a weak prior, and
told chat models apart in one step. `standings` is all that a published board keeps.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import log
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from arena.boards.solving import Counter

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

POINTS = 400 / log(10)
MEAN = 1000.0
PRIOR_PRECISION = (POINTS / 1000) ** 2
LEVEL = 0.95
Z = 1.959963984540054
DRAWS = 1000
TRUSTED = 10.0
TOLERANCE = 1e-9


class Standing(NamedTuple):
    """What a published board says of a chat model."""

    name: str
    rating: float
    low: float
    high: float
    rank: int
    tier: int
    votes: int


@dataclass(frozen=True)
class _Votes:
    """(n,) rows with (n, 3) weights and squares of votes for the left, for the right, of ties; (n, 1) features."""

    names: tuple[str, ...]
    left: Ints
    right: Ints
    weights: Floats
    squares: Floats
    features: Floats


def standings(rows: Sequence[Counter]) -> tuple[Standing, ...]:
    """The board of these counters, best first."""
    rows = [row for row in rows if row.votes and row.left != row.right]
    if not rows:
        return ()
    votes = _votes(rows)
    theta, covariance = _fit(votes)
    errors = _errors(covariance)
    better = theta[:, None] - theta[None, :] > _critical_value(covariance, errors) * errors
    order = sorted(range(len(theta)), key=lambda i: (-round(float(theta[i]), 9), votes.names[i]))
    tiers = _tiers(order, better)
    half = Z * np.sqrt(np.clip(np.diag(covariance), 0, None))
    return tuple(
        Standing(
            name=votes.names[i],
            rating=float(MEAN + POINTS * theta[i]),
            low=float(MEAN + POINTS * (theta[i] - half[i])),
            high=float(MEAN + POINTS * (theta[i] + half[i])),
            rank=1 + int(better[:, i].sum()),
            tier=tiers[i],
            votes=sum(row.votes for row in rows if votes.names[i] in (row.left, row.right)),
        )
        for i in order
    )


def _votes(rows: Sequence[Counter]) -> _Votes:
    names = tuple(sorted({name for row in rows for name in (row.left, row.right)}))
    index = {name: number for number, name in enumerate(names)}
    return _Votes(
        names=names,
        left=np.array([index[row.left] for row in rows]),
        right=np.array([index[row.right] for row in rows]),
        weights=np.array([(row.left_weight, row.right_weight, row.tie_weight) for row in rows]),
        squares=np.array([(row.left_squares, row.right_squares, row.tie_squares) for row in rows]),
        features=np.ones((len(rows), 1)),
    )


def _fit(votes: _Votes, *, most: int = 50) -> tuple[Floats, Floats]:
    """(m,) log odds with a mean of 0, and the (m, m) covariance of their errors."""
    count, extra = len(votes.names), votes.features.shape[1]
    parameters = np.zeros(count + extra)
    total = votes.weights.sum(axis=1)
    score = votes.weights[:, 0] + votes.weights[:, 2] / 2
    value = _objective(votes, parameters, total, score)
    iterations = 0
    while iterations < most:
        chances = _chances(votes, parameters)
        gradient = _gather(votes, score - total * chances) - PRIOR_PRECISION * parameters
        if np.abs(gradient).max() < TOLERANCE:
            break
        curvature = _hessian(votes, total * chances * (1 - chances))
        step = np.asarray(np.linalg.solve(curvature, gradient), dtype=np.float64)
        parameters, moved = _advance(votes, parameters, step, value, total, score)
        iterations += 1
        if moved <= value:  # nothing is left but rounding
            break
        value = moved
    chances = _chances(votes, parameters)
    inverse = np.linalg.inv(_hessian(votes, total * chances * (1 - chances)))
    residual = np.stack([1 - chances, chances, 0.5 - chances], axis=1) ** 2  # (n, 3): left, right, tie
    meat = _outer(votes, _scatter(votes, residual, chances))
    covariance: Floats = (inverse @ meat @ inverse)[:count, :count]
    return parameters[:count] - parameters[:count].mean(), covariance


def _scatter(votes: _Votes, residual: Floats, chances: Floats) -> Floats:
    """(n,) Σ w²(y−p)² of each row, drawn towards what coin tosses with chance p would have where votes are few.

    Three ties that were fitted exactly are no proof that there is no noise. The model's own variance counts as much as
    `TRUSTED` votes of whichever of the two chat models has fewer.
    """
    count = len(votes.names)

    def per_model(values: Floats) -> Floats:
        met = np.bincount(votes.left, values, count) + np.bincount(votes.right, values, count)
        return np.asarray(met, dtype=np.float64)

    squares = votes.squares.sum(axis=1)
    number = per_model(votes.weights.sum(axis=1)) ** 2 / np.maximum(per_model(squares), 1e-300)
    fewer = np.minimum(number[votes.left], number[votes.right])
    share = TRUSTED / (TRUSTED + fewer)
    seen = (votes.squares * residual).sum(axis=1)
    found: Floats = (1 - share) * seen + share * squares * chances * (1 - chances)
    return found


def _critical_value(covariance: Floats, errors: Floats) -> float:
    """The 95 % point of the largest |difference| ÷ its error among all pairs, were all ratings equal.

    From 1,000 draws with the ratings' own covariance and a fixed seed.
    """
    count = len(covariance)
    if count < 2:
        return Z
    values, vectors = np.linalg.eigh(covariance)
    root = vectors * np.sqrt(np.clip(values, 0, None))
    draws = np.random.default_rng(0).standard_normal((DRAWS, count)) @ root.T  # (draws, m)
    largest = np.zeros(DRAWS)
    for index in range(count - 1):
        apart = np.abs(draws[:, [index]] - draws[:, index + 1 :]) / errors[index, index + 1 :]
        np.maximum(largest, apart.max(axis=1), out=largest)
    return max(Z, float(np.quantile(largest, LEVEL)))


def _chances(votes: _Votes, parameters: Floats) -> Floats:
    return 1 / (1 + np.exp(-_logits(votes, parameters)))


def _logits(votes: _Votes, parameters: Floats) -> Floats:
    count = len(votes.names)
    theta = parameters[:count]
    found: Floats = theta[votes.left] - theta[votes.right] + votes.features @ parameters[count:]
    return found


def _objective(votes: _Votes, parameters: Floats, total: Floats, score: Floats) -> float:
    logits = _logits(votes, parameters)
    # log(1 + e^x) without overflow
    likelihood = score @ logits - total @ np.logaddexp(0, logits)
    return float(likelihood - PRIOR_PRECISION / 2 * (parameters @ parameters))


def _advance(
    votes: _Votes, parameters: Floats, step: Floats, value: float, total: Floats, score: Floats
) -> tuple[Floats, float]:
    """Newton's step, halved until the likelihood does not fall."""
    for _ in range(30):
        moved = _objective(votes, parameters + step, total, score)
        if moved >= value:
            return parameters + step, moved
        step = step / 2
    return parameters, value


def _gather(votes: _Votes, per_row: Floats) -> Floats:
    """Xᵀ r for the design X = (left − right, features)."""
    count = len(votes.names)
    per_model = np.bincount(votes.left, per_row, count) - np.bincount(votes.right, per_row, count)
    return np.concatenate([per_model, votes.features.T @ per_row])


def _hessian(votes: _Votes, variance: Floats) -> Floats:
    found: Floats = _outer(votes, variance)
    found[np.diag_indices_from(found)] += PRIOR_PRECISION
    return found


def _outer(votes: _Votes, per_row: Floats) -> Floats:
    """Xᵀ diag(r) X."""
    count, extra = len(votes.names), votes.features.shape[1]
    met = np.bincount(votes.left * count + votes.right, per_row, count * count).reshape(count, count)
    met = met + met.T
    found = np.zeros((count + extra, count + extra))
    found[:count, :count] = np.diag(met.sum(axis=1)) - met
    for column in range(extra):
        weighted = per_row * votes.features[:, column]
        found[:, count + column] = _gather(votes, weighted)
        found[count + column, :] = found[:, count + column]
    return found


def _errors(covariance: Floats) -> Floats:
    """(m, m) standard errors of all differences; 1 on the diagonal, where nobody looks."""
    own = np.diag(covariance)
    squared = own[:, None] + own[None, :] - 2 * covariance
    np.fill_diagonal(squared, 1.0)
    found: Floats = np.sqrt(np.clip(squared, 1e-18, None))
    return found


def _tiers(order: Sequence[int], better: NDArray[np.bool_]) -> dict[int, int]:
    """A new tier starts at the first chat model that is worse beyond doubt than the current tier's best."""
    tiers, best, tier = {}, order[0], 1
    for i in order:
        if better[best, i]:
            best, tier = i, tier + 1
        tiers[i] = tier
    return tiers
