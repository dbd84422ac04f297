"""Agreement of real people with GPT-4 and GPT-3 on the same 2,139 comparisons of 59 chat models (LLMFAO)."""

from collections import Counter
from itertools import combinations
from pathlib import Path

import pytest

from evaluation.formats import llmfao
from evaluation.metrics import agreement, panel
from evaluation.metrics.agreement import TIE

FOLDER = Path(__file__).resolve().parents[4] / "shared" / "data" / "llmfao"
pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason="the LLMFAO votes are not beside this checkout")


def votes(name, judge):
    with (FOLDER / name).open(newline="", encoding="utf-8") as lines:
        return llmfao.read_ballots(lines, name, judge)


@pytest.fixture(scope="module")
def kinds():
    return {
        "people": votes("crowd-comparisons.csv", "people"),
        "gpt-4": votes("gpt4-crowd-comparisons.csv", "gpt-4"),
        "gpt-3": votes("gpt3-crowd-comparisons.csv", "gpt-3"),
    }


def counted(first, second, *, ties):
    """Equal and all pairs of votes, counted in the plainest way there is."""
    found: Counter[str] = Counter()
    theirs: dict[object, list[str]] = {}
    for ballot in second:
        theirs.setdefault((ballot.question_id, ballot.models), []).append(ballot.winner)
    for ballot in first:
        for winner in theirs.get((ballot.question_id, ballot.models), ()):
            if ties or TIE not in (ballot.winner, winner):
                found["all"] += 1
                found["equal"] += ballot.winner == winner
    return found


def test_it_reads_every_vote(kinds):
    assert {name: len(ballots) for name, ballots in kinds.items()} == {
        "people": 8931,
        "gpt-4": 2139,
        "gpt-3": 2139,
    }
    assert len({ballot.judge for ballot in kinds["people"]}) == 124


@pytest.mark.parametrize("ties", [True, False])
def test_both_setups_are_what_plain_counting_gives(kinds, ties):
    for first, second in combinations(kinds.values(), 2):
        expected = counted(first, second, ties=ties)
        found = agreement.between(first, second, ties=ties, rounds=200)
        assert found.pairs == expected["all"] > 500
        assert found.rate.value == pytest.approx(expected["equal"] / expected["all"], abs=1e-12)
        assert found.rate.low < found.rate.value < found.rate.high


def test_gpt_4_agrees_with_people_more_than_gpt_3_does_and_less_than_always(kinds):
    rows = {(row.first, row.second): row for row in panel.agreements(kinds, rounds=200)}
    four, three = rows["people", "gpt-4"], rows["people", "gpt-3"]
    assert four.without_ties.rate.value > three.without_ties.rate.value
    assert four.without_ties.rate.low > 0.5  # better than a coin
    assert four.with_ties.kappa > 0
    assert ("people", "people") in rows
