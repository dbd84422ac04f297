"""Votes made with a fixed seed, from ratings that are known."""

import numpy as np
import pytest

from arena.ratings.pairs import Outcomes


def made_votes(
    ratings: np.ndarray,
    number: int,
    *,
    seed: int,
    voters: int = 0,
    taste: float = 0.0,
    ties: float = 0.2,
) -> Outcomes:
    """Votes from true ratings (natural units); a voter's taste moves every model by N(0, taste²).

    A share of `ties` of the votes is a tie whose place in the order is as probable as the win it replaces, so the
    ratings stay the truth: of two independent verdicts that contradict each other a tie is made.
    """
    rng = np.random.default_rng(seed)
    size = len(ratings)
    left = rng.integers(size, size=number)
    right = (left + 1 + rng.integers(size - 1, size=number)) % size
    voter = rng.integers(max(voters, 1), size=number)
    tastes = rng.normal(0.0, taste, (max(voters, 1), size)) if taste else np.zeros((max(voters, 1), size))
    gap = ratings[left] - ratings[right] + tastes[voter, left] - tastes[voter, right]
    chance = 1 / (1 + np.exp(-gap))
    once, twice = rng.random(number) < chance, rng.random(number) < chance
    hesitant = rng.random(number) < ties
    score = np.where(hesitant, (once.astype(float) + twice) / 2, once)
    return Outcomes(
        tuple(f"m{index:02d}" for index in range(size)),
        left.astype(np.int64),
        right.astype(np.int64),
        score,
        np.ones(number),
        voter=voter.astype(np.int64) if voters else None,
    )


@pytest.fixture
def votes() -> Outcomes:
    return made_votes(np.linspace(-1, 1, 12), 6000, seed=3, voters=100)
