"""How sure a rating is: robust intervals, intervals that know that one voter's votes hang together, and the bootstrap.

All of them are of a model's difference to the average of its component, and of differences between two models.
"""

from dataclasses import dataclass, replace
from itertools import pairwise
from statistics import NormalDist

import numpy as np

from arena.ratings import graph, newton
from arena.ratings.arrays import CENTRE, POINTS, Booleans, Floats, Integers, logistic
from arena.ratings.bradley_terry import (
    WEAK_PRIOR,
    Fit,
    cells,
    gauge_of,
    inverse,
    precisions,
    without_gauge,
)
from arena.ratings.pairs import Outcomes, PairCounts

LEVEL = 0.95
CHUNK = 20_000  # clusters at a time, so that (clusters, models) stays small


@dataclass(frozen=True)
class Intervals:
    """Lower and upper bounds in points, aligned with `models`."""

    models: tuple[str, ...]
    lower: Floats
    upper: Floats
    level: float

    def of(self, model: str) -> tuple[float, float]:
        index = self.models.index(model)
        return float(self.lower[index]), float(self.upper[index])


@dataclass(frozen=True)
class Bootstrap:
    """Ratings of resampled votes, (rounds, M)."""

    models: tuple[str, ...]
    ratings: Floats

    def intervals(self, level: float = LEVEL) -> Intervals:
        """Quantiles of the resamples, as FastChat's boards have them."""
        tail = (1.0 - level) / 2.0
        lower, upper = np.quantile(self.ratings, [tail, 1.0 - tail], axis=0)
        return Intervals(self.models, lower, upper, level)

    def covariance(self) -> Floats:
        return np.asarray(np.atleast_2d(np.cov(self.ratings, rowvar=False)), dtype=np.float64)


def critical(level: float) -> float:
    """Two-sided normal quantile: 1.96 for 0.95."""
    if not 0.0 < level < 1.0:
        raise ValueError("level is a probability between 0 and 1, for example 0.95.")
    return NormalDist().inv_cdf(0.5 + level / 2.0)


def of(fit: Fit, level: float = LEVEL) -> Intervals:
    """From the covariance that the fit carries."""
    half = critical(level) * np.sqrt(np.diag(fit.covariance))
    return Intervals(fit.models, fit.ratings - half, fit.ratings + half, level)


def difference(fit: Fit, one: str, other: str) -> tuple[float, float]:
    """How many points `one` is above `other`, and the standard error; infinite when no votes connect the two."""
    i, j = fit.models.index(one), fit.models.index(other)
    return float(fit.ratings[i] - fit.ratings[j]), float(difference_errors(fit)[i, j])


def difference_errors(fit: Fit) -> Floats:
    """(M, M): the standard error of every difference; infinite across components."""
    variance = np.diag(fit.covariance)
    with np.errstate(invalid="ignore"):
        squared = variance[:, None] + variance[None, :] - 2.0 * fit.covariance
    component = fit.component()
    apart = component[:, None] != component[None, :]
    errors = np.sqrt(np.maximum(np.where(apart, np.inf, squared), 0.0))
    np.fill_diagonal(errors, 0.0)
    return np.asarray(errors)


def clustered(fit: Fit, outcomes: Outcomes, *, voter: bool = True, prompt: bool = False) -> Fit:
    """The same ratings with a covariance that lets the votes of one voter, of one prompt, or of both hang together.

    With both, the two-way formula holds: by voter + by prompt − by voter and prompt. A kind with no more clusters than
    models cannot carry a covariance of all models and is refused.
    """
    if fit.models != outcomes.models:
        raise ValueError("The votes and the ratings name different chat models.")
    kinds = [(outcomes.voter, "voter")] * voter + [(outcomes.prompt, "prompt")] * prompt
    if not kinds:
        raise ValueError("Choose voter, prompt or both.")
    usable = [clusters(column, name, fit) for column, name in kinds]
    counts, values = PairCounts.of(outcomes), _values(fit)
    diverging = np.isin(fit.models, fit.diverging)
    scores = _errors(values, outcomes, diverging)
    wide = len(values)
    meat = sum((_cluster_meat(scores, column, wide) for column in usable), np.zeros((wide, wide)))
    if len(usable) == 2:
        both = usable[0] * (int(usable[1].max(initial=0)) + 1) + usable[1]
        meat = meat - _cluster_meat(scores, both, wide)
    bread, tosses = _bread(fit, values, counts, diverging)
    covariance = _positive(bread @ (meat + tosses) @ bread) * POINTS**2
    size = len(fit.models)
    error = float(np.sqrt(covariance[size, size])) if wide > size else None
    return replace(fit, covariance=covariance[:size, :size], position_error=error)


