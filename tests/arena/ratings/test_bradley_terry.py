import numpy as np
import pytest

from arena.ratings import bradley_terry
from arena.ratings.pairs import Outcomes, PairCounts
from tests.arena.ratings.conftest import made_votes


def counted(*results):
    """(winner, loser, times) …"""
    left = [winner for winner, _, times in results for _ in range(times)]
    right = [loser for _, loser, times in results for _ in range(times)]
    return PairCounts.of(Outcomes.of(left, right, [1.0] * len(left)))


def test_it_reproduces_the_published_example():
    # https://en.wikipedia.org/wiki/Bradley–Terry_model, "Worked example"; powers normalised to a geometric mean of 1
    counts = counted(
        ("A", "B", 2), ("B", "A", 3), ("A", "D", 1), ("D", "A", 4),
        ("B", "C", 5), ("C", "B", 3), ("C", "D", 1), ("D", "C", 3),
    )  # fmt: skip
    fit = bradley_terry.fit(counts)
    powers = 10 ** ((fit.ratings - 1000) / 400)
    assert powers == pytest.approx([0.640, 1.043, 0.660, 2.270], abs=0.0005)


def test_two_models_have_the_odds_of_their_votes():
    fit = bradley_terry.fit(counted(("a", "b", 3), ("b", "a", 1)))
    assert fit.ratings[0] - fit.ratings[1] == pytest.approx(400 * np.log10(3), abs=1e-9)
    assert fit.win_probability("a", "b") == pytest.approx(0.75)


def test_the_likelihood_equations_hold_to_1e_8(votes):
    counts = PairCounts.of(votes)
    fit = bradley_terry.fit(counts)
    expected = counts.games / (1 + 10 ** ((fit.ratings[None, :] - fit.ratings[:, None]) / 400))
    np.fill_diagonal(expected, 0)
    assert np.abs((counts.wins - expected).sum(axis=1)).max() < 1e-8
    assert fit.gradient_norm < 1e-8
    assert fit.ratings.mean() == pytest.approx(1000)


def test_it_finds_the_truth_from_many_votes():
    truth = np.linspace(-1, 1, 8)
    fit = bradley_terry.fit(PairCounts.of(made_votes(truth, 200_000, seed=1)))
    assert fit.ratings == pytest.approx(1000 + 173.7178 * truth, abs=6)


def test_an_undefeated_model_is_reported_and_held_by_the_prior():
    fit = bradley_terry.fit(counted(("hero", "a", 20), ("a", "b", 5), ("b", "a", 5)))
    assert fit.diverging == ("hero",)
    assert fit.prior == bradley_terry.WEAK_PRIOR
    assert 1200 < fit.rating("hero") < 2500
    # twenty wins without a loss say little about how far above: the interval must not be narrow
    assert np.sqrt(fit.covariance[fit.models.index("hero")][fit.models.index("hero")]) > 100


def test_without_a_reason_there_is_no_prior(votes):
    fit = bradley_terry.fit(PairCounts.of(votes))
    assert fit.prior is None
    assert fit.diverging == ()


def test_a_stronger_prior_pulls_towards_the_average():
    counts = counted(("a", "b", 30), ("b", "a", 10))
    free, held = bradley_terry.fit(counts), bradley_terry.fit(counts, prior=100)
    assert 1000 < held.rating("a") < free.rating("a")


def test_groups_that_never_met_are_reported():
    counts = counted(("a", "b", 3), ("b", "a", 2), ("c", "d", 2), ("d", "c", 2))
    fit = bradley_terry.fit(counts)
    assert fit.components == (("a", "b"), ("c", "d"))
    assert not fit.connected
    assert fit.rating("c") == pytest.approx(1000)


def test_an_anchor_moves_everybody_alike(votes):
    counts = PairCounts.of(votes)
    free, anchored = bradley_terry.fit(counts), bradley_terry.fit(counts, anchor=("m04", 1114.0))
    assert anchored.rating("m04") == pytest.approx(1114)
    assert np.ptp(anchored.ratings - free.ratings) < 1e-9


def test_the_left_sides_advantage_is_found():
    rng = np.random.default_rng(5)
    left = rng.integers(6, size=40_000)
    right = (left + 1 + rng.integers(5, size=40_000)) % 6
    won = rng.random(40_000) < 1 / (1 + np.exp(-((left - right) * 0.3 + 0.2)))
    outcomes = Outcomes(tuple("abcdef"), left, right, won.astype(float), np.ones(40_000))
    fit = bradley_terry.fit(PairCounts.of(outcomes), position=True)
    assert fit.position is not None
    assert fit.position_error is not None
    assert fit.position == pytest.approx(0.2 * 173.7178, abs=3 * fit.position_error)
    assert fit.position_error < 2.5
    assert fit.gradient_norm < 1e-8


def test_ties_make_a_vote_less_noisy_than_a_coin_toss():
    outcomes = Outcomes.of(["a"] * 10, ["b"] * 10, [0.5] * 8 + [1.0, 0.0])
    assert bradley_terry.fit(PairCounts.of(outcomes)).dispersion == pytest.approx(0.2)


def test_no_votes_mean_no_knowledge():
    fit = bradley_terry.fit(PairCounts.empty(["a", "b"]))
    assert fit.ratings.tolist() == [1000, 1000]
    assert np.isinf(np.diag(fit.covariance)).all()


def test_no_models_are_no_error():
    assert bradley_terry.fit(PairCounts.empty([])).models == ()


def test_it_refuses_a_prior_without_width_and_an_anchor_without_votes(votes):
    counts = PairCounts.of(votes)
    with pytest.raises(ValueError, match="prior"):
        bradley_terry.fit(counts, prior=0)
    with pytest.raises(ValueError, match="nobody"):
        bradley_terry.fit(counts, anchor=("nobody", 1000))


def test_a_hopeless_gap_neither_overflows_nor_hangs():
    fit = bradley_terry.fit(counted(("a", "b", 1_000_000), ("b", "a", 1)))
    assert fit.ratings[0] - fit.ratings[1] == pytest.approx(2400, abs=0.01)
