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


def lengths(**sizes):
    return {(question, name, 1): size for question in range(100) for name, size in sizes.items()}


def test_a_judge_that_always_takes_the_longer_answer_is_seen():
    verdicts = [pair(question, "model_1", "model_1") for question in range(20)]
    report = biases.length(verdicts, lengths(a=200, b=100))
    assert report.longer_wins.value == 1
    assert report.slope == pytest.approx(0.5)  # one doubling takes the chance from ½ to 1


def test_a_judge_that_does_not_care_has_no_slope():
    verdicts = [pair(q, *(["model_1"] * 2 if q % 2 else ["model_2"] * 2)) for q in range(20)]
    report = biases.length(verdicts, lengths(a=200, b=100))
    assert report.slope == pytest.approx(0)
    assert report.longer_wins.value == pytest.approx(0.5)


def test_the_length_controlled_rate_takes_away_what_length_explains():
    sizes: dict[tuple[int | str, str, int], int] = {}
    verdicts = []
    for question in range(200):
        longer = question % 4 != 0  # a is the longer one in three of four
        sizes[(question, "a", 1)], sizes[(question, "b", 1)] = (200, 100) if longer else (100, 200)
        verdicts.append(pair(question, *(["model_1"] * 2 if longer else ["model_2"] * 2)))
    verdicts += [pair(1000 + q, "tie", "tie") for q in range(4)]
    sizes |= {(1000 + q, name, 1): 100 for q in range(4) for name in ("a", "b")}
    assert biases.length_controlled(verdicts, sizes, candidate="a") == pytest.approx(0.5, abs=0.05)


def test_without_differences_in_length_it_is_the_plain_rate():
    verdicts = [pair(q, *(["model_1"] * 2 if q < 70 else ["model_2"] * 2)) for q in range(100)]
    rate = biases.length_controlled(verdicts, lengths(a=100, b=100), candidate="a")
    assert rate == pytest.approx(0.7, abs=0.002)  # the ridge pulls a little towards ½
    other = biases.length_controlled(verdicts, lengths(a=100, b=100), candidate="b")
    assert other == pytest.approx(1 - rate)


def test_nothing_judged_is_no_number():
    assert math.isnan(biases.length_controlled([], {}, candidate="a"))
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
