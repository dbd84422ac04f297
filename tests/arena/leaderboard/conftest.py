"""Votes for the leaderboard's tests, without conversations behind them."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from arena.models import Battle, PairCounter, Vote
from arena.selectors import leaderboard
from arena.services import counting

NOON = datetime(2026, 3, 5, 12, tzinfo=UTC)


def make_vote(
    left: str, right: str, choice: str, *, at: datetime = NOON, language: str = "", **values: Any
) -> Vote:
    """A vote that was cast and counted, as `cast_vote` does."""
    battle = Battle.objects.create(
        left_name=left,
        right_name=right,
        language=language,
        categories=values.pop("categories", []),
        prompt_fingerprint=values.pop("prompt_fingerprint", ""),
        revealed_at=at,
        created_at=at,
    )
    vote = Vote.objects.create(battle=battle, choice=choice, created_at=at, **values)
    counting.vote_changed(vote)
    return vote


def counters() -> dict[tuple[str, ...], tuple[float, ...]]:
    """Every counter that is not zero."""
    rows = PairCounter.objects.values_list("slice", "period", "left", "right", *counting.COLUMNS)
    return {row[:4]: tuple(round(value, 9) for value in row[4:]) for row in rows if any(row[4:])}


@pytest.fixture(autouse=True)
def _nothing_solved_yet():
    """Each test's database starts with version 0 again, and the boards of a version are kept."""
    for kept in (leaderboard._solved, leaderboard._slices, leaderboard._slice_votes, leaderboard._monthly):
        kept.cache_clear()


@pytest.fixture
def votes(db) -> Callable[..., None]:
    """`votes("a", "b", "left", 10)` casts ten."""

    def _votes(left: str, right: str, choice: str, number: int = 1, **values: Any) -> None:
        for _ in range(number):
            make_vote(left, right, choice, **values)

    return _votes
