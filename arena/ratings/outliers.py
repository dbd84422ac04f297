"""Who votes against everybody else: a test per voter that may be read after every vote.

For each vote the chance of such a verdict is estimated from the other voters on the same pair. A voter whose verdicts
are no more contrary than chance gains nothing on average, so the product of gains exceeds 1/α with a probability of at
most α, whenever one stops (Ville's inequality). FastChat's test has the same idea (∏ 1/(2p) > 1/α, at least 5 votes).
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from arena.ratings.arrays import Integers
from arena.ratings.pairs import Outcomes

ALPHA = 0.01  # of honest voters, at most this share is ever flagged
FEWEST = 5  # votes, before anybody is judged
_BETS = (0.25, 0.5, 0.75)


@dataclass(frozen=True)
class Voter:
    """`evidence` is the largest e-value that was reached; flagged when it is above 1/α."""

    voter: int
    votes: int
    evidence: float
    flagged: bool
    at_vote: int | None  # how many votes it took


def judge_voters(outcomes: Outcomes, *, alpha: float = ALPHA) -> tuple[Voter, ...]:
    """All voters, the most contrary first. Every vote is judged by the other voters' votes on its pair."""
    if outcomes.voter is None:
        raise ValueError("The votes do not say who cast them.")
    if not 0.0 < alpha < 1.0:
        raise ValueError("alpha is a probability between 0 and 1, for example 0.01.")
    surprise = surprises(outcomes)
    order = np.argsort(outcomes.voter, kind="stable")
    bounds = np.flatnonzero(np.diff(outcomes.voter[order], prepend=-1, append=-1))
    found = []
    for first, last in pairwise(bounds):
        rows = order[first:last]
        found.append(_judge(int(outcomes.voter[rows[0]]), surprise[rows], alpha))
    return tuple(sorted(found, key=lambda one: (-one.evidence, one.voter)))


def surprises(outcomes: Outcomes) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """(n,): how far each verdict is below what the others on the same pair surely think, from −1 to 2.

    Positive means: for the model that the others find worse. Its mean is at most 0 for a voter who is like the others.
    """
    assert outcomes.voter is not None
    size = len(outcomes.models)
    low, high = np.minimum(outcomes.left, outcomes.right), np.maximum(outcomes.left, outcomes.right)
    pair = low * size + high
    # +1: for the model that comes first in the alphabet; −1: for the other
    verdict = np.where(outcomes.left == low, 1.0, -1.0) * (2.0 * outcomes.score - 1.0)
    total = np.bincount(pair, weights=verdict, minlength=size * size)
    count = np.bincount(pair, minlength=size * size)
    own = outcomes.voter * (size * size) + pair
    codes: Integers = np.unique(own, return_inverse=True)[1].astype(np.int64)
    mine, times = np.bincount(codes, weights=verdict)[codes], np.bincount(codes)[codes]
    others = count[pair] - times
    mean = (total[pair] - mine) / np.maximum(others, 1)
    # Only what the others are sure of counts: their lean less two standard errors. Four people cannot convict a fifth.
    lean = np.abs(mean) - 2.0 / np.sqrt(np.maximum(others, 1))
    return np.asarray(np.where(lean > 0, lean - np.sign(mean) * verdict, 0.0))


def _judge(voter: int, surprise: np.ndarray[tuple[int], np.dtype[np.float64]], alpha: float) -> Voter:
    """A mixture of three stakes: 1 + λ · surprise/2 multiplies up while verdicts stay contrary."""
    wealth = np.mean(
        [np.exp(np.cumsum(np.log1p(stake * np.clip(surprise / 2.0, -1.0, 1.0)))) for stake in _BETS], axis=0
    )
    late = wealth[FEWEST - 1 :]
    if not len(late):
        return Voter(voter, len(surprise), float(wealth.max(initial=1.0)), flagged=False, at_vote=None)
    above = np.flatnonzero(late > 1.0 / alpha)
    at_vote = int(above[0]) + FEWEST if len(above) else None
    return Voter(voter, len(surprise), float(late.max()), flagged=at_vote is not None, at_vote=at_vote)
