"""Bootstrap over questions: the verdicts of one question are resampled together, since they are not independent.

Sums per question are enough for every mean and rate here, so a round is one row of a matrix product and not a pass
over the verdicts (100,000 verdicts and 1,000 rounds take well under a second).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]

ROUNDS = 1000
LEVEL = 0.95


@dataclass(frozen=True, slots=True)
class Estimate:
    value: float
    low: float
    high: float
    """Both NaN where there are fewer than two questions."""


def draws(questions: int, rounds: int, seed: int) -> Matrix:
    """(rounds, questions): how often each question is in each resample."""
    generator = np.random.default_rng(seed)
    return generator.multinomial(questions, np.full(questions, 1 / questions), size=rounds).astype(float)


def ratio(sums: Matrix, counts: Matrix, resamples: Matrix, *, level: float = LEVEL) -> list[Estimate]:
    """Σ sums ÷ Σ counts for each column of (questions, columns), with percentile intervals."""
    with np.errstate(invalid="ignore", divide="ignore"):
        values = sums.sum(axis=0) / counts.sum(axis=0)
        rounds = (resamples @ sums) / (resamples @ counts)  # (rounds, columns)
    return [
        _estimate(values[k], rounds[:, k], int((counts[:, k] > 0).sum()), level) for k in range(sums.shape[1])
    ]


def _estimate(value: float, rounds: NDArray[np.float64], questions: int, level: float) -> Estimate:
    drawn = rounds[np.isfinite(rounds)]
    if questions < 2 or not len(drawn):
        return Estimate(float(value), float("nan"), float("nan"))
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    return Estimate(float(value), float(low), float(high))
