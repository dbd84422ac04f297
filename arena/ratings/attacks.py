"""What it costs to move a chat model up one rank by votes that are not honest.

The attackers are those of "Improving Your Model Ranking on Chatbot Arena by Vote Rigging" (Min et al., ICML 2025,
arXiv 2501.17858) and of the clone floods of arXiv 2603.26891:

* target-only: takes part until the target is drawn, and votes for it; other battles are left without a vote;
* omnipresent: votes in every battle, also where the target is absent, for whatever brings the target up;
* clones: its maker enters copies of the target, so that chance lifts one of them.

Pairs are drawn evenly, as the arena draws them, and an attacker recognises the target with a probability. What stands
against it: a limit of votes per account and day, the sequential test of `outliers`, and ranks that only count who is
better beyond doubt.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from arena.ratings import bradley_terry, outliers, separation
from arena.ratings.arrays import POINTS, Booleans, Floats, Integers
from arena.ratings.bradley_terry import Fit
from arena.ratings.pairs import Outcomes, PairCounts

Kind = Literal["target-only", "omnipresent"]
KINDS: tuple[Kind, ...] = ("target-only", "omnipresent")


@dataclass(frozen=True)
class Attacker:
    """`recognises`: the chance of knowing who answers. `per_account`: votes that an account casts before it is full."""

    kind: Kind
    target: str
    recognises: float = 0.95
    per_account: int = 100

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"unknown attack {self.kind!r}; known are {', '.join(KINDS)}.")
        if not 0.0 < self.recognises <= 1.0:
            raise ValueError("recognises is a probability above 0, for example 0.95.")
        if self.per_account < 1:
            raise ValueError("per_account must be at least 1.")


@dataclass(frozen=True)
class Price:
    """What one rank costs; None: not to be had for as many votes as were tried. `tried` is that number."""

    votes: int | None
    battles: int | None
    """That had to be drawn for it, voted on or not."""
    accounts: int | None
    found: int
    """Accounts of the attacker that the outlier test flagged, at the price or at the last try."""
    rank: int
    """The target's before the attack."""
    tried: int


@dataclass(frozen=True)
class Flood:
    """The mean rank of the best of the target and its clones, by how many clones there are; 0 first."""

    by_rating: tuple[float, ...]
    published: tuple[float, ...]

    def clones_for_a_rank(self, ranks: tuple[float, ...]) -> int | None:
        """The fewest clones that lift the best one by a whole rank, None when none did."""
        return next((number for number, rank in enumerate(ranks) if rank <= ranks[0] - 1), None)


Rank = Callable[[Fit, str], int]


def rank_by_rating(fit: Fit, target: str) -> int:
    """One more than how many have a higher rating: what a plain list shows."""
    return 1 + int((fit.ratings > fit.rating(target) + 1e-9).sum())


def rank_beyond_doubt(fit: Fit, target: str) -> int:
    """One more than how many are better for certain: what our board shows."""
    return int(separation.separate(fit).ranks[fit.models.index(target)])


