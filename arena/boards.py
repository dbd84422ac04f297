"""A leaderboard solved from counted votes: ratings, intervals, and who can be told apart from whom. Pure: numbers only.

The model is Bradley and Terry's, with effects that all chat models share (standing on the left, style) as covariates:
logit P(left wins) = θ_left − θ_right + features · effects. A tie is half a win for each. The likelihood is maximised by
Newton's method until its gradient vanishes; nothing is sampled but the critical value of the comparisons.

* A weak prior, normal with a standard deviation of 1,000 points around the mean, keeps a chat model that never lost
  from running away to infinity; it moves a model with a hundred votes by less than a point. Who never won or never lost
  is named in the board (`one_sided`), and so are groups that never met (`groups`).
* Intervals and comparisons rest on the sandwich covariance H⁻¹ B H⁻¹, which holds for ties and weights as well; it is
  drawn towards the model's own variance where votes are few. Votes are taken as independent: many votes of few people
  make the intervals too narrow (docs/leaderboard.md).
* Comparisons are simultaneous: the critical value is that of the largest of all standardised differences, so that with
  95 % probability not a single pair is wrongly told apart.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, exp, log
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

POINTS = 400 / log(10)
"""Elo points for one unit of log odds."""
MEAN = 1000.0
PRIOR_PRECISION = (POINTS / 1000) ** 2
LEVEL = 0.95
Z = 1.959963984540054
DRAWS = 1000
TRUSTED = 10.0
LARGEST_ASK = 100_000
TOLERANCE = 1e-9


class PairRow(NamedTuple):
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


@dataclass(frozen=True)
class Votes:
    """Votes as arrays; a row is one vote, or all votes that agree in everything but the outcome."""

    names: tuple[str, ...]
    left: Ints
    """(n,) index into `names`; so is `right`."""
    right: Ints
    weights: Floats
    """(n, 3): summed weights of the votes for the left, for the right, of ties."""
    squares: Floats
    """(n, 3): summed squares of the same."""
    features: Floats
    """(n, k): what is known of each row beside who met whom; the first column is 1: standing on the left."""
    effects: tuple[str, ...] = ("position",)


class StyledVote(NamedTuple):
    """One vote with the style of both answers: as many counts for the left as for the right."""

    left: str
    right: str
    choice: str
    weight: float
    left_style: Sequence[float]
    right_style: Sequence[float]


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
class Fit:
    theta: Floats
    """(m,) log odds; their mean is 0."""
    effects: Floats
    covariance: Floats
    """(m + k, m + k) of both."""
    gradient: float
    """The largest element of the gradient that is left."""
    iterations: int
    noise: float
    """The votes' variance by that of coin tosses with the fitted chances: below 1 where there are ties."""


@dataclass(frozen=True)
class Board:
    """Everything the page shows, best first."""

    standings: tuple[Standing, ...] = ()
    votes: int = 0
    effects: tuple[Effect, ...] = ()
    meetings: dict[tuple[str, str], Meeting] | None = None
    one_sided: tuple[str, ...] = ()
    groups: tuple[tuple[str, ...], ...] = ()
    """Groups of chat models between which there is no vote; a single one when all are comparable."""
    critical: float = 0.0
    gradient: float = 0.0

    def meeting(self, first: str, second: str) -> Meeting:
        return (self.meetings or {}).get((first, second), Meeting(0, 0, 0))


def solve(rows: Sequence[PairRow], with_style: Votes | None = None) -> Board:
    """The board of these counters; with `with_style`, ratings and intervals are those under style control.

    Rows without votes are allowed. Equal rows in equal order give an equal board, to the last bit.
    """
    rows = [row for row in rows if row.left_wins or row.right_wins or row.ties or row.both_bad]
    rows = [row for row in rows if row.left != row.right]
    if not rows:
        return Board()
    votes = with_style if with_style is not None else _votes(rows)
    solved = fit(votes)
    meetings = _meetings(rows)
    count = len(votes.names)
    differences = solved.theta[:, None] - solved.theta[None, :]
    errors = _errors(solved.covariance[:count, :count])
    critical = critical_value(solved.covariance[:count, :count], errors)
    better = differences > critical * errors
    return Board(
        standings=_standings(votes.names, solved, meetings, better, critical, errors),
        votes=sum(row.left_wins + row.right_wins + row.ties + row.both_bad for row in rows),
        effects=_effects(votes.effects, solved, count),
        meetings=meetings,
        one_sided=_one_sided(votes),
        groups=_groups(votes),
        critical=critical,
        gradient=solved.gradient,
    )


