"""Counting anew and importing keep nobody from voting, and lose no vote: with connections of their own, on a file."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import pytest
from django.db import connection

from arena.battle_files.rows import BattleRow
from arena.models import PairCounter, Vote
from arena.selectors import battles
from arena.selectors.battles import Outcome
from arena.services import counting, importing
from tests.arena.leaderboard.conftest import counters, make_vote

pytestmark = pytest.mark.django_db(transaction=True)
PATIENCE = 120
T = TypeVar("T")


def elsewhere(action: Callable[[], T]) -> T:
    """What `action` gives in a thread with a database connection of its own, while this one waits for it."""

    def run() -> T:
        try:
            return action()
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as threads:
        return threads.submit(run).result(PATIENCE)


def fresh() -> dict[tuple[str, ...], tuple[float, ...]]:
    """The counters, made of all votes and nothing else."""
    PairCounter.objects.all().delete()
    counting.rebuild()
    return counters()


def test_votes_cast_and_taken_back_during_a_recount_are_neither_lost_nor_counted_twice(monkeypatch):
    kept = make_vote("a", "b", "left", categories=["coding"], weight=0.5)
    make_vote("a", "b", "tie", language="de")
    PairCounter.objects.filter(period="").update(right_wins=9)
    outcomes = battles.outcomes

    def beside_others(*arguments: object) -> Iterator[Outcome]:
        for number, outcome in enumerate(outcomes(Vote.objects.filter(entered=True))):
            if number == 0:  # the recount has begun to read
                elsewhere(lambda: make_vote("b", "c", "right"))
                elsewhere(leave_out)
            yield outcome

    def leave_out() -> None:
        vote = Vote.objects.get(pk=kept.pk)
        vote.counted = False
        vote.save()
        counting.vote_changed(vote)

    monkeypatch.setattr(battles, "outcomes", beside_others)
    assert counting.rebuild() == 2  # as of when it began
    monkeypatch.undo()
    found = counters()
    assert found["all", "", "b", "c"][1] == 1
    assert found["all", "", "a", "b"][:3] == (0, 0, 1)
    assert found == fresh()


def test_votes_cast_between_the_portions_of_a_recount_count_once(monkeypatch):
    for left, right in ("ab", "bc", "ca"):
        make_vote(left, right, "left", categories=["maths"])
    PairCounter.objects.all().delete()
    monkeypatch.setattr(counting, "PORTION", 4)
    monkeypatch.setattr(
        counting, "let_others_write", lambda: elsewhere(lambda: make_vote("a", "b", "tie", weight=0.25))
    )
    counting.rebuild()
    monkeypatch.undo()
    assert counters() == fresh()
    assert counters()["all", "", "a", "b"][2] == Vote.objects.filter(choice="tie").count() > 3


def test_an_import_lets_others_vote_between_its_batches(monkeypatch):
    monkeypatch.setattr(importing, "BATCH", 2)

    def rows() -> Iterator[BattleRow]:
        for number in range(6):
            yield BattleRow(
                "a", "b", "left", external_id=str(number), when=1.7e9 + number, categories=("own",)
            )
            elsewhere(lambda: make_vote("a", "b", "right", categories=["own"]))

    importing.import_votes(votes=rows(), source="file")
    assert counters()["category:own", "", "a", "b"][:2] == (6, 6)
    assert counters() == fresh()
