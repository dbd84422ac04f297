import pytest

from evaluation.metrics import panel
from evaluation.metrics.agreement import TIE, Ballot
from evaluation.records import SingleVerdict


def ballot(question, winner, judge="j"):
    return Ballot(question, 1, ("a", "b"), judge, winner)


def test_the_panel_says_what_more_than_half_of_it_says():
    votes = [ballot(1, "a"), ballot(1, "a"), ballot(1, TIE), ballot(2, "a"), ballot(2, "b"), ballot(3, "b")]
    assert panel.majority(votes) == [
        ballot(1, "a", panel.PANEL),
        ballot(2, TIE, panel.PANEL),
        ballot(3, "b", panel.PANEL),
    ]


def test_scores_are_votes_for_the_higher_one_of_the_same_judge_and_turn():
    verdicts = [
        SingleVerdict(1, "b", "x", 1, 8.0),
        SingleVerdict(1, "a", "x", 1, 6.0),
        SingleVerdict(1, "a", "x", 2, 5.0),
        SingleVerdict(1, "b", "x", 2, 5.0),
        SingleVerdict(2, "a", "x", 1, None),
        SingleVerdict(2, "b", "x", 1, 9.0),
        SingleVerdict(3, "a", "x", 1, 9.0),
        SingleVerdict(3, "b", "y", 1, 1.0),
    ]
    assert panel.ballots_of_scores(verdicts) == [
        Ballot(1, 1, ("a", "b"), "x", "b"),
        Ballot(1, 2, ("a", "b"), "x", TIE),
    ]


def test_each_two_kinds_are_compared_and_a_kind_with_itself_where_it_voted_twice():
    kinds = {
        "x": [ballot(1, "a"), ballot(2, TIE)],
        "y": [ballot(1, "a"), ballot(1, "b"), ballot(2, "b")],
        "elsewhere": [ballot(9, "a")],
    }
    rows = {(row.first, row.second): row for row in panel.agreements(kinds, rounds=20)}
    assert set(rows) == {("x", "y"), ("y", "y")}
    assert [rows["x", "y"].with_ties.pairs, rows["x", "y"].with_ties.rate.value] == pytest.approx([3, 1 / 3])
    assert [rows["x", "y"].without_ties.pairs, rows["x", "y"].without_ties.rate.value] == pytest.approx(
        [2, 0.5]
    )
    assert rows["y", "y"].with_ties.rate.value == 0
