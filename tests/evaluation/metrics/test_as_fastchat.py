"""The same numbers as FastChat's scripts on 1,600 judgments and 2,875 votes.

Expected: what fastchat/llm_judge/show_result.py and compute_agreement.py (commit 0e6d3e4, pandas 2) print for
`generated`, at full precision.
"""

import json

import pytest

from evaluation.formats import fastchat
from evaluation.metrics import agreement, scores, wins
from tests.evaluation.metrics import generated


def lines(rows):
    return [json.dumps(row) for row in rows]


SINGLE = fastchat.read_single_verdicts(lines(generated.singles()), "single.jsonl")
PAIR = fastchat.read_pair_verdicts(lines(generated.pairs()), "pair.jsonl")
HUMAN, GPT4 = (fastchat.read_ballots(votes, "votes.json") for votes in generated.votes())

FIRST = {
    "alpha": 7.092105263157895,
    "beta": 5.282894736842105,
    "gamma": 4.724358974358974,
    "delta": 3.262820512820513,
}
SECOND = {"alpha": 6.822368421052632, "beta": 5.453947368421052, "gamma": 3.875, "delta": 2.947368421052631}
BOTH = {
    "alpha": 6.957236842105263,
    "beta": 5.368421052631579,
    "gamma": 4.305194805194805,
    "delta": 3.107142857142857,
}


@pytest.mark.parametrize(
    ("verdicts", "expected"),
    [
        (scores.by_turn(SINGLE)[1], FIRST),
        (scores.by_turn(SINGLE)[2], SECOND),
        (SINGLE, BOTH),
    ],
)
def test_mean_scores(verdicts, expected):
    rows = scores.mean_scores(verdicts, rounds=50)
    assert [row.chat_model for row in rows] == list(expected)
    assert {row.chat_model: row.mean.value for row in rows} == pytest.approx(expected, abs=1e-12)


def test_scores_that_are_missing_are_counted():
    rows = scores.mean_scores(SINGLE, rounds=50)
    missing = sum(row["score"] == -1 for row in generated.singles())
    assert missing > 20
    assert sum(row.errors for row in rows) == missing
    assert sum(row.errors + row.verdicts for row in rows) == 640


@pytest.mark.parametrize(
    ("baseline", "expected"),
    [
        (
            None,
            {
                "alpha": (217, 9, 216, 0.490950226244344, 0.020361990950226, 0.735294117647059),
                "beta": (129, 68, 248, 0.289887640449438, 0.152808988764045, 0.568539325842697),
                "gamma": (76, 133, 242, 0.168514412416851, 0.294900221729490, 0.436807095343681),
                "delta": (10, 222, 212, 0.022522522522523, 0.500000000000000, 0.261261261261261),
            },
        ),
        (
            "beta",
            {
                "alpha": (54, 4, 91, 0.362416107382550, 0.026845637583893, 0.667785234899329),
                "gamma": (12, 55, 81, 0.081081081081081, 0.371621621621622, 0.354729729729730),
                "delta": (2, 70, 76, 0.013513513513514, 0.472972972972973, 0.270270270270270),
            },
        ),
    ],
)
def test_win_rates(baseline, expected):
    rows = wins.win_rates(PAIR, baseline=baseline, rounds=50)
    assert [row.chat_model for row in rows] == list(expected)
    for row in rows:
        found = (row.wins, row.losses, row.ties, row.win_rate.value, row.loss_rate, row.adjusted.value)
        assert found == pytest.approx(expected[row.chat_model], abs=1e-12)


@pytest.mark.parametrize(
    ("turn", "ties", "total", "agree"),
    [(1, True, 937, 374), (1, False, 491, 312), (2, True, 978, 441), (2, False, 548, 366)],
)
def test_agreement_of_a_judge_with_people(turn, ties, total, agree):
    found = agreement.between(
        [ballot for ballot in GPT4 if ballot.turn == turn],
        [ballot for ballot in HUMAN if ballot.turn == turn],
        ties=ties,
        rounds=50,
    )
    assert [found.pairs, found.rate.value] == pytest.approx([total, agree / total], abs=1e-12)


@pytest.mark.parametrize(
    ("turn", "ties", "total", "agree"),
    [(1, True, 916, 406), (1, False, 512, 337), (2, True, 993, 421), (2, False, 585, 371)],
)
def test_agreement_of_people_with_each_other(turn, ties, total, agree):
    found = agreement.within([ballot for ballot in HUMAN if ballot.turn == turn], ties=ties, rounds=50)
    assert [found.pairs, found.rate.value] == pytest.approx([total, agree / total], abs=1e-12)
