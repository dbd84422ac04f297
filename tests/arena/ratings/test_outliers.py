import numpy as np
import pytest

from arena.ratings.outliers import FEWEST, judge_voters
from arena.ratings.pairs import Outcomes
from arena.ratings.weights import for_duplicates
from tests.arena.ratings.conftest import made_votes


def with_contrarians(contrary, votes=6000, voters=100, seed=1):
    """Voters below `contrary` vote for the worse model on purpose."""
    made = made_votes(np.linspace(-1.5, 1.5, 6), votes, seed=seed, voters=voters)
    assert made.voter is not None
    score = np.where(made.voter < contrary, (made.left < made.right).astype(float), made.score)
    return Outcomes(made.models, made.left, made.right, score, made.weight, voter=made.voter)


def test_it_flags_those_who_vote_against_everybody():
    judged = judge_voters(with_contrarians(5))
    flagged = {one.voter for one in judged if one.flagged}
    assert {0, 1, 2, 3, 4} <= flagged
    assert len(flagged) <= 7
    assert all(one.at_vote is not None and one.at_vote >= FEWEST for one in judged if one.flagged)


def test_honest_voters_are_rarely_flagged():
    flagged = sum(one.flagged for seed in range(10) for one in judge_voters(with_contrarians(0, seed=seed)))
    assert flagged <= 20  # of 1,000 voters; at most 1 % is expected, this is 2 %


def test_a_handful_of_votes_convicts_nobody():
    votes = Outcomes.of(["a"] * 30, ["b"] * 30, [1.0] * 26 + [0.0] * 4, voter=["x"] * 26 + ["y"] * 4)
    assert not any(one.flagged for one in judge_voters(votes))


def test_a_pair_that_nobody_else_saw_says_nothing():
    votes = Outcomes.of(["a"] * 50, ["b"] * 50, [1.0] * 50, voter=["only"] * 50)
    (judged,) = judge_voters(votes)
    assert not judged.flagged
    assert judged.votes == 50


def test_it_needs_voters_and_a_probability(votes):
    with pytest.raises(ValueError, match="who cast"):
        judge_voters(Outcomes.of(["a"], ["b"], [1.0]))
    with pytest.raises(ValueError, match="alpha"):
        judge_voters(votes, alpha=5)


def test_a_copied_prompt_weighs_no_more_than_the_limit():
    weights = for_duplicates(np.array([7] * 100 + [1, 2, 2]), most=10)
    assert weights[:100].sum() == pytest.approx(10)
    assert weights[100:].tolist() == [1, 1, 1]


def test_five_repetitions_are_always_fine():
    assert for_duplicates(np.array([3] * 5 + [4])).tolist() == [1] * 6
    assert for_duplicates(np.zeros(0, dtype=np.int64)).tolist() == []
    with pytest.raises(ValueError, match="most"):
        for_duplicates(np.array([1]), most=0)
