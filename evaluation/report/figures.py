"""Means with intervals over questions, the unit that was drawn: turns and judges of one question go together."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

import numpy as np

from evaluation.records import QuestionId

ROUNDS: Final = 1000
SEED: Final = 20260101
LEVEL: Final = 0.95


class Estimate(NamedTuple):
    value: float
    low: float
    high: float
    verdicts: int


def mean(values: Iterable[tuple[QuestionId, float]]) -> Estimate | None:
    """The mean over all values with a percentile bootstrap that draws whole questions; None without values.

    With one question there is nothing to draw, and the interval is open (NaN).
    """
    clusters: defaultdict[QuestionId, list[float]] = defaultdict(list)
    # In a fixed order, or the same verdicts from another source would draw other samples.
    for question_id, value in sorted(values, key=lambda pair: (str(pair[0]), pair[1])):
        clusters[question_id].append(value)
    if not clusters:
        return None
    sums = np.array([sum(cluster) for cluster in clusters.values()])
    sizes = np.array([len(cluster) for cluster in clusters.values()], dtype=float)
    value, count = float(sums.sum() / sizes.sum()), int(sizes.sum())
    if len(clusters) == 1:
        return Estimate(value, float("nan"), float("nan"), count)
    low, high = _quantiles(sums, sizes)
    return Estimate(value, low, high, count)


def _quantiles(sums: np.ndarray, sizes: np.ndarray) -> Sequence[float]:
    random = np.random.default_rng(SEED)
    # (rounds, clusters): how often each question is drawn in each round
    drawn = random.multinomial(len(sums), np.full(len(sums), 1 / len(sums)), size=ROUNDS)
    means = (drawn @ sums) / (drawn @ sizes)
    tail = (1 - LEVEL) / 2
    return [float(bound) for bound in np.quantile(means, [tail, 1 - tail])]
