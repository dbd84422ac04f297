"""Intervals and tests on made-up verdicts whose truth is known."""

import math
import random

import numpy as np
import pytest

from evaluation.metrics import comparison, resampling, scores, wins
from evaluation.records import PairVerdict, SingleVerdict


def single(question, model, score, turn=1, judge="j"):
    return SingleVerdict(question, model, judge, turn, score)


def test_the_interval_of_a_mean_covers_the_truth_about_as_often_as_it_says():
    chance = np.random.default_rng(1)
    inside = 0
    for number in range(300):
        # Two verdicts of a question share its difficulty: resampling verdicts alone would be too sure.
        difficulty = chance.normal(0, 1, 40)
        verdicts = [
            single(question, "a", 5 + difficulty[question] + chance.normal(0, 0.3), turn)
            for question in range(40)
            for turn in (1, 2)
        ]
        [row] = scores.mean_scores(verdicts, rounds=300, seed=number)
        inside += row.mean.low <= 5 <= row.mean.high
    # 300 trials at 95 % have a standard deviation of 1.3 %; percentile intervals of 40 questions lose about 1 %.
    assert 0.90 <= inside / 300 <= 0.985


def test_one_question_has_no_interval():
    [row] = scores.mean_scores([single(1, "a", 5)])
    assert (row.mean.value, math.isnan(row.mean.low)) == (5, True)


def test_a_chat_model_with_errors_only_has_no_mean_and_comes_last():
    rows = scores.mean_scores([single(1, "a", None), single(1, "b", 2.0)])
    assert [row.chat_model for row in rows] == ["b", "a"]
    assert math.isnan(rows[1].mean.value)
    assert (rows[1].verdicts, rows[1].errors) == (0, 1)


def test_no_verdicts_no_rows():
    assert scores.mean_scores([]) == []
    assert wins.win_rates([]) == []


def test_the_same_seed_gives_the_same_interval_and_another_one_another():
    verdicts = [single(question, "a", float(question % 7)) for question in range(30)]
    first, again, other = (scores.mean_scores(verdicts, seed=seed)[0].mean for seed in (1, 1, 2))
    assert first == again
    assert (first.low, first.high) != (other.low, other.high)


def test_categories_keep_their_order():
    verdicts = [single(2, "a", 1.0), single(1, "a", 2.0), single(3, "a", 3.0)]
    found = scores.by_category(verdicts, {1: "maths", 2: "writing", 3: "maths"})
    assert {name: [v.score for v in rows] for name, rows in found.items()} == {
        "writing": [1.0],
        "maths": [2.0, 3.0],
    }


class TestIsItBetter:
    def test_a_clear_improvement_has_a_small_p_and_the_right_difference(self):
        chance = random.Random(3)
        verdicts = []
        for question in range(60):
            base = chance.uniform(2, 7)
            verdicts += [
                single(question, "parent", base),
                single(question, "child", base + 1 + chance.gauss(0, 0.5)),
            ]
        found = comparison.of_scores(verdicts, candidate="child", parent="parent")
        assert found.difference.value == pytest.approx(1, abs=0.25)
        assert found.difference.low > 0.7
        assert found.effect > 1
        assert found.p_value < 0.001
        assert found.questions == 60

    def test_p_is_uniform_where_nothing_changed(self):
        chance = np.random.default_rng(5)
        small = 0
        for number in range(200):
            verdicts = [
                single(question, name, float(chance.normal()))
                for question in range(12)
                for name in ("a", "b")
            ]
            small += comparison.of_scores(verdicts, candidate="a", parent="b", seed=number).p_value < 0.1
        assert 0.04 < small / 200 < 0.17  # 10 % ± 3 standard deviations

    def test_the_p_of_three_wins_in_three_questions_is_exact(self):
        verdicts = [single(q, name, score) for q in range(3) for name, score in (("a", 6.0), ("b", 5.0))]
        found = comparison.of_scores(verdicts, candidate="a", parent="b")
        assert found.p_value == pytest.approx(2 / 8)
        assert math.isnan(found.effect)

    def test_pairs_count_wins_and_losses_of_the_candidate_in_either_place(self):
        verdicts = [
            PairVerdict(1, "child", "parent", "j", 1, "model_1", "model_1"),
            PairVerdict(2, "parent", "child", "j", 1, "model_2", "model_2"),
            PairVerdict(3, "parent", "child", "j", 1, "model_1", "model_1"),
            PairVerdict(4, "parent", "child", "j", 1, "model_1", "model_2"),
            PairVerdict(5, "parent", "child", "j", 1, "error", "model_2"),
            PairVerdict(6, "other", "child", "j", 1, "model_2", "model_2"),
        ]
        found = comparison.of_pairs(verdicts, candidate="child", parent="parent")
        assert [found.difference.value, found.questions] == pytest.approx([1 / 4, 4])

    def test_what_was_never_compared_says_nothing(self):
        found = comparison.of_scores([single(1, "a", 5.0)], candidate="a", parent="b")
        assert (found.questions, found.p_value, math.isnan(found.difference.value)) == (0, 1.0, True)


def test_a_resample_has_as_many_questions_as_there_are():
    drawn = resampling.draws(7, 20, 0)
    assert drawn.shape == (20, 7)
    assert (drawn.sum(axis=1) == 7).all()
