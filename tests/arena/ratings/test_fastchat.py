"""Agreement with FastChat's rating_systems.py, which stops its optimiser a little short."""

import csv
import gzip
from pathlib import Path

import numpy as np
import pytest

from arena.ratings import bradley_terry, elo, intervals, separation, style
from arena.ratings.pairs import Outcomes, PairCounts
from tests.arena.ratings import golden

LLMFAO = Path(__file__).parents[2] / "data/llmfao/crowd-comparisons.csv.gz"

ELO = [1108.846724, 1089.729502, 1023.186125, 960.968903, 930.380344, 886.888402]
BRADLEY_TERRY = [1106.9627, 1077.3776, 1023.0481, 979.447, 930.4351, 882.7294]
STYLE = [1108.1102, 1078.0352, 1023.1516, 978.8476, 930.1765, 881.679]
EFFECTS = [0.20135, -0.01926, 0.00491, -0.02155]
BOOTSTRAP = [
    (1091.69, 1121.6), (1057.94, 1093.28), (1006.74, 1038.26),
    (961.17, 994.96), (911.49, 947.91), (866.53, 902.65),
]  # fmt: skip


def test_online_elo_is_the_same():
    votes, _, _ = golden.outcomes()
    assert elo.online(votes) == pytest.approx(ELO, abs=1e-5)


def test_online_elo_of_three_votes():
    # The worked case: x beats y, they tie, y beats x.
    votes = Outcomes.of(["x", "y", "x"], ["y", "x", "y"], [1.0, 0.5, 0.0])
    assert elo.online(votes) == pytest.approx([999.9542153811743, 1000.0457846188257], abs=1e-9)


def test_online_elo_neither_overflows_nor_warns():
    votes = Outcomes.of(["x"] * 3, ["y"] * 3, [1.0, 0.0, 1.0])
    assert np.isfinite(elo.online(votes, k=1e9)).all()


def test_bradley_terry_is_the_same_to_015_points():
    votes, _, _ = golden.outcomes()
    fit = bradley_terry.fit(PairCounts.of(votes))
    assert fit.ratings == pytest.approx(BRADLEY_TERRY, abs=0.15)
    assert fit.gradient_norm < 1e-8


def test_bootstrap_intervals_are_as_wide():
    votes, _, _ = golden.outcomes()
    ours = intervals.bootstrap(PairCounts.of(votes), 1000).intervals()
    theirs = np.array(BOOTSTRAP)
    # Theirs are quantiles of 100 rounds: they are some 2 points uncertain themselves.
    assert ours.lower == pytest.approx(theirs[:, 0], abs=5)
    assert ours.upper == pytest.approx(theirs[:, 1], abs=5)


def test_bootstrapped_elo_centres_on_the_ratings():
    votes, _, _ = golden.outcomes()
    rounds = elo.bootstrap(votes, 60, seed=2)
    assert np.median(rounds.ratings, axis=0) == pytest.approx(BRADLEY_TERRY, abs=15)
    assert rounds.ratings.shape == (60, 6)


def test_style_control_is_the_same_to_015_points():
    votes, left, right = golden.outcomes()
    result = style.fit(votes, left, right, method="fastchat")
    assert result.fit.ratings == pytest.approx(STYLE, abs=0.15)
    assert [effect.coefficient for effect in result.effects] == pytest.approx(EFFECTS, abs=0.0005)
    assert result.fit.gradient_norm < 1e-8


@pytest.fixture
def crowd():
    with gzip.open(LLMFAO, "rt", newline="", encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    score = {"left": 1.0, "right": 0.0, "tie": 0.5}
    return Outcomes.of(
        [row["left"] for row in rows],
        [row["right"] for row in rows],
        [score[row["winner"]] for row in rows],
        voter=[row["worker"] for row in rows],
        prompt=[row["prompt"] for row in rows],
    )


def test_real_votes_agree_to_015_points(crowd):
    fit = bradley_terry.fit(PairCounts.of(crowd))
    # FastChat's compute_bt on the same 8,931 votes
    expected = {"GPT 4": 1172.07, "command": 1110.17, "GPT 3.5 Turbo": 1091.22, "Dolly v2 (3B)": 845.66}
    for model, rating in expected.items():
        assert fit.rating(model) == pytest.approx(rating, abs=0.15)


def test_real_votes_fall_into_sensible_tiers(crowd):
    fit = intervals.clustered(bradley_terry.fit(PairCounts.of(crowd)), crowd)
    tiers = separation.separate(fit)
    of = dict(zip(tiers.models, tiers.tiers.tolist(), strict=True))
    assert of["GPT 4"] == 1
    assert of["Dolly v2 (3B)"] == max(of.values())
    assert 3 <= max(of.values()) <= 6
    assert 0.25 < tiers.separated_share() < 0.6


def test_thirteen_prompts_cannot_carry_clusters_of_59_models(crowd):
    fit = bradley_terry.fit(PairCounts.of(crowd))
    with pytest.raises(ValueError, match="13 different prompts"):
        intervals.clustered(fit, crowd, voter=False, prompt=True)
