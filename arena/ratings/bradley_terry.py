"""Bradley–Terry ratings, solved exactly from counts per pair.

P(i beats j) = 1 / (1 + 10^((Rj − Ri) / 400)); a tie is half a win for each. Ratings are in points around 1000.

An undefeated model has no finite maximum-likelihood rating. Then, and only then (or when the caller asks for it), a
weak prior holds: every rating is normal around the average with a standard deviation of 1000 points; `Fit.diverging`
names the models whose rating rests on it. A position effect always has that prior, since no graph tells when it would
run away; it costs a fitted effect less than a ten-thousandth part from some thousand votes on.
"""

from collections import Counter
from dataclasses import dataclass

import numpy as np

from arena.ratings import graph, newton
from arena.ratings.arrays import CENTRE, POINTS, Booleans, Floats, Integers, logistic
from arena.ratings.pairs import PairCounts

WEAK_PRIOR = 1000.0  # points


@dataclass(frozen=True)
class Fit:
    """Ratings of `models` with the covariance of their errors, in points and points².

    The covariance is robust (a sandwich): it does not believe that a tie is a coin toss. Votes on models that diverge
    count as coin tosses in it, and the prior is part of it. It belongs to the deviation from the average of a
    component, so take intervals of differences from it; across components there are none.
    `position` is the advantage of standing on the left, in points, when it was fitted.
    """

    models: tuple[str, ...]
    ratings: Floats  # (M,)
    covariance: Floats  # (M, M)
    votes: Floats  # (M,)
    gradient_norm: float  # largest component, in votes
    iterations: int
    components: tuple[tuple[str, ...], ...]
    diverging: tuple[str, ...]
    prior: float | None  # the standard deviation that was used, in points
    dispersion: float  # variance of a vote ÷ what a coin toss would have; ties make it less than one
    position: float | None = None
    position_error: float | None = None

    @property
    def connected(self) -> bool:
        """Whether all ratings can be compared."""
        return len(self.components) <= 1

    def rating(self, model: str) -> float:
        return float(self.ratings[self.models.index(model)])

    def component(self) -> Integers:
        """(M,): the number of each model's component."""
        number = {name: index for index, names in enumerate(self.components) for name in names}
        return np.array([number[name] for name in self.models], dtype=np.int64)

    def win_probability(self, left: str, right: str) -> float:
        """Of a fair fight; a tie counts as half a win."""
        return float(1.0 / (1.0 + 10.0 ** ((self.rating(right) - self.rating(left)) / 400.0)))

    def order(self) -> Integers:
        """Positions of the models, the best first; equals in alphabetical order."""
        return np.array(
            sorted(range(len(self.models)), key=lambda i: (-self.ratings[i], self.models[i])), dtype=np.int64
        )


def fit(
    counts: PairCounts,
    *,
    prior: float | None = None,
    anchor: tuple[str, float] | None = None,
    position: bool = False,
    trusted: float = 0.0,
) -> Fit:
    """Solve the likelihood equations. No votes give no information: every rating is 1000 with infinite variance.

    `prior`: the standard deviation of a normal prior, in points; None: none while the maximum is finite.
    `anchor`: (model, rating) shifts all ratings so that this model has this one; differences stay the same.
    `trusted`: how many votes' worth the model's own variance counts beside what was seen. Three ties that were fitted
    exactly are no proof that there is no noise; a board that is watched from its first vote on wants some ten.
    """
    if prior is not None and not prior > 0:
        raise ValueError("prior is a standard deviation in points and must be above 0.")
    if anchor is not None and anchor[0] not in counts.models:
        raise ValueError(f"The anchor {anchor[0]} has no votes.")
    connected = graph.components(counts.games)
    strong = graph.strong_components(counts.wins)
    diverging = diverging_models(connected, strong)
    used = prior if prior is not None else (WEAK_PRIOR if diverging.any() else None)
    rows = cells(counts, position=position)
    size = len(counts.models)
    wide = size + len(rows.features)
    precision = precisions(size, wide, used)
    gauge = gauge_of(connected, wide)
    solution = newton.solve(newton.group(rows), precision=precision, gauge=gauge)
    bread = without_gauge(inverse(solution.hessian + gauge), connected)
    meat, dispersion = _meat(counts, solution.values, diverging, trusted, position=position)
    covariance = np.asarray(bread @ (meat + np.diag(precision)) @ bread * POINTS**2)
    ratings = CENTRE + POINTS * solution.values[:size]
    if anchor is not None:
        ratings = ratings + (anchor[1] - ratings[counts.models.index(anchor[0])])
    return Fit(
        models=counts.models,
        ratings=ratings,
        covariance=_unknown(covariance[:size, :size], counts),
        votes=counts.votes,
        gradient_norm=solution.gradient_norm,
        iterations=solution.iterations,
        components=named_components(counts.models, connected),
        diverging=tuple(name for name, apart in zip(counts.models, diverging, strict=True) if apart),
        prior=used,
        dispersion=dispersion,
        position=float(POINTS * solution.values[size]) if position else None,
        position_error=float(np.sqrt(covariance[size, size])) if position else None,
    )


