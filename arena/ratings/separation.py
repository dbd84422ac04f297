"""Who is really better: all pairs compared at once, so that the whole board is right with the stated probability.

A board of 60 models makes 1,770 comparisons; at 95 % each, some 88 of them would be wrong by chance alone. Here the
threshold comes from the largest of all standardised differences (a step-down maximum test, Romano and Wolf 2005, on
draws from the normal distribution that the fit's covariance describes).
"""

import math
from dataclasses import dataclass

import numpy as np

from arena.ratings.arrays import POINTS, Booleans, Floats, Integers
from arena.ratings.bradley_terry import Fit
from arena.ratings.intervals import LEVEL, critical, difference_errors

DRAWS = 4000
AT_ONCE = 2_000_000  # differences held in memory at a time


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
    threshold: float  # in standard errors, at the last step

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
    first, second = np.nonzero(np.triu(known, 1))
    rejected, threshold = _step_down(fit.covariance, errors, ratio, first, second, level, seed)
    better = np.zeros_like(known)
    for i, j in zip(first[rejected], second[rejected], strict=True):
        upper, lower = (i, j) if differences[i, j] > 0 else (j, i)
        better[upper, lower] = True
    ranks = 1 + better.sum(axis=0)
    return Separation(fit.models, better, ranks.astype(np.int64), _tiers(fit, better), threshold)


def votes_needed(fit: Fit, one: str, other: str, *, level: float = LEVEL) -> int | None:
    """About how many more votes between the two would settle which is better; 0 when it is settled, None when never.

    It takes today's difference for the truth. Each vote brings the information p(1 − p) ÷ dispersion.
    """
    i, j = fit.models.index(one), fit.models.index(other)
    gap = abs(float(fit.ratings[i] - fit.ratings[j]))
    error = float(difference_errors(fit)[i, j])
    if gap < 1e-9:
        return None
    wanted = (critical(level) / gap) ** 2
    today = 0.0 if math.isinf(error) or error == 0 else 1.0 / error**2
    if today >= wanted:
        return 0
    chance = 1.0 / (1.0 + math.exp(-gap / POINTS))
    each = chance * (1.0 - chance) / (POINTS**2 * max(fit.dispersion, 1e-9))
    return math.ceil((wanted - today) / each)


def _step_down(
    covariance: Floats,
    errors: Floats,
    ratio: Floats,
    first: Integers,
    second: Integers,
    level: float,
    seed: int,
) -> tuple[Booleans, float]:
    """Which of the pairs differ: reject, then ask again with the pairs that are left, until none follows."""
    rejected = np.zeros(len(first), dtype=np.bool_)
    threshold = critical(level)
    for _ in range(20):
        left = ~rejected
        if not left.any():
            break
        threshold = _quantile(covariance, errors, first[left], second[left], level, seed)
        new = left & (ratio[first, second] > threshold)
        if not new.any():
            break
        rejected |= new
    return rejected, threshold


def _quantile(
    covariance: Floats, errors: Floats, first: Integers, second: Integers, level: float, seed: int
) -> float:
    """The level's quantile of the largest |difference| ÷ error among these pairs, if all models were equal."""
    known = np.where(np.isfinite(covariance), covariance, 0.0)
    values, vectors = np.linalg.eigh((known + known.T) / 2.0)
    root = vectors * np.sqrt(np.maximum(values, 0.0))
    rng = np.random.default_rng(seed)
    scale = 1.0 / errors[first, second]
    largest = []
    block = max(1, AT_ONCE // len(first))
    for start in range(0, DRAWS, block):
        count = min(block, DRAWS - start)
        draws = rng.standard_normal((count, len(root))) @ root.T  # (draws, M)
        largest.append(np.abs((draws[:, first] - draws[:, second]) * scale).max(axis=1))
    return float(np.quantile(np.concatenate(largest), level))


def _tiers(fit: Fit, better: Booleans) -> Integers:
    """From the top: a new tier begins with the first model that the current tier's best is certainly better than."""
    tiers = np.zeros(len(fit.models), dtype=np.int64)
    best, tier = -1, 0
    for index in fit.order():
        if best < 0 or better[best, index]:
            best, tier = int(index), tier + 1
        tiers[index] = tier
    return tiers