def clusters(column: Integers | None, name: str, fit: Fit) -> Integers:
    """The votes' clusters, numbered from 0. Raises ValueError where they cannot carry the covariance of all models."""
    if column is None:
        raise ValueError(f"The votes do not say who the {name} was; leave out clustering by {name}.")
    different = len(np.unique(column))
    if different <= len(fit.models):
        raise ValueError(
            f"{different} different {name}s cannot carry the covariance of {len(fit.models)} chat models; "
            f"leave out clustering by {name}."
        )
    return np.unique(column, return_inverse=True)[1].astype(np.int64)


def bootstrap(counts: PairCounts, rounds: int, *, seed: int = 0, prior: float | None = None) -> Bootstrap:
    """Resample votes. It draws the counts of each (pair, result) instead of the votes: the same, and free of N.

    Weighted votes of a cell are drawn as (Σw)²/Σw² votes of the average weight Σw²/Σw: same mean, same variance.
    """
    _positive_rounds(rounds)
    left, right, share, weight, squares = _results(counts)
    effective = np.divide(weight**2, squares, out=np.zeros_like(weight), where=squares > 0)
    unit = np.divide(squares, weight, out=np.zeros_like(weight), where=weight > 0)
    total = effective.sum()
    if total == 0:
        return Bootstrap(counts.models, np.full((rounds, len(counts.models)), CENTRE))
    rng = np.random.default_rng(seed)
    drawn = rng.multinomial(round(total), effective / total, size=rounds) * unit  # (B, cells)
    size = len(counts.models)
    wins = np.zeros((rounds, size, size))
    games = np.zeros((rounds, size, size))
    # Each (pair, result) is one cell of its own, so the three results of a pair are added one after another.
    for result in (0.0, 0.5, 1.0):
        chosen = np.flatnonzero(share == result)
        i, j = left[chosen], right[chosen]
        wins[:, i, j] += drawn[:, chosen] * result
        games[:, i, j] += drawn[:, chosen]
    whole = solve_batch(*_whole(counts), prior=prior)[0]
    return Bootstrap(counts.models, CENTRE + POINTS * solve_batch(wins, games, prior=prior, start=whole))


def _whole(counts: PairCounts) -> tuple[Floats, Floats]:
    """All votes as one round: ordered scores and weights, (1, M, M)."""
    games = counts.left_wins + counts.right_wins + counts.ties
    return (counts.left_wins + counts.ties / 2.0)[None], games[None]


def bootstrap_clustered(
    outcomes: Outcomes, clusters: Integers, rounds: int, *, seed: int = 0, prior: float | None = None
) -> Bootstrap:
    """Resample whole clusters (voters or prompts), each with all its votes."""
    _positive_rounds(rounds)
    size = len(outcomes.models)
    number = int(clusters.max(initial=-1)) + 1
    pair = outcomes.left * size + outcomes.right
    rng = np.random.default_rng(seed)
    wins, games = (np.zeros((rounds, size, size)) for _ in range(2))
    for index in range(rounds):
        times = np.bincount(rng.integers(number, size=number), minlength=number)[clusters] * outcomes.weight
        games[index] = np.bincount(pair, weights=times, minlength=size * size).reshape(size, size)
        won = np.bincount(pair, weights=times * outcomes.score, minlength=size * size)
        wins[index] = won.reshape(size, size)
    return Bootstrap(outcomes.models, CENTRE + POINTS * solve_batch(wins, games, prior=prior))


def solve_batch(
    wins: Floats, games: Floats, *, prior: float | None = None, start: Floats | None = None
) -> Floats:
    """(B, M) ratings in natural units from (B, M, M) ordered scores and weights, by Newton on all B at once.

    `start` (M,) saves steps when it is near all of them, as the ratings of all votes are to those of resamples.

    A resample in which somebody never lost gets the weak prior; the others get none, unless `prior` says so.
    """
    score = wins + np.swapaxes(games - wins, 1, 2)  # i against j on either side
    both = games + np.swapaxes(games, 1, 2)
    rounds, size = len(wins), wins.shape[1]
    precision = np.full(rounds, 0.0 if prior is None else (POINTS / prior) ** 2)
    if prior is None:
        precision[~_finite(score, both)] = (POINTS / WEAK_PRIOR) ** 2
    # A resample that falls apart keeps the average of each part, as the weak prior would.
    gauge = np.where(precision > 0, 0.0, 1.0)[:, None, None] * np.ones((size, size))
    ratings = np.zeros((rounds, size)) if start is None else np.repeat(start[None, :], rounds, axis=0)
    diagonal = np.arange(size)
    for _ in range(60):
        expected = logistic(ratings[:, :, None] - ratings[:, None, :])
        gradient = (both * expected - score).sum(axis=2) + precision[:, None] * ratings
        if np.abs(gradient).max(initial=0.0) < 1e-8:
            break
        curvature = both * expected * (1.0 - expected)
        hessian = gauge - curvature
        hessian[:, diagonal, diagonal] += curvature.sum(axis=2) + precision[:, None]
        step = np.linalg.solve(hessian, gradient[:, :, None])[:, :, 0]
        # Newton may leap when a win is all but certain; a step of two units is a factor of seven in the odds.
        step *= np.minimum(1.0, 2.0 / np.maximum(np.abs(step).max(axis=1, keepdims=True), 1e-300))
        ratings -= step
    return np.asarray(ratings - ratings.mean(axis=1, keepdims=True))


