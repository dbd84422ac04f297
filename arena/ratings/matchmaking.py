"""Which pairs to draw: probabilities that add up to one, so that every draw's propensity is known and can be kept.

Choosing pairs by what earlier votes said does not bias the ratings: given the pair, the verdict follows the model, and
the likelihood conditions on the pair. The propensities let anybody check that, or weigh votes to an even exposure.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from arena.ratings.arrays import POINTS, Floats
from arena.ratings.bradley_terry import WEAK_PRIOR, fit, inverse
from arena.ratings.pairs import PairCounts

UNIFORM_SHARE = 0.2  # of all draws, whatever the past says


def uniform(models: Sequence[str]) -> Floats:
    """(M, M), symmetric, zero diagonal; [i, j] + [j, i] is the chance of the pair, half for either order."""
    return weighted(models, {})


def weighted(models: Sequence[str], weights: Mapping[str, float]) -> Floats:
    """In proportion to the product of two weights; a model that is not named has weight 1, weight 0 is never drawn."""
    _distinct(models)
    values = np.array([float(weights.get(name, 1.0)) for name in models])
    if len(values) and not (np.isfinite(values).all() and (values >= 0).all()):
        raise ValueError("Weights must be finite and not negative.")
    return _normalised(np.outer(values, values))


def active(counts: PairCounts, models: Sequence[str], *, uniform_share: float = UNIFORM_SHARE) -> Floats:
    """Draw most often the pairs whose next vote narrows the intervals of differences most.

    One vote on (i, j) adds h = p(1 − p) of information along x = e_i − e_j, which takes h · ‖C x‖² / (1 + h · xᵀ C x)
    off the summed variance of the ratings (Sherman and Morrison), C being their covariance with a weak prior. `models`
    may be a part of those with votes, and may have newcomers, who are uncertain and so are drawn soon.
    """
    _distinct(models)
    if not 0.0 < uniform_share <= 1.0:
        raise ValueError("uniform_share must be above 0 (every pair needs a chance) and at most 1.")
    size = len(models)
    if size < 2:
        return np.zeros((size, size))
    known = counts.merge(PairCounts.empty(name for name in models if name not in counts.models))
    gain = _gains(known)
    chosen = np.array([known.models.index(name) for name in models])
    best = _normalised(gain[np.ix_(chosen, chosen)])
    return (1.0 - uniform_share) * best + uniform_share * uniform(models)


def expected_gain(counts: PairCounts) -> Floats:
    """(M, M): how much one more vote on each pair takes off the summed variance of the ratings, in points²."""
    return _gains(counts) * POINTS**2


def _gains(counts: PairCounts) -> Floats:
    natural = (fit(counts, prior=WEAK_PRIOR).ratings - 1000.0) / POINTS
    chance = 1.0 / (1.0 + np.exp(-np.clip(natural[:, None] - natural[None, :], -700, 700)))
    each = chance * (1.0 - chance)
    weight = counts.games * each
    precision = np.diag(weight.sum(axis=1)) - weight + np.eye(len(natural)) * (POINTS / WEAK_PRIOR) ** 2
    covariance = inverse(precision)
    squared = np.asarray(covariance @ covariance, dtype=np.float64)
    # ‖C(e_i − e_j)‖² and (e_i − e_j)ᵀ C (e_i − e_j), for all pairs at once
    moved = _spread(squared)
    variance = _spread(covariance)
    return np.asarray(each * moved / (1.0 + each * variance))


def _spread(matrix: Floats) -> Floats:
    diagonal = np.diag(matrix)
    return np.asarray(diagonal[:, None] + diagonal[None, :] - 2.0 * matrix)


def _normalised(values: Floats) -> Floats:
    values = np.maximum((values + values.T) / 2.0, 0.0)
    np.fill_diagonal(values, 0.0)
    total = values.sum()
    if total > 0:
        return np.asarray(values / total)
    size = len(values)
    even = np.ones((size, size)) - np.eye(size)
    return np.asarray(even / even.sum()) if size > 1 else np.zeros((size, size))


def _distinct(models: Sequence[str]) -> None:
    if len(set(models)) != len(models):
        raise ValueError("A chat model is named twice.")
