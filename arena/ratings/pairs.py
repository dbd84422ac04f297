"""Battles as arrays, and what the ratings need to know of them: counts per ordered pair.

`Outcomes` has one row per vote. `PairCounts` has six (M, M) tables however many votes there are, so a Bradley–Terry
solve, its intervals and its bootstrap cost the same for a thousand votes and for a hundred million.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from arena.ratings.arrays import Floats, Integers

LEFT, RIGHT, TIE = 1.0, 0.0, 0.5


class PairRow(NamedTuple):
    """The votes on `left` standing left of `right`: sums of their weights, and sums of the squared weights."""

    left: str
    right: str
    left_weight: float
    right_weight: float
    tie_weight: float
    left_squares: float
    right_squares: float
    tie_squares: float


@dataclass(frozen=True)
class Outcomes:
    """One row per vote, in the order in which they were cast.

    `left` and `right` are positions in `models`; `score` is 1 when the left side won, ½ for a tie, 0 when the right
    side won. `voter` and `prompt` number the clusters of votes that are not independent of each other; None: unknown.
    """

    models: tuple[str, ...]
    left: Integers
    right: Integers
    score: Floats
    weight: Floats
    voter: Integers | None = None
    prompt: Integers | None = None

    def __post_init__(self) -> None:
        size = len(self.score)
        for name in ("left", "right", "weight", "voter", "prompt"):
            column = getattr(self, name)
            if column is not None and len(column) != size:
                raise ValueError(f"{name} has {len(column)} rows, score has {size}.")
        if not np.isin(self.score, (LEFT, RIGHT, TIE)).all():
            raise ValueError("score must be 1 (left won), 0.5 (tie) or 0 (right won).")
        if not (np.isfinite(self.weight).all() and (self.weight >= 0).all()):
            raise ValueError("weight must be finite and not negative.")
        if (self.left == self.right).any():
            raise ValueError("A chat model cannot fight itself.")

    def __len__(self) -> int:
        return len(self.score)

    @classmethod
    def of(
        cls,
        left: Sequence[str],
        right: Sequence[str],
        score: Sequence[float] | npt.NDArray[np.float64],
        *,
        weight: Sequence[float] | npt.NDArray[np.float64] | None = None,
        voter: Sequence[str] | None = None,
        prompt: Sequence[str] | None = None,
    ) -> "Outcomes":
        """From names. The models are in alphabetical order, whatever the order of the votes."""
        models, codes = _codes([*left, *right])
        scores = np.asarray(score, dtype=np.float64)
        weights = np.ones(len(scores)) if weight is None else np.asarray(weight, dtype=np.float64)
        return cls(
            models=models,
            left=codes[: len(left)],
            right=codes[len(left) :],
            score=scores,
            weight=weights,
            voter=None if voter is None else _codes(voter)[1],
            prompt=None if prompt is None else _codes(prompt)[1],
        )

    def slice(self, rows: npt.NDArray[np.bool_] | npt.NDArray[np.int64]) -> "Outcomes":
        """Only these rows (a mask or positions), with the same models."""
        return replace(
            self,
            left=self.left[rows],
            right=self.right[rows],
            score=self.score[rows],
            weight=self.weight[rows],
            voter=None if self.voter is None else self.voter[rows],
            prompt=None if self.prompt is None else self.prompt[rows],
        )


@dataclass(frozen=True)
class PairCounts:
    """What all votes say, per ordered pair: in row i and column j, model i stood on the left and j on the right.

    `left_wins`, `right_wins` and `ties` sum the votes' weights; the `…_squares` sum the squared weights, which the
    intervals need. With weights of one they are the same numbers.
    """

    models: tuple[str, ...]
    left_wins: Floats
    right_wins: Floats
    ties: Floats
    left_squares: Floats
    right_squares: Floats
    tie_squares: Floats

    @classmethod
    def empty(cls, models: Iterable[str]) -> "PairCounts":
        names = tuple(models)
        if len(set(names)) != len(names):
            raise ValueError("A chat model is named twice.")
        size = len(names)
        return cls(names, *(np.zeros((size, size)) for _ in range(6)))

    @classmethod
    def of(cls, outcomes: Outcomes) -> "PairCounts":
        """Aggregate votes: one pass over the rows."""
        size = len(outcomes.models)
        # One number per (pair, result), so that a single pass counts all three tables: 0 right, 1 tie, 2 left.
        result = (2.0 * outcomes.score).astype(np.int64)
        cell = (outcomes.left * size + outcomes.right) * 3 + result
        sums = np.bincount(cell, weights=outcomes.weight, minlength=size * size * 3)
        plain = bool((outcomes.weight == 1.0).all())
        squares = sums if plain else np.bincount(cell, weights=outcomes.weight**2, minlength=size * size * 3)
        right, tie, left = _three(sums, size)
        right2, tie2, left2 = _three(squares, size)
        return cls(outcomes.models, left, right, tie, left2, right2, tie2)

    @classmethod
    def from_rows(cls, rows: Iterable[PairRow]) -> "PairCounts":
        """From counters as a database keeps them. A pair may come in several rows; they are added up."""
        kept = list(rows)
        counts = cls.empty(sorted({name for row in kept for name in (row.left, row.right)}))
        position = {name: index for index, name in enumerate(counts.models)}
        for row in kept:
            if row.left == row.right:
                raise ValueError(f"{row.left} cannot fight itself.")
            place = position[row.left], position[row.right]
            for table, value in zip(counts.tables(), row[2:], strict=True):
                table[place] += value
        return counts

    def tables(self) -> tuple[Floats, ...]:
        """The six tables, in the order of `PairRow`."""
        return (
            self.left_wins,
            self.right_wins,
            self.ties,
            self.left_squares,
            self.right_squares,
            self.tie_squares,
        )

    @property
    def wins(self) -> Floats:
        """(M, M): the score of i against j on either side; a win is one, a tie a half."""
        return self.left_wins + self.right_wins.T + (self.ties + self.ties.T) / 2.0

    @property
    def games(self) -> Floats:
        """(M, M), symmetric: the weight of all votes on the two."""
        one_way = self.left_wins + self.right_wins + self.ties
        return one_way + one_way.T

    @property
    def votes(self) -> Floats:
        """(M,): the weight of the votes on each model."""
        return np.asarray(self.games.sum(axis=1))

    def merge(self, other: "PairCounts") -> "PairCounts":
        """The votes of both together; the models of both, in alphabetical order."""
        names = tuple(sorted({*self.models, *other.models}))
        one, two = self._spread(names), other._spread(names)
        return PairCounts(names, *(a + b for a, b in zip(one.tables(), two.tables(), strict=True)))

    def slice(self, models: Iterable[str]) -> "PairCounts":
        """Only the votes between these models, in this order."""
        names = tuple(models)
        position = {name: index for index, name in enumerate(self.models)}
        unknown = [name for name in names if name not in position]
        if unknown:
            raise ValueError(f"No votes on {', '.join(unknown)}.")
        chosen = np.array([position[name] for name in names], dtype=np.int64)
        return PairCounts(names, *(table[np.ix_(chosen, chosen)] for table in self.tables()))

    def _spread(self, names: tuple[str, ...]) -> "PairCounts":
        """The same votes in larger tables."""
        position = {name: index for index, name in enumerate(names)}
        chosen = np.array([position[name] for name in self.models], dtype=np.int64)
        spread = PairCounts.empty(names)
        for target, table in zip(spread.tables(), self.tables(), strict=True):
            target[np.ix_(chosen, chosen)] = table
        return spread


def _three(cells: npt.NDArray[np.generic], size: int) -> Floats:
    """(3, M, M) from a flat count of (pair, result)."""
    # bincount of no rows at all gives integers
    return np.moveaxis(cells.astype(np.float64).reshape(size, size, 3), 2, 0).copy()


def _codes(names: Sequence[str]) -> tuple[tuple[str, ...], Integers]:
    """The different names in alphabetical order, and the position of each name among them."""
    # A dictionary, not np.unique: sorting a million strings takes seconds, looking them up a tenth.
    different = tuple(sorted(set(names)))
    position = {name: index for index, name in enumerate(different)}
    return different, np.fromiter(map(position.__getitem__, names), dtype=np.int64, count=len(names))
