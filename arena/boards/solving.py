"""The board of a leaderboard, put together from `arena.ratings`. Pure: counters and votes in, standings out.

Bradley–Terry with the advantage of the left as a covariate; under style control, that of length and decoration as well.
Comparisons are simultaneous: with 95 % probability not a single pair of the board is wrongly told apart.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np

from arena.ratings import bradley_terry, intervals, separation, style
from arena.ratings.arrays import POINTS, Floats
from arena.ratings.bradley_terry import Fit
from arena.ratings.pairs import Outcomes, PairCounts, PairRow
from arena.ratings.separation import Separation

SOLVER = 3
"""Goes up when equal votes give another board. What solved earlier boards is kept: `arena.services.publishing`."""
TRUSTED = 10.0
LARGEST_ASK = 100_000


class Counter(NamedTuple):
    """The votes on two chat models, the first of which stood on the left; see `arena.models.PairCounter`."""

    left: str
    right: str
    left_wins: int
    right_wins: int
    ties: int
    both_bad: int
    left_weight: float
    right_weight: float
    tie_weight: float
    left_squares: float
    right_squares: float
    tie_squares: float

    @property
    def votes(self) -> int:
        return self.left_wins + self.right_wins + self.ties + self.both_bad


@dataclass(frozen=True)
class Styled:
    """Single votes with the style of both answers: (n, 4) counts in the order of `arena.ratings.style.FEATURES`."""

    votes: Outcomes
    left: Floats
    right: Floats


class Standing(NamedTuple):
    """One chat model's place."""

    name: str
    rating: float
    low: float
    high: float
    rank: int
    """1 + how many are better beyond doubt."""
    tier: int
    """1, 2, …: nobody in a tier is worse beyond doubt than the tier's best."""
    votes: int
    win_rate: float
    """The mean of its fitted chances against every other, 0 … 1."""
    alike: tuple[str, ...]
    """Who cannot be told apart from it, best first."""
    next_votes: int | None
    """How many more direct votes would settle it against the next one below; None: settled, or nobody is below."""


class Widening(NamedTuple):
    """How far votes hang together."""

    factors: dict[str, float]
    """By what each chat model's standard error grows, 1 or more; empty where nothing is known."""
    kinds: tuple[str, ...]
    """What holds votes together here: `voter`, `prompt`, both or nothing."""
    problem: str
    """Why a kind is missing."""


class Effect(NamedTuple):
    """A covariate's effect in points, with its 95 % interval."""

    name: str
    points: float
    low: float
    high: float


class Meeting(NamedTuple):
    """How two chat models fared against each other, whichever stood on the left."""

    wins: int
    losses: int
    ties: int

    @property
    def votes(self) -> int:
        return self.wins + self.losses + self.ties

    @property
    def fraction(self) -> float | None:
        """Wins among the decided votes."""
        decided = self.wins + self.losses
        return self.wins / decided if decided else None


@dataclass(frozen=True)
class Board:
    """Everything the page shows, best first."""

    standings: tuple[Standing, ...] = ()
    votes: int = 0
    effects: tuple[Effect, ...] = ()
    meetings: Mapping[tuple[str, str], Meeting] = field(default_factory=dict)
    unbounded: tuple[str, ...] = ()
    """Who never lost or never won against the rest, directly or through others: a weak prior holds their ratings."""
    groups: tuple[tuple[str, ...], ...] = ()
    """Groups of chat models between which there is no vote, the largest first; one when all are comparable."""
    threshold: float = 0.0
    """How many standard errors apart two chat models must be, all pairs being compared at once."""
    gradient: float = 0.0
    """The largest element of the likelihood's gradient that is left, in votes."""

    def meeting(self, first: str, second: str) -> Meeting:
        return self.meetings.get((first, second), Meeting(0, 0, 0))


def solve(
    rows: Sequence[Counter], styled: Styled | None = None, *, widened: Mapping[str, float] | None = None
) -> Board:
    """The board of these counters; with `styled`, ratings and intervals are those under style control.

    Equal rows give an equal board, whatever their order. `widened` says by what each chat model's standard error grows
    because votes hang together (`widening`); who is not in it gets the middle of the others.
    """
    rows = sorted(row for row in rows if row.votes and row.left != row.right)
    if not rows:
        return Board()
    fit, effects = _fitted(rows, styled)
    fit = _widened(fit, widened or {})
    told = separation.separate(fit)
    meetings = meetings_of(rows)
    return Board(
        standings=_standings(fit, told, meetings),
        votes=sum(row.votes for row in rows),
        effects=effects,
        meetings=meetings,
        unbounded=fit.diverging,
        groups=tuple(sorted(fit.components, key=lambda names: (-len(names), names))),
        threshold=told.threshold,
        gradient=fit.gradient_norm,
    )


def ratings(rows: Sequence[Counter]) -> dict[str, float]:
    """The ratings alone, without what takes longer."""
    rows = [row for row in rows if row.votes and row.left != row.right]
    if not rows:
        return {}
    fit = bradley_terry.fit(counts_of(rows), position=True)
    return dict(zip(fit.models, fit.ratings.tolist(), strict=True))


