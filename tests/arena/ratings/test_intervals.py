"""Whether intervals hold what they promise is tried on made votes whose truth is known."""

import numpy as np
import pytest

from arena.ratings import bradley_terry, intervals
from arena.ratings.pairs import Outcomes, PairCounts
from tests.arena.ratings.conftest import made_votes

TRUTH = np.linspace(-1, 1, 10)


def coverage(make, fitted, rounds):
    """The share of all pairs' differences that the 95 % intervals of `rounds` made boards contain."""
    inside = []
    for seed in range(rounds):
        outcomes, truth = make(seed)
        fit = fitted(outcomes)
        error = intervals.difference_errors(fit)
        gap = (fit.ratings[:, None] - fit.ratings[None, :]) - 173.7178 * (truth[:, None] - truth[None, :])
        upper = np.triu_indices(len(truth), 1)
        inside.append(np.mean(np.abs(gap[upper]) < intervals.critical(0.95) * error[upper]))
    return float(np.mean(inside))


def test_intervals_of_independent_votes_cover_within_two_points():
    # 300 boards × 45 differences; boards are independent, so the standard error of the share is about 0.5 points
    share = coverage(
        lambda seed: (made_votes(TRUTH, 1500, seed=seed), TRUTH),
        lambda outcomes: bradley_terry.fit(PairCounts.of(outcomes)),
        300,
    )
    assert share == pytest.approx(0.95, abs=0.02)


def with_taste(seed):
    """Voters differ in taste: with their average the truth is a little flatter, as a large sample shows."""
    return made_votes(TRUTH, 6000, seed=seed, voters=200, taste=0.8), FLATTER


FLATTER = (
    bradley_terry.fit(
        PairCounts.of(made_votes(TRUTH, 400_000, seed=999_999, voters=400_000, taste=0.8))
    ).ratings
    - 1000
) / 173.7178


def test_intervals_clustered_by_voter_cover_within_two_points_where_independent_ones_do_not():
    plain = coverage(with_taste, lambda o: bradley_terry.fit(PairCounts.of(o)), 200)
    by_voter = coverage(
        with_taste, lambda o: intervals.clustered(bradley_terry.fit(PairCounts.of(o)), o), 200
    )
    assert by_voter == pytest.approx(0.95, abs=0.02)
    assert plain < 0.91


def test_the_bootstrap_agrees_with_the_formula(votes):
    counts = PairCounts.of(votes)
    fit = bradley_terry.fit(counts)
    boot = intervals.bootstrap(counts, 2000, seed=1)
    assert np.sqrt(np.diag(boot.covariance())) == pytest.approx(np.sqrt(np.diag(fit.covariance)), rel=0.08)
    assert boot.ratings.mean(axis=0) == pytest.approx(fit.ratings, abs=2)


def test_the_bootstrap_of_voters_agrees_with_the_formula():
    outcomes = made_votes(TRUTH, 6000, seed=4, voters=200, taste=0.8)
    fit = intervals.clustered(bradley_terry.fit(PairCounts.of(outcomes)), outcomes)
    assert outcomes.voter is not None
    boot = intervals.bootstrap_clustered(outcomes, outcomes.voter, 1000, seed=2)
    assert np.sqrt(np.diag(boot.covariance())) == pytest.approx(np.sqrt(np.diag(fit.covariance)), rel=0.12)


def test_weights_of_a_half_widen_nothing_but_scale_nothing_either(votes):
    half = Outcomes(votes.models, votes.left, votes.right, votes.score, votes.weight / 2)
    one, other = bradley_terry.fit(PairCounts.of(votes)), bradley_terry.fit(PairCounts.of(half))
    assert other.covariance == pytest.approx(one.covariance)
    drawn = [intervals.bootstrap(PairCounts.of(o), 50).ratings for o in (votes, half)]
    assert drawn[0] == pytest.approx(drawn[1])


def test_a_cluster_per_vote_is_the_independent_interval(votes):
    fit = bradley_terry.fit(PairCounts.of(votes))
    alone = Outcomes(
        votes.models, votes.left, votes.right, votes.score, votes.weight, voter=np.arange(len(votes))
    )
    assert intervals.clustered(fit, alone).covariance == pytest.approx(fit.covariance, rel=1e-3, abs=1e-6)


