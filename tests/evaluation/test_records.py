import pytest

from evaluation.records import PairVerdict


def verdict(first, second):
    return PairVerdict(1, "a", "b", "judge", 1, first, second)


@pytest.mark.parametrize(
    ("first", "second", "winner"),
    [
        ("model_1", "model_1", "model_1"),
        ("model_2", "model_2", "model_2"),
        ("model_1", "model_2", "tie"),
        ("tie", "model_1", "tie"),
        ("tie", "tie", "tie"),
        ("error", "model_1", "error"),
        ("tie", "error", "error"),
    ],
)
def test_only_who_wins_in_both_places_wins(first, second, winner):
    assert verdict(first, second).winner == winner