def widening(outcomes: Outcomes) -> Widening:
    """By how much each chat model's error grows when votes of one person, and votes on one prompt, hang together.

    A kind counts only where the votes can carry it: one that is known, with more clusters than chat models.
    """
    alone = bradley_terry.fit(PairCounts.of(outcomes), position=True)
    usable, problems = [], []
    for kind, column in (("voter", outcomes.voter), ("prompt", outcomes.prompt)):
        try:
            intervals.clusters(column, kind, alone)
            usable.append(kind)
        except ValueError as error:
            problems.append(str(error))
    if not usable:
        return Widening({}, (), problems[0])
    together = intervals.clustered(alone, outcomes, voter="voter" in usable, prompt="prompt" in usable)
    one, other = (np.sqrt(np.diag(fit.covariance)) for fit in (alone, together))
    grown = np.divide(other, one, out=np.ones_like(one), where=np.isfinite(one) & (one > 0))
    # At least 1: clusters that are no clusters would narrow intervals by chance as often as they widen them.
    factors = {name: max(1.0, float(factor)) for name, factor in zip(alone.models, grown, strict=True)}
    return Widening(factors, tuple(usable), " ".join(problems))


def counts_of(rows: Iterable[Counter]) -> PairCounts:
    """As the ratings want them. Where no vote is left, what rounding left of its weight is dropped."""
    made = []
    for row in rows:
        kept = (row.left_wins, row.right_wins, row.ties + row.both_bad)
        weights = [value if number else 0.0 for value, number in zip(row[6:9], kept, strict=True)]
        squares = [value if number else 0.0 for value, number in zip(row[9:12], kept, strict=True)]
        made.append(PairRow(row.left, row.right, *weights, *squares))
    return PairCounts.from_rows(made)


def _fitted(rows: Sequence[Counter], styled: Styled | None) -> tuple[Fit, tuple[Effect, ...]]:
    if styled is None:
        fit = bradley_terry.fit(counts_of(rows), position=True, trusted=TRUSTED)
        return fit, (_effect(style.POSITION, fit.position or 0.0, fit.position_error or 0.0),)
    found = style.fit(styled.votes, styled.left, styled.right, trusted=TRUSTED)
    # The position first, as without style.
    effects = sorted(found.effects, key=lambda effect: effect.name != style.POSITION)
    return found.fit, tuple(_effect(effect.name, effect.points, effect.error) for effect in effects)


def _effect(name: str, points: float, error: float) -> Effect:
    margin = intervals.critical(intervals.LEVEL) * error
    return Effect(name, points, points - margin, points + margin)


def _widened(fit: Fit, factors: Mapping[str, float]) -> Fit:
    if not factors:
        return fit
    middle = float(np.median(list(factors.values())))
    scale = np.array([factors.get(name, middle) for name in fit.models])
    return replace(fit, covariance=fit.covariance * np.outer(scale, scale))


def _standings(
    fit: Fit, told: Separation, meetings: Mapping[tuple[str, str], Meeting]
) -> tuple[Standing, ...]:
    # By name where ratings are equal, so that the order does not depend on the machine.
    order = sorted(range(len(fit.models)), key=lambda i: (-round(float(fit.ratings[i]), 6), fit.models[i]))
    bounds = intervals.of(fit)
    natural = fit.ratings / POINTS
    chances = 1 / (1 + np.exp(natural[None, :] - natural[:, None]))
    votes = dict.fromkeys(fit.models, 0)
    for (name, _), meeting in meetings.items():
        if name in votes:
            votes[name] += meeting.votes
    undecided = ~(told.better | told.better.T)
    return tuple(
        Standing(
            name=fit.models[i],
            rating=float(fit.ratings[i]),
            low=float(bounds.lower[i]),
            high=float(bounds.upper[i]),
            rank=int(told.ranks[i]),
            tier=int(told.tiers[i]),
            votes=votes[fit.models[i]],
            win_rate=float((chances[i].sum() - 0.5) / max(1, len(order) - 1)),
            alike=tuple(fit.models[j] for j in order if j != i and undecided[i, j]),
            next_votes=_to_settle(fit, told, i, following),
        )
        for i, following in zip(order, [*order[1:], None], strict=True)
    )


def _to_settle(fit: Fit, told: Separation, index: int, following: int | None) -> int | None:
    if following is None or told.better[index, following]:
        return None
    needed = separation.votes_needed(fit, fit.models[index], fit.models[following], threshold=told.threshold)
    return LARGEST_ASK if needed is None else min(LARGEST_ASK, max(1, needed))


def meetings_of(rows: Sequence[Counter]) -> dict[tuple[str, str], Meeting]:
    found: dict[tuple[str, str], Meeting] = {}
    for row in rows:
        ties = row.ties + row.both_bad
        for key, wins, losses in (
            ((row.left, row.right), row.left_wins, row.right_wins),
            ((row.right, row.left), row.right_wins, row.left_wins),
        ):
            before = found.get(key, Meeting(0, 0, 0))
            found[key] = Meeting(before.wins + wins, before.losses + losses, before.ties + ties)
    return found
