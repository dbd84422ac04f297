"""What `evaluate show` says: tables of numbers from verdicts, for everything together, each turn and each category."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from evaluation.metrics.ratings import RatingRow, ratings
from evaluation.metrics.resampling import ROUNDS
from evaluation.metrics.scores import ScoreRow, mean_scores
from evaluation.metrics.wins import WinRow, win_rates
from evaluation.records import PairVerdict, QuestionId, SingleVerdict

V = TypeVar("V", SingleVerdict, PairVerdict)
R = TypeVar("R")
Categories = Mapping[QuestionId, str]


@dataclass(frozen=True, slots=True)
class Table(Generic[R]):
    """The rows of one slice; `turn` and `category` are None where all of them are in it."""

    turn: int | None
    category: str | None
    rows: list[R]


@dataclass(frozen=True, slots=True)
class PairSummary:
    tables: list[Table[WinRow]]
    ratings: list[RatingRow]
    """Empty with a baseline: everybody met only the baseline, so win rates say it all."""


def of_singles(
    verdicts: Sequence[SingleVerdict], categories: Categories, *, rounds: int = ROUNDS, seed: int = 0
) -> list[Table[ScoreRow]]:
    return _tables(verdicts, categories, lambda part: mean_scores(part, rounds=rounds, seed=seed))


def of_pairs(
    verdicts: Sequence[PairVerdict],
    categories: Categories,
    *,
    baseline: str | None = None,
    rounds: int = ROUNDS,
    seed: int = 0,
) -> PairSummary:
    tables = _tables(
        verdicts, categories, lambda part: win_rates(part, baseline=baseline, rounds=rounds, seed=seed)
    )
    return PairSummary(tables, [] if baseline else ratings(verdicts, rounds=rounds, seed=seed))


def _tables(
    verdicts: Sequence[V], categories: Categories, summarise: Callable[[Iterable[V]], list[R]]
) -> list[Table[R]]:
    """Everything first, then the turns (when there are several), then the categories (when any is known)."""
    turns: dict[int, list[V]] = {}
    kinds: dict[str, list[V]] = {}
    for verdict in verdicts:
        turns.setdefault(verdict.turn, []).append(verdict)
        if category := categories.get(verdict.question_id, ""):
            kinds.setdefault(category, []).append(verdict)
    tables = [Table(None, None, summarise(verdicts))]
    if len(turns) > 1:
        tables += [Table(turn, None, summarise(turns[turn])) for turn in sorted(turns)]
    tables += [Table(None, category, summarise(part)) for category, part in kinds.items()]
    return [table for table in tables if table.rows]