def price(
    honest: Outcomes,
    attacker: Attacker,
    *,
    most: int,
    rank: Rank = rank_by_rating,
    defended: bool = True,
    seed: int = 0,
) -> Price:
    """The fewest votes (up to `most`) that bring the target a better rank; found by halving, so about right.

    `defended`: accounts that the outlier test flags lose all their votes. Honest voters whose names are not known count
    as different people.
    """
    if attacker.target not in honest.models:
        raise ValueError(f"No votes on {attacker.target}.")
    if most < 1:
        raise ValueError("most must be at least 1.")
    nothing = honest.slice(np.zeros(0, dtype=np.int64))
    counted, _ = _together(honest, replace(nothing, voter=np.zeros(0, dtype=np.int64)), defended)
    before = rank(bradley_terry.fit(PairCounts.of(counted)), attacker.target)
    votes, battles = rigged(honest, attacker, most, np.random.default_rng(seed))
    found: dict[int, int] = {}

    def better(number: int) -> bool:
        counted, found[number] = _together(honest, votes.slice(np.arange(number)), defended)
        return rank(bradley_terry.fit(PairCounts.of(counted)), attacker.target) < before

    if before == 1 or not better(most):
        return Price(None, None, None, found.get(most, 0), before, most)
    low, high = 0, most
    while high - low > max(1, high // 50):
        middle = (low + high) // 2
        low, high = (low, middle) if better(middle) else (middle, high)
    accounts = -(-high // attacker.per_account)
    return Price(high, int(battles[high - 1]), accounts, found[high], before, most)


def rigged(
    honest: Outcomes, attacker: Attacker, number: int, rng: np.random.Generator
) -> tuple[Outcomes, Integers]:
    """`number` votes of the attacker in the order they are cast, and how many battles were drawn up to each."""
    size, target = len(honest.models), honest.models.index(attacker.target)
    ratings = bradley_terry.fit(PairCounts.of(honest)).ratings
    left, right, drawn = (np.zeros(0, dtype=np.int64) for _ in range(3))
    score = np.zeros(0)
    past = 0
    while len(left) < number:
        block = max(1000, number)
        one = rng.integers(size, size=block)
        other = (one + 1 + rng.integers(size - 1, size=block)) % size
        wanted, known = _verdicts(one, other, target, ratings, attacker.kind)
        # Who is not recognised is left alone: a blind vote would do as much harm as good.
        cast = known & (rng.random(block) < attacker.recognises)
        left, right = np.append(left, one[cast]), np.append(right, other[cast])
        score = np.append(score, wanted[cast])
        drawn = np.append(drawn, past + 1 + np.flatnonzero(cast))
        past += block
    rows = slice(0, number)
    return (
        Outcomes(
            honest.models,
            left[rows],
            right[rows],
            score[rows],
            np.ones(number),
            voter=np.arange(number, dtype=np.int64) // attacker.per_account,
        ),
        drawn[rows],
    )


def flood(fit: Fit, target: str, *, clones: int, votes: int, rounds: int = 40, seed: int = 0) -> Flood:
    """Enter up to `clones` copies that are exactly as good as the target, each with `votes` honest votes."""
    if target not in fit.models:
        raise ValueError(f"No votes on {target}.")
    rng = np.random.default_rng(seed)
    by_rating, published = [], []
    for number in range(clones + 1):
        ranks = [_flooded(fit, target, number, votes, rng) for _ in range(rounds)]
        plain, certain = np.mean(ranks, axis=0)
        by_rating.append(float(plain))
        published.append(float(certain))
    return Flood(tuple(by_rating), tuple(published))


def _flooded(fit: Fit, target: str, clones: int, votes: int, rng: np.random.Generator) -> tuple[int, int]:
    """The best rank of the family among the others, by rating and beyond doubt, on one made board."""
    names = (*fit.models, *(f"{target} (clone {index + 1})" for index in range(clones)))
    strength = np.append(fit.ratings, [fit.rating(target)] * clones) / POINTS
    size = len(names)
    number = max(size, votes * size // 2)
    one = rng.integers(size, size=number)
    other = (one + 1 + rng.integers(size - 1, size=number)) % size
    won = rng.random(number) < 1 / (1 + np.exp(strength[other] - strength[one]))
    made = bradley_terry.fit(
        PairCounts.of(Outcomes(names, one, other, won.astype(np.float64), np.ones(number)))
    )
    told = separation.separate(made)
    family = np.array([name == target or index >= len(fit.models) for index, name in enumerate(names)])
    best = made.ratings[family].max()
    plain = 1 + int((made.ratings[~family] > best).sum())
    certain = 1 + int(told.better[np.ix_(~family, family)].sum(axis=0).min())
    return plain, certain


def _verdicts(
    one: Integers, other: Integers, target: int, ratings: Floats, kind: Kind
) -> tuple[Floats, Booleans]:
    """What the attacker votes, and where there is something to win."""
    left, right = one == target, other == target
    score = left.astype(np.float64)
    if kind == "target-only":
        return score, left | right
    # Pull down whoever is above the target, the nearest first; votes among those below change nothing.
    above = np.where(ratings > ratings[target], ratings, np.inf)
    rival = int(above.argmin()) if np.isfinite(above).any() else -1
    against = (one == rival) | (other == rival)
    score = np.where(~(left | right) & against, other == rival, score)
    return score, left | right | against


def _together(honest: Outcomes, votes: Outcomes, defended: bool) -> tuple[Outcomes, int]:  # noqa: FBT001
    """All votes that count, and how many of the attacker's accounts were found."""
    assert votes.voter is not None
    people = honest.voter if honest.voter is not None else np.arange(len(honest), dtype=np.int64)
    first = int(people.max(initial=-1)) + 1
    everybody = np.append(people, first + votes.voter)
    both = Outcomes(
        honest.models,
        np.append(honest.left, votes.left),
        np.append(honest.right, votes.right),
        np.append(honest.score, votes.score),
        np.append(honest.weight, votes.weight),
        voter=everybody,
    )
    if not defended:
        return both, 0
    flagged = np.array([one.voter for one in outliers.judge_voters(both) if one.flagged], dtype=np.int64)
    return both.slice(~np.isin(everybody, flagged)), int((flagged >= first).sum())
