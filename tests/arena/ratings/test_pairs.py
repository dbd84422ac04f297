import numpy as np
import pytest

from arena.ratings.pairs import Outcomes, PairCounts, PairRow


def test_it_counts_wins_and_ties_per_ordered_pair():
    counts = PairCounts.of(Outcomes.of(["a", "a", "b"], ["b", "b", "a"], [1.0, 0.5, 1.0]))
    assert counts.models == ("a", "b")
    assert counts.left_wins.tolist() == [[0, 1], [1, 0]]
    assert counts.ties.tolist() == [[0, 1], [0, 0]]
    assert counts.wins.tolist() == [[0, 1.5], [1.5, 0]]
    assert counts.games.tolist() == [[0, 3], [3, 0]]
    assert counts.votes.tolist() == [3, 3]


def test_it_sums_weights_and_their_squares():
    counts = PairCounts.of(Outcomes.of(["a", "a"], ["b", "b"], [1.0, 1.0], weight=[0.5, 2.0]))
    assert counts.left_wins[0, 1] == 2.5
    assert counts.left_squares[0, 1] == 4.25


def test_rows_of_a_database_give_the_same_counts_as_the_votes(votes):
    counted = PairCounts.of(votes)
    rows = [
        PairRow(left, right, *(float(table[i, j]) for table in counted.tables()))
        for i, left in enumerate(counted.models)
        for j, right in enumerate(counted.models)
        if counted.games[i, j]
    ]
    again = PairCounts.from_rows(rows)
    assert again.models == counted.models
    for one, other in zip(again.tables(), counted.tables(), strict=True):
        assert np.array_equal(one, other)


def test_two_halves_merge_into_the_whole(votes):
    half = np.arange(len(votes)) < 2500
    merged = PairCounts.of(votes.slice(half)).merge(PairCounts.of(votes.slice(~half)))
    assert np.array_equal(merged.left_wins, PairCounts.of(votes).left_wins)


def test_merging_keeps_models_that_only_one_side_knows():
    one = PairCounts.of(Outcomes.of(["b"], ["c"], [1.0]))
    other = PairCounts.of(Outcomes.of(["a"], ["c"], [0.0]))
    merged = one.merge(other)
    assert merged.models == ("a", "b", "c")
    assert merged.left_wins[1, 2] == 1
    assert merged.right_wins[0, 2] == 1


def test_a_slice_of_models_drops_the_others_votes(votes):
    counts = PairCounts.of(votes).slice(["m03", "m01"])
    assert counts.models == ("m03", "m01")
    assert counts.games[0, 1] == PairCounts.of(votes).games[3, 1]


@pytest.mark.parametrize(
    ("left", "right", "score", "weight", "message"),
    [
        (["a"], ["a"], [1.0], None, "itself"),
        (["a"], ["b"], [0.7], None, "score"),
        (["a"], ["b"], [1.0], [-1.0], "weight"),
        (["a"], ["b"], [1.0], [float("nan")], "weight"),
        (["a"], ["b", "c"], [1.0], None, "right"),
    ],
)
def test_it_refuses_votes_that_make_no_sense(left, right, score, weight, message):
    with pytest.raises(ValueError, match=message):
        Outcomes.of(left, right, score, weight=weight)


def test_it_names_unknown_models_of_a_slice(votes):
    with pytest.raises(ValueError, match="nobody"):
        PairCounts.of(votes).slice(["m01", "nobody"])