def styled(votes: Sequence[StyledVote], effects: Sequence[str]) -> Votes | None:
    """Votes with style as covariates, as published style control has them: (l − r) ÷ (l + r), by standard deviations.

    A count that never differs says nothing and is left out. None without votes.
    """
    votes = [vote for vote in votes if vote.left != vote.right]
    if not votes:
        return None
    names = tuple(sorted({name for vote in votes for name in (vote.left, vote.right)}))
    index = {name: number for number, name in enumerate(names)}
    left = np.array([vote.left_style for vote in votes], dtype=np.float64)
    right = np.array([vote.right_style for vote in votes], dtype=np.float64)
    apart = (left - right) / np.maximum(left + right, 1)  # (n, k)
    deviation = apart.std(axis=0)
    useful = deviation > 1e-9
    place = {"left": 0, "right": 1}
    outcome = np.eye(3)[[place.get(vote.choice, 2) for vote in votes]]  # (n, 3)
    weight = np.array([vote.weight for vote in votes])[:, None]
    return Votes(
        names=names,
        left=np.array([index[vote.left] for vote in votes]),
        right=np.array([index[vote.right] for vote in votes]),
        weights=outcome * weight,
        squares=outcome * weight**2,
        features=np.column_stack([np.ones(len(votes)), apart[:, useful] / deviation[useful]]),
        effects=("position", *(name for name, used in zip(effects, useful, strict=True) if used)),
    )


def ratings(rows: Sequence[PairRow]) -> dict[str, float]:
    """The ratings alone, without what takes longer."""
    rows = [row for row in rows if row.left != row.right and any(row[2:6])]
    if not rows:
        return {}
    votes = _votes(rows)
    theta = fit(votes).theta
    return {name: float(MEAN + POINTS * value) for name, value in zip(votes.names, theta, strict=True)}


def fit(votes: Votes, *, most: int = 50) -> Fit:
    """Maximise the penalised likelihood. It is strictly concave, so there is one maximum and Newton finds it."""
    count, extra = len(votes.names), votes.features.shape[1]
    parameters = np.zeros(count + extra)
    total = votes.weights.sum(axis=1)
    score = votes.weights[:, 0] + votes.weights[:, 2] / 2
    value = _objective(votes, parameters, total, score)
    iterations, gradient = 0, np.zeros(count + extra)
    while iterations < most:
        chances = _chances(votes, parameters)
        gradient = _gather(votes, score - total * chances) - PRIOR_PRECISION * parameters
        if np.abs(gradient).max() < TOLERANCE:
            break
        curvature = _hessian(votes, total * chances * (1 - chances))
        step = np.asarray(np.linalg.solve(curvature, gradient), dtype=np.float64)
        parameters, moved = _advance(votes, parameters, step, value, total, score)
        iterations += 1
        if moved <= value:  # nothing is left but rounding
            break
        value = moved
    chances = _chances(votes, parameters)
    gradient = _gather(votes, score - total * chances) - PRIOR_PRECISION * parameters
    variance = total * chances * (1 - chances)
    inverse = np.linalg.inv(_hessian(votes, variance))
    residual = np.stack([1 - chances, chances, 0.5 - chances], axis=1) ** 2  # (n, 3): left, right, tie
    meat = _outer(votes, _scatter(votes, residual, chances))
    spread = float((votes.weights * residual).sum() / variance.sum())
    theta = parameters[:count] - parameters[:count].mean()
    return Fit(
        theta,
        parameters[count:],
        inverse @ meat @ inverse,
        float(np.abs(gradient).max()),
        iterations,
        spread,
    )


def _scatter(votes: Votes, residual: Floats, chances: Floats) -> Floats:
    """(n,) Σ w²(y−p)² of each row, drawn towards what coin tosses with chance p would have where votes are few.

    Three ties that were fitted exactly are no proof that there is no noise. The model's own variance counts as much as
    `TRUSTED` votes of whichever of the two chat models has fewer.
    """
    count = len(votes.names)

    def per_model(values: Floats) -> Floats:
        met = np.bincount(votes.left, values, count) + np.bincount(votes.right, values, count)
        return np.asarray(met, dtype=np.float64)

    squares = votes.squares.sum(axis=1)
    number = per_model(votes.weights.sum(axis=1)) ** 2 / np.maximum(per_model(squares), 1e-300)
    fewer = np.minimum(number[votes.left], number[votes.right])
    share = TRUSTED / (TRUSTED + fewer)
    seen = (votes.squares * residual).sum(axis=1)
    found: Floats = (1 - share) * seen + share * squares * chances * (1 - chances)
    return found


