"""Made-up conversations whose lengths are spread like those of well-known data sets.

The means, as shares of the longest row, are those of table 14 in arXiv 2306.05685 (2048 tokens): Vicuna's conversations
cut to that length 0.70, their first turns alone 0.35, Alpaca 0.04. Of Vicuna's tokens three in four are an assistant's.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from training.data.masking import Example

SUPERVISED = 0.75
SHORTEST = 6
"""Tokens of a conversation at least."""


class Mix(NamedTuple):
    name: str
    mean: float
    """Of the lengths, as a share of the longest row."""
    spread: float
    """Standard deviation of the lengths' logarithms."""
    wanted: float
    """How many times as fast as rows padded to the maximum."""
    size: int
    """Conversations, where nobody says how many."""


MIXES = (
    Mix("vicuna", 0.67, 0.9, 1.4, 48),
    Mix("single-turn", 0.33, 0.8, 2.8, 48),
    Mix("alpaca", 0.0415, 0.5, 20.0, 96),
)


def lengths(mix: Mix, count: int, most: int) -> list[int]:
    """Tokens of `count` conversations, none above `most`: a log-normal at its quantiles, with the mix's mean."""
    ranks = (np.arange(count) + 0.5) / count
    shape = np.exp(mix.spread * np.array([_normal(rank) for rank in ranks]))

    def cut(scale: float) -> np.ndarray:
        return np.clip(np.rint(scale * shape), min(SHORTEST, most), most)

    scale = _solve(lambda value: float(cut(value).mean()), mix.mean * most, top=float(most) * 1000)
    return [int(length) for length in cut(scale)]


def examples(mix: Mix, count: int, most: int, *, vocabulary: int, seed: int = 0) -> list[Example]:
    """In a random order. A question in front, an answer behind it; the tokens mean nothing."""
    source = np.random.default_rng(seed)
    found = []
    for length in source.permutation(lengths(mix, count, most)):
        ids = source.integers(1, vocabulary, length).astype(np.int32)
        found.append(Example(ids, np.arange(length) >= max(1, round(length * (1 - SUPERVISED)))))
    return found


def _normal(rank: float) -> float:
    """The standard normal's quantile, by bisection of its distribution."""
    return _solve(lambda value: 0.5 * (1 + math.erf(value / math.sqrt(2))), rank, bottom=-10.0, top=10.0)


def _solve(rising: Callable[[float], float], wanted: float, *, bottom: float = 0.0, top: float) -> float:
    for _ in range(100):
        middle = (bottom + top) / 2
        bottom, top = (middle, top) if rising(middle) < wanted else (bottom, middle)
    return (bottom + top) / 2
