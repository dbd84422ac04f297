import math
import random

import pytest

from evaluation.metrics.ratings import ratings
from evaluation.records import PairVerdict


def pair(question, winner):
    return PairVerdict(question, "a", "b", "j", 1, winner, winner)


def test_three_wins_to_one_are_191_points():
    """P = 3/4 is 400 · log10(3) points by definition."""
    verdicts = [pair(q, "model_2" if q % 4 == 0 else "model_1") for q in range(40)]
    first, second = ratings(verdicts)
    assert (first.chat_model, second.chat_model) == ("a", "b")
    assert first.rating.value - second.rating.value == pytest.approx(400 * math.log10(3), abs=1e-6)
    assert first.rating.low < first.rating.value < first.rating.high
    assert (first.verdicts, first.undecided) == (40, False)


def test_inconsistent_games_are_ties_and_errors_do_not_count():
    verdicts = [
        PairVerdict(1, "a", "b", "j", 1, "model_1", "model_2"),
        PairVerdict(2, "a", "b", "j", 1, "tie", "tie"),
        PairVerdict(3, "a", "b", "j", 1, "error", "model_1"),
    ]
    rows = ratings(verdicts)
    assert [row.rating.value for row in rows] == pytest.approx([1000, 1000])
    assert [row.verdicts for row in rows] == [2, 2]


def test_turns_of_one_question_are_not_independent():
    """The same verdict told ten times makes nobody ten times as sure."""
    chance = random.Random(1)
    once = [pair(q, chance.choice(["model_1", "model_1", "model_2"])) for q in range(60)]
    wide, wider = ratings(once)[0].rating, ratings(once * 10)[0].rating
    assert wider.value == pytest.approx(wide.value, abs=1e-6)
    assert wider.high - wider.low == pytest.approx(wide.high - wide.low, rel=1e-6)


def test_who_won_everything_is_finite_and_marked():
    rows = ratings([pair(q, "model_1") for q in range(5)])
    assert all(row.undecided and math.isfinite(row.rating.value) for row in rows)


def test_one_question_has_no_interval_and_none_no_rows():
    assert math.isnan(ratings([pair(1, "model_1"), pair(1, "model_2")])[0].rating.low)
    assert ratings([]) == []
