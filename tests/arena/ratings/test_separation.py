import numpy as np
import pytest

from arena.ratings import bradley_terry
from arena.ratings.pairs import Outcomes, PairCounts
from arena.ratings.separation import separate, votes_needed
from tests.arena.ratings.conftest import made_votes


def fitted(truth, number, seed=1):
    return bradley_terry.fit(PairCounts.of(made_votes(np.asarray(truth), number, seed=seed)))


def test_far_apart_models_stand_in_tiers_of_their_own():
    separation = separate(fitted([1.5, 0.0, -1.5], 3000))
    assert separation.tiers.tolist() == [1, 2, 3]
    assert separation.ranks.tolist() == [1, 2, 3]
    assert separation.separated_share() == 1.0


def test_equal_models_share_a_tier_and_cannot_be_told_apart():
    separation = separate(fitted([0.0] * 5, 2000))
    assert set(separation.tiers.tolist()) == {1}
    assert separation.cannot_tell("m00") == ("m01", "m02", "m03", "m04")


def test_the_whole_board_is_right_with_the_stated_probability():
    # 20 equal models, 190 comparisons: single tests at 95 % would err on nearly every board.
    wrong = sum(separate(fitted([0.0] * 20, 3000, seed)).better.any() for seed in range(60))
    assert wrong <= 9  # the expectation is 3; ten or more have a probability of 0.1 %


def test_the_threshold_is_above_that_of_one_comparison():
    assert separate(fitted([0.0] * 20, 3000)).threshold > 3


def test_models_that_never_met_are_not_separated():
    left = ["a"] * 90 + ["b"] * 10 + ["c"] * 90 + ["d"] * 10
    right = ["b"] * 90 + ["a"] * 10 + ["d"] * 90 + ["c"] * 10
    fit = bradley_terry.fit(PairCounts.of(Outcomes.of(left, right, [1.0] * 200)))
    separation = separate(fit)
    better = {(separation.models[i], separation.models[j]) for i, j in np.argwhere(separation.better)}
    assert better == {("a", "b"), ("c", "d")}


def test_it_says_about_how_many_votes_would_settle_two_models():
    outcomes = Outcomes.of(["a"] * 20, ["b"] * 20, [1.0] * 12 + [0.0] * 8)
    needed = votes_needed(bradley_terry.fit(PairCounts.of(outcomes)), "a", "b")
    # With 12 : 8 kept up, k times as many votes settle it when 1.96 standard errors are the log-odds of 0.405.
    in_all = (1.96 / np.log(1.5)) ** 2 / (0.6 * 0.4)
    assert needed == pytest.approx(in_all - 20, rel=0.02)


def test_what_is_settled_needs_no_more_votes_and_a_draw_never_ends():
    settled = fitted([1.5, -1.5], 1000)
    assert votes_needed(settled, "m00", "m01") == 0
    drawn = bradley_terry.fit(PairCounts.of(Outcomes.of(["a", "b"], ["b", "a"], [1.0, 1.0])))
    assert votes_needed(drawn, "a", "b") is None


def test_a_board_of_one_or_none_has_nothing_to_compare():
    assert separate(bradley_terry.fit(PairCounts.empty(["a"]))).tiers.tolist() == [1]
    assert separate(bradley_terry.fit(PairCounts.empty([]))).separated_share() == 0.0
