import math

import pytest

from evaluation.metrics import agreement, biases
from evaluation.metrics.agreement import TIE, Ballot
from evaluation.records import PairVerdict, SingleVerdict


def pair(question, first, second):
    return PairVerdict(question, "a", "b", "judge", 1, first, second)


def test_the_places_a_judge_prefers_are_shares_of_what_it_judged():
    report = biases.position(
        [
            pair(1, "model_1", "model_1"),
            pair(2, "model_1", "model_2"),
            pair(3, "model_1", "model_2"),
            pair(4, "model_2", "model_1"),
            pair(5, "tie", "tie"),
            pair(6, "error", "model_1"),
        ]
    )
    assert report.consistent.value == pytest.approx(2 / 5)
    assert report.favours_first.value == pytest.approx(2 / 5)
    assert report.favours_second.value == pytest.approx(1 / 5)
    assert report.ties.value == pytest.approx(1 / 5)
    assert (report.errors, report.verdicts) == (1, 5)


def test_nothing_judged_is_no_number():
    assert math.isnan(biases.position([]).consistent.value)


def test_a_judge_that_is_mild_to_all_does_not_prefer_itself():
    def single(model, judge, score):
        return SingleVerdict(1, model, judge, 1, score)

    verdicts = [
        single("me", "me", 9.0),
        single("me", "x", 7.0),
        single("other", "me", 8.0),
        single("other", "x", 6.0),
    ]
    found = biases.self_preference(verdicts, judge="me")
    assert found is not None
    assert (found.own, found.by_others, found.excess, found.verdicts) == (9.0, 7.0, 0.0, 1)
    assert biases.self_preference(verdicts, judge="x") is None


class TestAgreement:
    def ballots(self, *winners, judge="j"):
        return [Ballot(number, 1, ("a", "b"), judge, winner) for number, winner in enumerate(winners)]

    def test_inconsistent_games_are_a_tie_and_errors_no_vote(self):
        assert Ballot.of(pair(1, "model_1", "model_2")) == Ballot(1, 1, ("a", "b"), "judge", TIE)
        assert Ballot.of(pair(1, "error", "model_2")) is None

    def test_a_vote_is_the_same_whoever_is_named_first(self):
        turned = PairVerdict(1, "b", "a", "judge", 1, "model_2", "model_2")
        assert Ballot.of(turned) == Ballot.of(pair(1, "model_1", "model_1"))

    def test_kappa_is_one_for_the_same_votes_and_about_zero_for_a_coin(self):
        votes = self.ballots("a", "b", "a", TIE)
        assert agreement.between(votes, votes, ties=True).kappa == pytest.approx(1)
        coin = self.ballots("a", "a", "b", "b"), self.ballots("a", "b", "a", "b")
        found = agreement.between(*coin, ties=True)
        assert [found.rate.value, found.kappa] == pytest.approx([0.5, 0])

    def test_setup_two_leaves_ties_out(self):
        found = agreement.between(self.ballots("a", TIE, "b"), self.ballots("a", "a", TIE), ties=False)
        assert (found.pairs, found.rate.value) == (1, 1)

    def test_no_common_comparison_is_no_number(self):
        found = agreement.between(self.ballots("a"), [], ties=True)
        assert (found.pairs, math.isnan(found.rate.value)) == (0, True)
