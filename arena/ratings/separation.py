"""Who is really better: all pairs compared at once, so that the whole board is right with the stated probability.

A board of 60 models makes 1,770 comparisons; at 95 % each, some 88 of them would be wrong by chance alone. Here the
threshold comes from the largest of all standardised differences (a step-down maximum test, Romano and Wolf 2005, on
draws from the normal distribution that the fit's covariance describes).
"""

import math
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from arena.ratings.arrays import POINTS, Booleans, Floats, Integers
from arena.ratings.bradley_terry import Fit
from arena.ratings.intervals import LEVEL, critical, difference_errors

DRAWS = 2000
Singles: TypeAlias = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Separation:
    """`better[i, j]`: model i is above model j, jointly with all other statements at the level.

    `tiers` and `ranks` start at 1. A model's rank is one more than the number of models that are certainly better; a
    tier holds models that cannot be told from the best of it.
    """

    models: tuple[str, ...]
    better: Booleans
    ranks: Integers
    tiers: Integers
    threshold: float  # in standard errors, at the last step: what a further statement would need

    def cannot_tell(self, model: str) -> tuple[str, ...]:
        """The models that may be as good as this one, or not."""
        index = self.models.index(model)
        undecided = ~(self.better[index] | self.better[:, index])
        return tuple(name for other, name in enumerate(self.models) if undecided[other] and other != index)

    def separated_share(self) -> float:
        """Of all pairs."""
        size = len(self.models)
        return float(self.better.sum() / (size * (size - 1) / 2)) if size > 1 else 0.0


def separate(fit: Fit, *, level: float = LEVEL, seed: int = 0) -> Separation:
    """Compare all pairs at once. The same fit and seed give the same answer."""
    critical(level)  # refuses a bad level
    errors = difference_errors(fit)
    differences = fit.ratings[:, None] - fit.ratings[None, :]
    known = np.isfinite(errors) & (errors > 0)
    ratio = np.divide(np.abs(differences), errors, out=np.zeros_like(errors), where=known)
    rejected, threshold = _step_down(fit.covariance, errors, ratio, np.triu(known, 1), level, seed)
    better = (rejected | rejected.T) & (differences > 0)
    ranks = 1 + better.sum(axis=0)
    return Separation(fit.models, better, ranks.astype(np.int64), _tiers(fit, better), threshold)


def votes_needed(
    fit: Fit, one: str, other: str, *, level: float = LEVEL, threshold: float | None = None
) -> int | None:
    """About how many more votes between the two would settle which is better; 0 when it is settled, None when never.

    It takes today's difference for the truth. Each vote brings the information p(1 − p) ÷ dispersion. `threshold` is
    how many standard errors apart the two must be, for example `Separation.threshold`; None: that of a single
    comparison at `level`.
    """
    i, j = fit.models.index(one), fit.models.index(other)
    gap = abs(float(fit.ratings[i] - fit.ratings[j]))
    error = float(difference_errors(fit)[i, j])
    if gap < 1e-9:
        return None
    wanted = ((critical(level) if threshold is None else threshold) / gap) ** 2
    today = 0.0 if math.isinf(error) or error == 0 else 1.0 / error**2
    if today >= wanted:
        return 0
    chance = 1.0 / (1.0 + math.exp(-gap / POINTS))
    each = chance * (1.0 - chance) / (POINTS**2 * max(fit.dispersion, 1e-9))
    return math.ceil((wanted - today) / each)


def _step_down(
    covariance: Floats, errors: Floats, ratio: Floats, asked: Booleans, level: float, seed: int
) -> tuple[Booleans, float]:
    """Which of the `asked` pairs (M, M; upper triangle) differ.

    Reject, then ask again with the pairs that are left, until none follows.
    """
    rejected = np.zeros_like(asked)
    threshold = critical(level)
    draws = _draws(covariance, seed) if asked.any() else np.zeros((0, 0), dtype=np.float32)
    scale = np.divide(1.0, errors, out=np.zeros_like(errors), where=asked).astype(np.float32)
    for _ in range(20):
        left = asked & ~rejected
        if not left.any():
            break
        threshold = float(np.quantile(_largest(draws, np.where(left, scale, np.float32(0.0))), level))
        new = left & (ratio > threshold)
        if not new.any():
            break
        rejected |= new
    return rejected, threshold


def _draws(covariance: Floats, seed: int) -> Singles:
    """(M, draws): ratings as they would be estimated if all models were equal."""
    known = np.where(np.isfinite(covariance), covariance, 0.0)
    values, vectors = np.linalg.eigh((known + known.T) / 2.0)
    # The symmetric root: unlike the vectors themselves it has no signs that could differ from machine to machine.
    root = (vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T
    drawn = root @ np.random.default_rng(seed).standard_normal((len(root), DRAWS))
    return np.asarray(drawn, dtype=np.float32)


def _largest(draws: Singles, scale: Singles) -> Singles:
    """(draws,): the largest |difference| × scale of all pairs whose scale (M, M; upper triangle) is not 0."""
    largest = np.zeros(draws.shape[1], dtype=np.float32)
    for index, row in enumerate(scale):
        others = np.flatnonzero(row)
        if len(others):
            apart = np.abs(draws[others] - draws[index]) * row[others, None]
            np.maximum(largest, apart.max(axis=0), out=largest)
    return largest


def _tiers(fit: Fit, better: Booleans) -> Integers:
    """From the top: a new tier begins with the first model that the current tier's best is certainly better than."""
    tiers = np.zeros(len(fit.models), dtype=np.int64)
    best, tier = -1, 0
    for index in fit.order():
        if best < 0 or better[best, index]:
            best, tier = int(index), tier + 1
        tiers[index] = tier
    return tiers
