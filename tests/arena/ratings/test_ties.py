"""Davidson's and Rao and Kupper's models: closed forms, Davidson's own iteration, and another optimiser."""

import numpy as np
import pytest

from arena.ratings import bradley_terry, ties
from arena.ratings.arrays import POINTS
from arena.ratings.pairs import Outcomes, PairCounts
from tests.arena.ratings.conftest import made_votes


def two(wins: int, losses: int, tied: int) -> PairCounts:
    number = wins + losses + tied
    scores = [1.0] * wins + [0.0] * losses + [0.5] * tied
    return PairCounts.of(Outcomes.of(["a"] * number, ["b"] * number, scores))


@pytest.fixture(scope="module")
def counts() -> PairCounts:
    return PairCounts.of(made_votes(np.linspace(-1, 1, 7), 4000, seed=9, ties=0.5))


def test_davidson_of_two_models_has_a_closed_form():
    """With one pair the model is saturated: d = ln(wins ÷ losses), ν = ties ÷ √(wins · losses)."""
    found = ties.fit(two(40, 10, 30), "davidson")
    assert found.fit.ratings[0] - found.fit.ratings[1] == pytest.approx(POINTS * np.log(4), abs=1e-6)
    assert found.parameter == pytest.approx(30 / np.sqrt(400), abs=1e-8)
    assert found.even == pytest.approx(1.5 / 3.5, abs=1e-8)
    assert found.fit.gradient_norm < 1e-8


def test_rao_and_kupper_of_two_models_have_a_closed_form():
    """P(win) = σ(d − δ) and P(loss) = σ(−d − δ) are met exactly."""
    found = ties.fit(two(40, 10, 30), "rao-kupper")
    d = (found.fit.ratings[0] - found.fit.ratings[1]) / POINTS
    assert 1 / (1 + np.exp(found.parameter - d)) == pytest.approx(40 / 80, abs=1e-9)
    assert 1 / (1 + np.exp(found.parameter + d)) == pytest.approx(10 / 80, abs=1e-9)
    assert found.fit.gradient_norm < 1e-8


def test_it_agrees_with_davidsons_own_iteration(counts):
    """The scheme of his paper: p_i = s_i ÷ Σ …, with s_i = 2 · wins + ties, and ν = ties ÷ Σ …"""
    won = counts.left_wins + counts.right_wins.T
    tied = counts.ties + counts.ties.T
    games = counts.games
    p, nu = np.full(len(counts.models), 1 / len(counts.models)), 1.0
    for _ in range(4000):
        root = np.sqrt(np.outer(p, p))
        total = p[:, None] + p[None, :] + nu * root
        share = games * (2 + nu * np.sqrt(p[None, :] / p[:, None])) / total
        np.fill_diagonal(share, 0)
        p = (2 * won + tied).sum(axis=1) / share.sum(axis=1)
        p /= p.sum()
        root = np.sqrt(np.outer(p, p))
        total = p[:, None] + p[None, :] + nu * root
        nu = np.triu(tied, 1).sum() / np.triu(games * root / total, 1).sum()
    expected = 1000 + POINTS * (np.log(p) - np.log(p).mean())
    found = ties.fit(counts, "davidson")
    assert found.fit.ratings == pytest.approx(expected, abs=1e-4)
    assert found.parameter == pytest.approx(nu, abs=1e-7)


@pytest.mark.parametrize("kind", ties.KINDS)
def test_another_optimiser_finds_the_same(counts, kind):
    optimize = pytest.importorskip("scipy.optimize", reason="scipy is not installed")
    won = counts.left_wins + counts.right_wins.T
    tied = np.triu(counts.ties + counts.ties.T, 1)

    def loss(x):
        d = x[:-1, None] - x[None, :-1]
        if kind == "davidson":
            nu = np.exp(x[-1])
            total = np.exp(d / 2) + np.exp(-d / 2) + nu
            win, tie = np.exp(d / 2) / total, nu / total
        else:
            win = 1 / (1 + np.exp(np.exp(x[-1]) - d))
            tie = 1 - win - win.T
        return -(won * np.log(win)).sum() - (tied * np.log(tie)).sum() + 10 * x[:-1].sum() ** 2

    best = optimize.minimize(loss, np.zeros(len(counts.models) + 1), options={"gtol": 1e-5})
    found = ties.fit(counts, kind)
    assert found.fit.ratings == pytest.approx(1000 + POINTS * best.x[:-1], abs=0.02)
    assert found.parameter == pytest.approx(np.exp(best.x[-1]), abs=1e-4)


@pytest.mark.parametrize("kind", ties.KINDS)
def test_errors_are_as_wide_as_the_ratings_scatter(kind):
    """Over 200 made boards, drawn from the fitted model itself."""
    rng = np.random.default_rng(4)
    truth = np.array([0.6, 0.0, -0.6])
    ratings, errors = [], []
    for _ in range(200):
        rows = []
        for i, j in ((0, 1), (1, 2), (2, 0)):
            d = truth[i] - truth[j]
            if kind == "davidson":
                chances = np.array([np.exp(d / 2), np.exp(-d / 2), 0.8])
                chances /= chances.sum()
            else:
                win, loss = 1 / (1 + np.exp(0.5 - d)), 1 / (1 + np.exp(0.5 + d))
                chances = np.array([win, loss, 1 - win - loss])
            drawn = rng.choice([1.0, 0.0, 0.5], size=200, p=chances)
            rows += [("abc"[i], "abc"[j], score) for score in drawn]
        left, right, score = zip(*rows, strict=True)
        found = ties.fit(PairCounts.of(Outcomes.of(left, right, score)), kind)
        ratings.append(found.fit.ratings)
        errors.append(np.sqrt(np.diag(found.fit.covariance)))
    assert np.mean(ratings, axis=0) == pytest.approx(1000 + POINTS * truth, abs=4)
    assert np.mean(errors, axis=0) == pytest.approx(np.std(ratings, axis=0), rel=0.15)


def test_the_order_of_the_models_is_that_of_bradley_and_terry(counts):
    plain = bradley_terry.fit(counts)
    for kind in ties.KINDS:
        assert ties.fit(counts, kind).fit.order().tolist() == plain.order().tolist()


def test_an_undefeated_model_is_held_by_the_prior():
    found = ties.fit(PairCounts.of(Outcomes.of(list("aaab"), list("bbcc"), [1, 1, 1, 0.5])), "davidson")
    assert found.fit.diverging == ("a",)
    assert 1000 < found.fit.rating("a") < 3000
    assert np.isfinite(found.fit.covariance).all()


def test_an_anchor_moves_everybody_alike(counts):
    free, held = ties.fit(counts), ties.fit(counts, anchor=("m03", 1114.0))
    assert held.fit.rating("m03") == pytest.approx(1114)
    assert np.ptp(held.fit.ratings - free.fit.ratings) < 1e-9
    with pytest.raises(ValueError, match="nobody"):
        ties.fit(counts, anchor=("nobody", 1.0))


@pytest.mark.parametrize(
    ("votes", "sentence"), [((3, 2, 0), "No vote is a tie"), ((0, 0, 3), "Every vote is a tie")]
)
def test_votes_that_say_nothing_of_ties_are_refused(votes, sentence):
    with pytest.raises(ValueError, match=sentence):
        ties.fit(two(*votes))


def test_an_unknown_model_of_ties_is_refused(counts):
    with pytest.raises(ValueError, match="davidson, rao-kupper"):
        ties.fit(counts, "draws")  # type: ignore[arg-type]
