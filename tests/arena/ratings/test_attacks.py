"""Attackers on made boards: what they do, what they pay, and what stands in their way."""

import numpy as np
import pytest

from arena.ratings import attacks, bradley_terry
from arena.ratings.attacks import Attacker
from arena.ratings.pairs import PairCounts
from tests.arena.ratings.conftest import made_votes

TRUTH = np.linspace(1, -1, 9)  # m00 is the best
TARGET = "m05"


@pytest.fixture(scope="module")
def honest():
    return made_votes(TRUTH, 4000, seed=1, voters=200)


def fitted(votes):
    return bradley_terry.fit(PairCounts.of(votes))


def test_target_only_votes_for_the_target_and_nothing_else(honest):
    attacker = Attacker("target-only", TARGET, recognises=1.0, per_account=30)
    votes, battles = attacks.rigged(honest, attacker, 100, np.random.default_rng(0))
    place = honest.models.index(TARGET)
    assert ((votes.left == place) | (votes.right == place)).all()
    assert (votes.score == (votes.left == place)).all()
    # Two of nine are in a battle, so the target is in two ninths of them.
    assert battles[-1] == pytest.approx(100 * 9 / 2, rel=0.25)
    assert votes.voter is not None
    assert np.bincount(votes.voter).tolist() == [30, 30, 30, 10]


def test_omnipresent_also_votes_where_the_target_is_absent(honest):
    rng = np.random.default_rng(0)
    votes, battles = attacks.rigged(honest, Attacker("omnipresent", TARGET, recognises=1.0), 200, rng)
    place, rival = honest.models.index(TARGET), honest.models.index("m04")
    absent = (votes.left != place) & (votes.right != place)
    assert absent.any()
    # There it votes against the one that stands just above the target.
    assert (votes.score[absent] == (votes.right[absent] == rival)).all()
    assert battles[-1] < 200 * 9 / 2


def test_who_recognises_less_pays_in_battles(honest):
    sharp, blunt = (
        attacks.rigged(
            honest, Attacker("target-only", TARGET, recognises=share), 200, np.random.default_rng(0)
        )
        for share in (1.0, 0.25)
    )
    assert blunt[1][-1] == pytest.approx(4 * sharp[1][-1], rel=0.35)


@pytest.mark.parametrize("kind", attacks.KINDS)
def test_the_price_is_what_it_says(honest, kind):
    attacker = Attacker(kind, TARGET)
    paid = attacks.price(honest, attacker, most=3000, defended=False)
    assert paid.rank == attacks.rank_by_rating(fitted(honest), TARGET)
    assert paid.votes is not None
    assert paid.battles is not None
    assert 1 < paid.votes < paid.battles
    votes, _ = attacks.rigged(honest, attacker, 3000, np.random.default_rng(0))
    for number, holds in ((paid.votes, True), (paid.votes // 2, False)):
        both, _ = attacks._together(honest, votes.slice(np.arange(number)), False)
        assert (attacks.rank_by_rating(fitted(both), TARGET) < paid.rank) == holds


def test_the_outlier_test_makes_it_dearer_for_few_accounts(honest):
    """A worst model that is voted for against all evidence: the accounts are found, and their votes do not count."""
    attacker = Attacker("target-only", "m08", per_account=1000)
    open_door = attacks.price(honest, attacker, most=400, defended=False)
    guarded = attacks.price(honest, attacker, most=400, defended=True)
    assert open_door.votes is not None
    assert guarded.votes is None
    assert guarded.found == 1


def test_the_first_one_cannot_rise(honest):
    paid = attacks.price(honest, Attacker("target-only", "m00"), most=100)
    assert (paid.rank, paid.votes) == (1, None)


def test_clones_lift_the_best_of_them_by_chance():
    """Among equals the best of many copies stands higher, though none of them is better."""
    fit = fitted(made_votes(np.zeros(8), 1200, seed=2))
    target = fit.models[int(fit.order()[4])]
    found = attacks.flood(fit, target, clones=6, votes=100, rounds=12)
    assert len(found.by_rating) == len(found.published) == 7
    assert found.by_rating[-1] < found.by_rating[0]
    # What is beyond doubt does not ask who was lucky.
    assert found.published[0] - found.published[-1] < 1
    assert found.clones_for_a_rank((5.0, 4.5, 3.9)) == 2
    assert found.clones_for_a_rank((5.0, 4.5)) is None


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"kind": "bribe"}, "target-only"),
        ({"recognises": 0.0}, "probability"),
        ({"per_account": 0}, "at least 1"),
    ],
)
def test_an_attacker_that_makes_no_sense_is_refused(values, sentence):
    with pytest.raises(ValueError, match=sentence):
        Attacker(**{"kind": "target-only", "target": "a", **values})


def test_a_target_without_votes_is_refused(honest):
    with pytest.raises(ValueError, match="No votes on nobody"):
        attacks.price(honest, Attacker("target-only", "nobody"), most=10)
    with pytest.raises(ValueError, match="No votes on nobody"):
        attacks.flood(fitted(honest), "nobody", clones=1, votes=10)
