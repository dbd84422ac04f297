"""Bootstrap over questions: the verdicts of one question are resampled together, since they are not independent.

Sums per question are enough for every mean and rate here, so a round is one row of a matrix product and not a pass
over the verdicts (100,000 verdicts and 1,000 rounds take well under a second).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluation.records import QuestionId

Matrix = NDArray[np.float64]

ROUNDS = 1000
LEVEL = 0.95


@dataclass(frozen=True, slots=True)
class Estimate:
    value: float
    low: float
    high: float
    """Both NaN where there are fewer than two questions."""

    @classmethod
    def unknown(cls) -> "Estimate":
        nothing = float("nan")
        return cls(nothing, nothing, nothing)


def draws(questions: int, rounds: int, seed: int) -> Matrix:
    """(rounds, questions): how often each question is in each resample."""
    generator = np.random.default_rng(seed)
    return generator.multinomial(questions, np.full(questions, 1 / questions), size=rounds).astype(float)


def lines_of(questions: Sequence[QuestionId]) -> NDArray[np.intp]:
    """Each one's place, counted from 0, among the different questions in an order of their own."""
    return np.unique([str(question) for question in questions], return_inverse=True)[1]


def mean(questions: Sequence[QuestionId], values: Sequence[float], *, seed: int = 0) -> Estimate:
    """Of values that belong to questions, one to each; with `ROUNDS` resamples at `LEVEL`."""
    if not values:
        return Estimate.unknown()
    line = lines_of(questions)
    sums = np.bincount(line, weights=np.asarray(values, dtype=float)).astype(float)[:, None]
    counts = np.bincount(line).astype(float)[:, None]
    [found] = ratio(sums, counts, draws(len(sums), ROUNDS, seed))
    return found


def ratio(sums: Matrix, counts: Matrix, resamples: Matrix, *, level: float = LEVEL) -> list[Estimate]:
    """Σ sums ÷ Σ counts for each column of (questions, columns), with percentile intervals."""
    with np.errstate(invalid="ignore", divide="ignore"):
        values = sums.sum(axis=0) / counts.sum(axis=0)
        rounds = (resamples @ sums) / (resamples @ counts)  # (rounds, columns)
    return [
        estimate(values[k], rounds[:, k], int((counts[:, k] > 0).sum()), level) for k in range(sums.shape[1])
    ]


def estimate(
    value: float | np.floating[Any] | Matrix,
    rounds: NDArray[np.float64],
    questions: int,
    level: float = LEVEL,
) -> Estimate:
    """A value with the percentile interval of what the resamples gave; `questions` are those behind it."""
    drawn = rounds[np.isfinite(rounds)]
    if questions < 2 or not len(drawn):
        return Estimate(float(value), float("nan"), float("nan"))
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    return Estimate(float(value), float(low), float(high))
