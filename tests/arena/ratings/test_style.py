import numpy as np
import pytest

from arena.ratings import bradley_terry, style
from arena.ratings.pairs import Outcomes, PairCounts
from tests.arena.ratings.conftest import made_votes


def longer_wins(number=20_000, effect=0.5, side=0.2):
    """Model m03 is no better than m02, only longer; people like length and the left side."""
    rng = np.random.default_rng(8)
    truth = np.array([-0.5, 0.0, 0.5, 0.5])
    left = rng.integers(4, size=number)
    right = (left + 1 + rng.integers(3, size=number)) % 4
    lengths = [rng.integers(100, 300, size=number) + 400 * (side == 3) for side in (left, right)]
    counts = [np.column_stack([length, rng.integers(0, 5, (number, 3))]).astype(float) for length in lengths]
    relative = style.differences(*counts)[:, 0]
    gap = truth[left] - truth[right] + effect * relative / relative.std() + side
    score = (rng.random(number) < 1 / (1 + np.exp(-gap))).astype(float)
    return Outcomes(("m00", "m01", "m02", "m03"), left, right, score, np.ones(number)), *counts


def test_it_separates_length_and_position_from_strength():
    votes, left, right = longer_wins()
    raw = bradley_terry.fit(PairCounts.of(votes))
    assert raw.rating("m03") - raw.rating("m02") > 60
    result = style.fit(votes, left, right)
    assert abs(result.fit.rating("m03") - result.fit.rating("m02")) < 20
    effects = {effect.name: effect for effect in result.effects}
    assert effects["length"].coefficient == pytest.approx(0.5, abs=0.06)
    assert effects["position"].points == pytest.approx(0.2 * 173.7, abs=9)
    assert abs(effects["bold"].points) < 3 * effects["bold"].error
    assert result.fit.gradient_norm < 1e-8


def test_without_style_it_gives_the_ratings_with_position(votes):
    same = np.ones((len(votes), 4))
    result = style.fit(votes, same, same)
    plain = bradley_terry.fit(PairCounts.of(votes), position=True)
    assert result.left_out == style.FEATURES
    assert result.fit.ratings == pytest.approx(plain.ratings, abs=1e-4)
    assert result.fit.covariance == pytest.approx(plain.covariance, rel=1e-3, abs=1e-3)
    assert result.fit.position == pytest.approx(plain.position, abs=1e-4)


def test_a_feature_that_never_differs_is_left_out_and_named():
    votes, left, right = longer_wins(2000)
    left[:, 3] = right[:, 3] = 2
    result = style.fit(votes, left, right, method="fastchat")
    assert result.left_out == ("bold",)
    assert np.ptp(result.fit.ratings) > 50


def test_an_undefeated_model_gets_the_prior():
    votes = Outcomes.of(["a"] * 9 + ["b", "c"] * 3, ["b"] * 9 + ["c", "b"] * 3, [1.0] * 15)
    counts = np.ones((15, 4))
    result = style.fit(votes, counts, counts)
    assert result.fit.diverging == ("a",)
    assert result.fit.rating("a") < 3000


def test_it_refuses_counts_that_do_not_fit(votes):
    good = np.ones((len(votes), 4))
    with pytest.raises(ValueError, match="6000, 4"):
        style.fit(votes, good[:5], good[:5])
    with pytest.raises(ValueError, match="negative"):
        style.fit(votes, good, -good)
    with pytest.raises(ValueError, match="nobody"):
        style.fit(votes, good, good, anchor=("nobody", 1000))


def test_an_anchor_holds():
    votes, left, right = longer_wins(2000)
    assert style.fit(votes, left, right, anchor=("m01", 1200)).fit.rating("m01") == pytest.approx(1200)


def test_it_counts_markdown_outside_of_code():
    counts = style.count(
        "# Title\n\n- one **bold**\n- two\n1. three\n\n```py\n# no header\n- no list\n```\n**x**"
    )
    assert counts[1:] == (1, 3, 2)
    assert counts.length > 20


def test_an_unclosed_code_block_hides_the_rest():
    assert style.count("```\n# code\n**still code**")[1:] == (0, 0, 0)


def test_counts_of_several_answers_add_up():
    both = style.add([style.count("# a"), style.count("**b** c")])
    assert both == (2 + 6, 1, 0, 1)
    assert style.add([]) == (0, 0, 0, 0)


def test_made_votes_have_no_position_effect():
    votes = made_votes(np.linspace(-1, 1, 5), 20_000, seed=6)
    fit = bradley_terry.fit(PairCounts.of(votes), position=True)
    assert fit.position is not None
    assert fit.position_error is not None
    assert abs(fit.position) < 3.5 * fit.position_error