def critical_value(covariance: Floats, errors: Floats) -> float:
    """The 95 % point of the largest |difference| ÷ its error among all pairs, were all ratings equal.

    From 1,000 draws with the ratings' own covariance and a fixed seed.
    """
    count = len(covariance)
    if count < 2:
        return Z
    values, vectors = np.linalg.eigh(covariance)
    root = vectors * np.sqrt(np.clip(values, 0, None))
    draws = np.random.default_rng(0).standard_normal((DRAWS, count)) @ root.T  # (draws, m)
    largest = np.zeros(DRAWS)
    for index in range(count - 1):
        apart = np.abs(draws[:, [index]] - draws[:, index + 1 :]) / errors[index, index + 1 :]
        np.maximum(largest, apart.max(axis=1), out=largest)
    return max(Z, float(np.quantile(largest, LEVEL)))


def votes_to_settle(difference: float, error: float, critical: float, noise: float) -> int | None:
    """How many more direct votes on two chat models bring |difference| to `critical` errors, if it stays as it is.

    A direct vote adds the information p(1−p) ÷ noise. None where it is settled; at most `LARGEST_ASK`.
    """
    if abs(difference) > critical * error:
        return None
    if difference == 0:
        return LARGEST_ASK
    chance = 1 / (1 + exp(-difference))
    wanted = (critical / difference) ** 2 - 1 / error**2
    return min(LARGEST_ASK, max(1, ceil(wanted * noise / (chance * (1 - chance)))))


def _votes(rows: Sequence[PairRow]) -> Votes:
    names = tuple(sorted({name for row in rows for name in (row.left, row.right)}))
    index = {name: number for number, name in enumerate(names)}
    return Votes(
        names=names,
        left=np.array([index[row.left] for row in rows]),
        right=np.array([index[row.right] for row in rows]),
        weights=np.array([(row.left_weight, row.right_weight, row.tie_weight) for row in rows]),
        squares=np.array([(row.left_squares, row.right_squares, row.tie_squares) for row in rows]),
        features=np.ones((len(rows), 1)),
    )


def _chances(votes: Votes, parameters: Floats) -> Floats:
    return 1 / (1 + np.exp(-_logits(votes, parameters)))


def _logits(votes: Votes, parameters: Floats) -> Floats:
    count = len(votes.names)
    theta = parameters[:count]
    found: Floats = theta[votes.left] - theta[votes.right] + votes.features @ parameters[count:]
    return found


def _objective(votes: Votes, parameters: Floats, total: Floats, score: Floats) -> float:
    logits = _logits(votes, parameters)
    # log(1 + e^x) without overflow
    likelihood = score @ logits - total @ np.logaddexp(0, logits)
    return float(likelihood - PRIOR_PRECISION / 2 * (parameters @ parameters))


def _advance(
    votes: Votes, parameters: Floats, step: Floats, value: float, total: Floats, score: Floats
) -> tuple[Floats, float]:
    """Newton's step, halved until the likelihood does not fall."""
    for _ in range(30):
        moved = _objective(votes, parameters + step, total, score)
        if moved >= value:
            return parameters + step, moved
        step = step / 2
    return parameters, value


def _gather(votes: Votes, per_row: Floats) -> Floats:
    """Xᵀ r for the design X = (left − right, features)."""
    count = len(votes.names)
    per_model = np.bincount(votes.left, per_row, count) - np.bincount(votes.right, per_row, count)
    return np.concatenate([per_model, votes.features.T @ per_row])


def _hessian(votes: Votes, variance: Floats) -> Floats:
    found: Floats = _outer(votes, variance)
    found[np.diag_indices_from(found)] += PRIOR_PRECISION
    return found


def _outer(votes: Votes, per_row: Floats) -> Floats:
    """Xᵀ diag(r) X."""
    count, extra = len(votes.names), votes.features.shape[1]
    met = np.bincount(votes.left * count + votes.right, per_row, count * count).reshape(count, count)
    met = met + met.T
    found = np.zeros((count + extra, count + extra))
    found[:count, :count] = np.diag(met.sum(axis=1)) - met
    for column in range(extra):
        weighted = per_row * votes.features[:, column]
        found[:, count + column] = _gather(votes, weighted)
        found[count + column, :] = found[:, count + column]
    return found