def _finite(score: Floats, both: Floats) -> Booleans:
    """(B,): whether each resample has a finite maximum and hangs together."""
    answers = [
        graph.strong_components(one).max(initial=0) == 0
        if (one[pairs > 0] == 0).any() or (pairs == 0).any()
        else True
        for one, pairs in zip(score, both, strict=True)
    ]
    return np.array(answers, dtype=np.bool_)


def _results(counts: PairCounts) -> tuple[Integers, Integers, Floats, Floats, Floats]:
    """One row per (ordered pair, result) that occurred: left, right, y, Σw, Σw²."""
    parts = []
    for result, table, table_squares in (
        (1.0, counts.left_wins, counts.left_squares),
        (0.0, counts.right_wins, counts.right_squares),
        (0.5, counts.ties, counts.tie_squares),
    ):
        i, j = np.nonzero(table)
        parts.append((i, j, np.full(len(i), result), table[i, j], table_squares[i, j]))
    left, right, share, weight, squares = (np.concatenate(column) for column in zip(*parts, strict=True))
    return left.astype(np.int64), right.astype(np.int64), share, weight, squares


def _values(fit: Fit) -> Floats:
    """(M,) ratings in natural units, and the position effect where it was fitted."""
    natural = (fit.ratings - CENTRE) / POINTS
    return natural if fit.position is None else np.append(natural, fit.position / POINTS)


def _errors(values: Floats, outcomes: Outcomes, diverging: Booleans) -> tuple[Outcomes, Floats]:
    """The votes, and w·(y − p) of each; 0 where a model diverges, whose votes `_bread` adds as coin tosses."""
    size = len(outcomes.models)
    shift = values[size] if len(values) > size else 0.0
    expected = logistic(values[outcomes.left] - values[outcomes.right] + shift)
    error = outcomes.weight * (outcomes.score - expected)
    return outcomes, np.where(diverging[outcomes.left] | diverging[outcomes.right], 0.0, error)


def _cluster_meat(scores: tuple[Outcomes, Floats], clusters: Integers, wide: int) -> Floats:
    """Σ over clusters of s sᵀ, where s (M + k,) is the sum of the cluster's errors; with the usual G/(G − 1).

    A position effect (k = 1) is a feature that is one in every vote.
    """
    outcomes, error = scores
    size = len(outcomes.models)
    codes = np.unique(clusters, return_inverse=True)[1]
    number = int(codes.max(initial=-1)) + 1
    order = np.argsort(codes, kind="stable")
    starts = np.searchsorted(codes[order], np.arange(0, number + CHUNK, CHUNK))
    meat = np.zeros((wide, wide))
    for chunk, (first, last) in enumerate(pairwise(starts)):
        rows = order[first:last]
        at = codes[rows] - chunk * CHUNK
        sums = np.bincount(at * wide + outcomes.left[rows], weights=error[rows], minlength=CHUNK * wide)
        sums -= np.bincount(at * wide + outcomes.right[rows], weights=error[rows], minlength=CHUNK * wide)
        if wide > size:
            sums += np.bincount(at * wide + size, weights=error[rows], minlength=CHUNK * wide)
        table = sums.reshape(CHUNK, wide)
        meat += table.T @ table
    return meat * (number / max(number - 1, 1))


def _bread(fit: Fit, values: Floats, counts: PairCounts, diverging: Booleans) -> tuple[Floats, Floats]:
    """The inverse curvature, on the deviations from each component's average; and what is not seen but assumed.

    Assumed are the priors, and the variance of the votes on models that diverge.
    """
    size, wide = len(fit.models), len(values)
    rows = newton.group(cells(counts, position=wide > size))
    expected = newton.chances(rows, values)
    curvature = rows.weight * expected * (1.0 - expected)
    priors = np.diag(precisions(size, wide, fit.prior))
    hessian = newton.gram(rows, curvature) + priors
    component = fit.component()
    bread = without_gauge(inverse(hessian + gauge_of(component, wide)), component)
    squares = counts.left_squares + counts.right_squares + counts.tie_squares
    each = squares if wide > size else squares + squares.T
    apart = diverging[rows.left] | diverging[rows.right]
    tosses = np.where(apart, each[rows.left, rows.right] * expected * (1.0 - expected), 0.0)
    return bread, priors + newton.gram(rows, tosses)


def _positive(covariance: Floats) -> Floats:
    """Cut off negative eigenvalues, which the difference of the two-way formula can leave."""
    values, vectors = np.linalg.eigh((covariance + covariance.T) / 2.0)
    return np.asarray((vectors * np.maximum(values, 0.0)) @ vectors.T)


def _positive_rounds(rounds: int) -> None:
    if rounds < 2:
        raise ValueError("A bootstrap needs at least 2 rounds.")
