"""Online Elo as FastChat defines it: K = 4, base 10, scale 400, start 1000, votes in the order in which they were cast.

Kept for comparison: the result depends on the order of the votes, and late votes weigh more. Boards use Bradley–Terry.
"""

import math

import numpy as np

from arena.ratings.arrays import CENTRE, POINTS, Floats
from arena.ratings.intervals import Bootstrap
from arena.ratings.pairs import Outcomes

K = 4.0
STEPS = 4096  # resampled votes drawn at a time, so that memory does not grow with votes × rounds


def online(outcomes: Outcomes, *, k: float = K, start: float = CENTRE) -> Floats:
    """(M,): the ratings after the last vote."""
    ratings = [start] * len(outcomes.models)
    for left, right, score in zip(
        outcomes.left.tolist(), outcomes.right.tolist(), outcomes.score.tolist(), strict=True
    ):
        # Clipped where the chance is 0 or 1 to the last bit, because a power of 10 beyond that overflows.
        gap = min(max((ratings[right] - ratings[left]) / POINTS, -700.0), 700.0)
        change = k * (score - 1.0 / (1.0 + math.exp(gap)))
        ratings[left] += change
        ratings[right] -= change
    return np.array(ratings, dtype=np.float64)


def bootstrap(outcomes: Outcomes, rounds: int, *, seed: int = 0, k: float = K) -> Bootstrap:
    """Each round plays as many votes as there are, drawn with replacement, in drawn order; all rounds at once."""
    if rounds < 2:
        raise ValueError("A bootstrap needs at least 2 rounds.")
    number = len(outcomes)
    rng = np.random.default_rng(seed)
    every = np.arange(rounds)
    ratings = np.zeros((rounds, len(outcomes.models)))
    for start in range(0, number, STEPS):
        drawn = rng.integers(number, size=(min(STEPS, number - start), rounds))
        lefts, rights, scores = outcomes.left[drawn], outcomes.right[drawn], outcomes.score[drawn]
        for left, right, score in zip(lefts, rights, scores, strict=True):
            gap = (ratings[every, right] - ratings[every, left]) / POINTS
            change = k * (score - 1.0 / (1.0 + np.exp(gap)))
            ratings[every, left] += change
            ratings[every, right] -= change
    return Bootstrap(outcomes.models, ratings + CENTRE)