def _errors(covariance: Floats) -> Floats:
    """(m, m) standard errors of all differences; 1 on the diagonal, where nobody looks."""
    own = np.diag(covariance)
    squared = own[:, None] + own[None, :] - 2 * covariance
    np.fill_diagonal(squared, 1.0)
    found: Floats = np.sqrt(np.clip(squared, 1e-18, None))
    return found


def _standings(
    names: tuple[str, ...],
    solved: Fit,
    meetings: dict[tuple[str, str], Meeting],
    better: NDArray[np.bool_],
    critical: float,
    errors: Floats,
) -> tuple[Standing, ...]:
    count = len(names)
    # By name where ratings are equal, so that the order does not depend on the machine.
    order = sorted(range(count), key=lambda i: (-round(float(solved.theta[i]), 9), names[i]))
    tiers = _tiers(order, better)
    fitted = 1 / (1 + np.exp(solved.theta[None, :] - solved.theta[:, None]))
    half = Z * np.sqrt(np.clip(np.diag(solved.covariance)[:count], 0, None))
    found = []
    for place, i in enumerate(order):
        following = order[place + 1] if place + 1 < count else None
        found.append(
            Standing(
                name=names[i],
                rating=float(MEAN + POINTS * solved.theta[i]),
                low=float(MEAN + POINTS * (solved.theta[i] - half[i])),
                high=float(MEAN + POINTS * (solved.theta[i] + half[i])),
                rank=1 + int(better[:, i].sum()),
                tier=tiers[i],
                votes=sum(
                    meetings[names[i], other].votes for other in names if (names[i], other) in meetings
                ),
                win_rate=float((fitted[i].sum() - 0.5) / max(1, count - 1)),
                alike=tuple(names[j] for j in order if j != i and not better[i, j] and not better[j, i]),
                next_votes=None
                if following is None
                else votes_to_settle(
                    float(solved.theta[i] - solved.theta[following]),
                    float(errors[i, following]),
                    critical,
                    solved.noise,
                ),
            )
        )
    return tuple(found)


def _tiers(order: Sequence[int], better: NDArray[np.bool_]) -> dict[int, int]:
    """A new tier starts at the first chat model that is worse beyond doubt than the current tier's best."""
    tiers, best, tier = {}, order[0], 1
    for i in order:
        if better[best, i]:
            best, tier = i, tier + 1
        tiers[i] = tier
    return tiers


def _effects(names: Sequence[str], solved: Fit, count: int) -> tuple[Effect, ...]:
    half = Z * np.sqrt(np.clip(np.diag(solved.covariance)[count:], 0, None))
    return tuple(
        Effect(name, *(float(POINTS * value) for value in (middle, middle - margin, middle + margin)))
        for name, middle, margin in zip(names, solved.effects, half, strict=True)
    )


def _meetings(rows: Sequence[PairRow]) -> dict[tuple[str, str], Meeting]:
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


def _one_sided(votes: Votes) -> tuple[str, ...]:
    """Who never lost or never won, half a win by a tie included: the prior alone keeps their ratings finite."""
    count = len(votes.names)
    for_left = votes.weights[:, 0] + votes.weights[:, 2] / 2
    for_right = votes.weights[:, 1] + votes.weights[:, 2] / 2
    won = np.bincount(votes.left, for_left, count) + np.bincount(votes.right, for_right, count)
    lost = np.bincount(votes.left, for_right, count) + np.bincount(votes.right, for_left, count)
    return tuple(
        name for name, wins, losses in zip(votes.names, won, lost, strict=True) if not (wins and losses)
    )


def _groups(votes: Votes) -> tuple[tuple[str, ...], ...]:
    count = len(votes.names)
    group = list(range(count))

    def root(i: int) -> int:
        while group[i] != i:
            group[i] = group[group[i]]
            i = group[i]
        return i

    for left, right in set(zip(votes.left.tolist(), votes.right.tolist(), strict=True)):
        group[root(left)] = root(right)
    members: dict[int, list[str]] = {}
    for i in range(count):
        members.setdefault(root(i), []).append(votes.names[i])
    return tuple(sorted((tuple(found) for found in members.values()), key=lambda found: (-len(found), found)))