def test_two_ways_at_once_are_at_least_as_wide_as_the_narrower_one(votes):
    rng = np.random.default_rng(0)
    both = Outcomes(
        votes.models, votes.left, votes.right, votes.score, votes.weight,
        voter=votes.voter, prompt=rng.integers(500, size=len(votes)),
    )  # fmt: skip
    fit = bradley_terry.fit(PairCounts.of(both))
    width = [
        np.trace(intervals.clustered(fit, both, voter=voter, prompt=prompt).covariance)
        for voter, prompt in ((True, False), (False, True), (True, True))
    ]
    assert width[2] > 0.8 * min(width[:2])


def test_too_few_clusters_are_refused_with_the_reason(votes):
    few = Outcomes(votes.models, votes.left, votes.right, votes.score, votes.weight, voter=votes.voter % 7)
    fit = bradley_terry.fit(PairCounts.of(few))
    with pytest.raises(ValueError, match="7 different voters"):
        intervals.clustered(fit, few)
    with pytest.raises(ValueError, match="do not say who the prompt"):
        intervals.clustered(fit, few, voter=False, prompt=True)


def test_models_that_never_met_have_no_difference():
    outcomes = Outcomes.of(list("abcd"), list("badc"), [1.0] * 4)
    fit = bradley_terry.fit(PairCounts.of(outcomes))
    assert intervals.difference(fit, "a", "b")[1] < 1000
    assert np.isinf(intervals.difference(fit, "a", "c")[1])


def test_an_undefeated_model_survives_the_bootstrap():
    outcomes = Outcomes.of(["x"] * 5 + ["y", "z"] * 3, ["y"] * 5 + ["z", "y"] * 3, [1.0] * 11)
    ratings = intervals.bootstrap(PairCounts.of(outcomes), 200).ratings
    assert np.isfinite(ratings).all()
    assert ratings.max() < 4000


@pytest.mark.parametrize("level", [0.0, 1.0, 95.0])
def test_a_level_that_is_no_probability_is_refused(level):
    with pytest.raises(ValueError, match="level"):
        intervals.critical(level)


def test_the_position_takes_part_in_clusters(votes):
    """With a cluster per vote it is the independent interval again, that of the position effect included."""
    fit = bradley_terry.fit(PairCounts.of(votes), position=True)
    alone = Outcomes(
        votes.models, votes.left, votes.right, votes.score, votes.weight, voter=np.arange(len(votes))
    )
    found = intervals.clustered(fit, alone)
    assert found.covariance == pytest.approx(fit.covariance, rel=1e-3, abs=1e-3)
    assert found.position_error == pytest.approx(fit.position_error, rel=1e-3)


def test_people_who_love_the_left_widen_its_interval():
    rng = np.random.default_rng(6)
    voter = rng.integers(60, size=6000)
    left = rng.integers(5, size=6000)
    right = (left + 1 + rng.integers(4, size=6000)) % 5
    lean = rng.normal(0, 0.8, 60)[voter]
    won = (rng.random(6000) < 1 / (1 + np.exp(-lean))).astype(float)
    outcomes = Outcomes(tuple("abcde"), left, right, won, np.ones(6000), voter=voter)
    alone = bradley_terry.fit(PairCounts.of(outcomes), position=True)
    together = intervals.clustered(alone, outcomes)
    assert alone.position_error is not None
    assert together.position_error is not None
    assert together.position_error > 2.5 * alone.position_error


def test_clusters_make_nobody_sure_of_what_only_the_prior_holds():
    """Twenty wins of twenty people have no spread at all, whoever they hang together with."""
    left, right = ["hero"] * 20 + ["a", "b"] * 10, ["a"] * 20 + ["b", "a"] * 10
    voters = [f"v{index % 20}" for index in range(40)]
    outcomes = Outcomes.of(left, right, [1.0] * 40, voter=voters)
    fit = bradley_terry.fit(PairCounts.of(outcomes))
    assert fit.diverging == ("hero",)
    hero = fit.models.index("hero")
    error = np.sqrt(intervals.clustered(fit, outcomes).covariance[hero, hero])
    assert error > 100
