import pytest

from evaluation.metrics import calibration
from evaluation.metrics.agreement import Ballot
from evaluation.metrics.lengths import Lengths
from evaluation.records import PairVerdict, SingleVerdict


def single(question, score, judge="strict", model="a"):
    return SingleVerdict(question, model, judge, 1, score)


def test_a_card_holds_what_its_judge_did_and_nothing_of_others():
    pairs = [
        PairVerdict(1, "a", "b", "strict", 1, "model_1", "model_1"),
        PairVerdict(2, "a", "b", "strict", 1, "model_1", "model_2"),
        PairVerdict(3, "a", "b", "strict", 1, "error", "model_2"),
        PairVerdict(4, "a", "b", "mild", 1, "tie", "tie"),
    ]
    people = [Ballot(1, 1, ("a", "b"), "expert", "a"), Ballot(2, 1, ("a", "b"), "expert", "b")]
    lengths: Lengths = {(q, name, 1): size for q in range(5) for name, size in (("a", 200), ("b", 100))}
    found = calibration.card(
        "strict", singles=[single(1, None), single(2, 4.0)], pairs=pairs, people=people, lengths=lengths
    )
    assert (found.singles, found.pairs, found.errors) == (2, 3, 2)
    assert found.position is not None
    assert found.position.favours_first.value == pytest.approx(0.5)
    assert found.length is not None
    assert found.length.longer_wins.value == 1
    assert found.with_people is not None
    assert found.with_people.rate.value == pytest.approx(0.5)
    assert found.with_people_decided is not None
    assert found.with_people_decided.rate.value == 1
    assert found.self_preference is None
    assert found.drift is None


def test_a_grading_judge_agrees_with_people_through_its_scores():
    singles = [single(1, 8.0, model="a"), single(1, 3.0, model="b")]
    found = calibration.card("strict", singles=singles, people=[Ballot(1, 1, ("a", "b"), "expert", "a")])
    assert found.with_people is not None
    assert found.with_people.rate.value == 1
    assert found.position is None


def test_what_is_not_known_is_not_on_the_card():
    found = calibration.card("strict", singles=[single(1, 8.0)])
    assert (found.with_people, found.with_people_decided, found.length, found.drift) == (None,) * 4


def test_drift_is_the_change_on_the_same_answers():
    before = [single(q, 5.0) for q in range(10)] + [single(50, 1.0)]
    after = [single(q, 5.0 if q < 4 else 6.0) for q in range(10)] + [single(60, 10.0), single(3, None)]
    found = calibration.drift(before, after)
    assert found is not None
    assert found.answers == 10
    assert found.difference.value == pytest.approx(0.6)
    assert found.unchanged.value == pytest.approx(0.4)
    assert found.difference.low < 0.6 < found.difference.high
    assert calibration.drift(before, []) is None