def cells(counts: PairCounts, *, position: bool) -> newton.Rows:
    """One row per ordered pair that met. The position is a feature that is one in every row: left is left."""
    wins = counts.left_wins + counts.ties / 2.0
    games = counts.left_wins + counts.right_wins + counts.ties
    if not position:
        wins, games = np.triu(counts.wins, 1), np.triu(counts.games, 1)
    left, right = np.nonzero(games)
    return newton.Rows(
        size=len(counts.models),
        left=left.astype(np.int64),
        right=right.astype(np.int64),
        score=wins[left, right],
        weight=games[left, right],
        features=np.ones((1 if position else 0, len(left))),
    )


def precisions(size: int, wide: int, prior: float | None) -> Floats:
    """(M + k,): of the normal priors of ratings (none, unless given) and of effects (always the weak one)."""
    precision = np.zeros(wide)
    precision[:size] = 0.0 if prior is None else (POINTS / prior) ** 2
    precision[size:] = (POINTS / WEAK_PRIOR) ** 2
    return precision


def inverse(matrix: Floats) -> Floats:
    return np.linalg.inv(matrix).astype(np.float64, copy=False)


def gauge_of(connected: Integers, wide: int) -> Floats:
    """What to add to the Hessian so that the average of each component is fixed."""
    gauge = np.zeros((wide, wide))
    size = len(connected)
    gauge[:size, :size] = connected[:, None] == connected[None, :]
    return gauge


def without_gauge(inverted: Floats, connected: Integers) -> Floats:
    """Project the inverse Hessian on the deviations from the average of each component."""
    size = len(connected)
    same = (connected[:, None] == connected[None, :]).astype(np.float64)
    projection = np.eye(len(inverted))
    projection[:size, :size] -= same / same.sum(axis=1, keepdims=True)
    return np.asarray(projection @ inverted @ projection.T)


def diverging_models(connected: Integers, strong: Integers) -> Booleans:
    """(M,): outside the largest strong component of its connected component, so without a finite rating of its own."""
    apart = np.zeros(len(connected), dtype=np.bool_)
    for group in set(connected.tolist()):
        members = np.flatnonzero(connected == group)
        sizes = Counter(strong[members].tolist())
        if len(sizes) > 1:
            largest = min(sizes, key=lambda number: (-sizes[number], number))
            apart[members] = strong[members] != largest
            if sizes[largest] == 1:  # nobody beat anybody who beat them: no part of it has a finite rating
                apart[members] = True
    return apart


def _meat(
    counts: PairCounts, values: Floats, diverging: Booleans, trusted: float, *, position: bool
) -> tuple[Floats, float]:
    """Σ w² (y − p)² x xᵀ with exact sums of squares, and the variance of a vote against a coin toss's."""
    size = len(counts.models)
    ratings, shift = values[:size], (values[size] if position else 0.0)
    expected = logistic(ratings[:, None] - ratings[None, :] + shift)
    spread = (
        counts.left_squares * (1.0 - expected) ** 2
        + counts.right_squares * expected**2
        + counts.tie_squares * (0.5 - expected) ** 2
    )
    squares = counts.left_squares + counts.right_squares + counts.tie_squares
    tosses = squares * expected * (1.0 - expected)
    dispersion = float(spread.sum() / tosses.sum()) if tosses.sum() > 0 else 1.0
    share = toss_share(counts.votes, (squares + squares.T).sum(axis=1), diverging, trusted)
    spread = (1.0 - share) * spread + share * tosses
    both = spread + spread.T
    wide = len(values)
    meat = np.zeros((wide, wide))
    meat[:size, :size] = np.diag(both.sum(axis=1)) - both
    if position:
        meat[:size, size] = meat[size, :size] = spread.sum(axis=1) - spread.sum(axis=0)
        meat[size, size] = spread.sum()
    return meat, dispersion


def toss_share(votes: Floats, squares: Floats, diverging: Booleans, trusted: float) -> Floats:
    """(M, M): how much the votes of a pair count as coin tosses of the fitted chance, from 0 to 1.

    1 where a model diverges: twenty wins out of twenty have no spread, and would be sure of what only the prior holds.
    Else `trusted` against the number of votes (weighted ones as (Σw)²/Σw²) of whichever model has fewer.
    """
    number = np.divide(votes**2, squares, out=np.zeros_like(votes), where=squares > 0)
    fewer = np.minimum(number[:, None], number[None, :])
    share = trusted / (trusted + fewer) if trusted > 0 else np.zeros_like(fewer)
    return np.asarray(np.where(diverging[:, None] | diverging[None, :], 1.0, share))


def _unknown(covariance: Floats, counts: PairCounts) -> Floats:
    """A model without votes has no rating: its variance is infinite."""
    covariance = covariance.copy()
    idle = np.flatnonzero(counts.votes == 0)
    covariance[idle, idle] = np.inf
    return covariance


def named_components(models: tuple[str, ...], connected: Integers) -> tuple[tuple[str, ...], ...]:
    return tuple(
        tuple(name for name, number in zip(models, connected, strict=True) if number == group)
        for group in range(int(connected.max(initial=-1)) + 1)
    )
