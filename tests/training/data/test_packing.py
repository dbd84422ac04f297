import random

import numpy as np
import pytest

from training.data import packing
from training.data.masking import Example
from training.data.packing import IGNORED


def example(length, *, first=10, answer=2):
    """Tokens `first`, `first` + 1, …; the last `answer` of them carry loss."""
    ids = np.arange(first, first + length, dtype=np.int32)
    return Example(ids, np.arange(length) >= length - answer)


_source = random.Random(7)
LENGTHS = [_source.randint(1, 100) for _ in range(500)]


def test_each_example_is_packed_once_and_no_row_is_too_long():
    rows = packing.bins(LENGTHS, 100)
    assert sorted(index for row in rows for index in row) == list(range(500))
    assert all(sum(LENGTHS[index] for index in row) <= 100 for row in rows)


def test_rows_are_nearly_full():
    rows = packing.bins(LENGTHS, 100)
    assert len(rows) <= 1.05 * -(-sum(LENGTHS) // 100)


@pytest.mark.parametrize("lengths", [[], [100], [100, 100], [1] * 1000, [60, 60, 40, 40]])
def test_packing_of_easy_sets_is_perfect(lengths):
    assert len(packing.bins(lengths, 100)) == -(-sum(lengths) // 100)


def test_an_example_that_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="101 tokens"):
        packing.bins([5, 101], 100)


def test_an_epochs_rows_follow_the_seed():
    one, same, other = (packing.plan(LENGTHS, 100, seed=seed, window=64) for seed in (1, 1, 2))
    assert one == same
    assert one != other
    for rows in (one, other):
        assert sorted(index for row in rows for index in row) == list(range(500))
        assert max(sum(LENGTHS[index] for index in row) for row in rows) <= 100


def test_grouping_puts_like_lengths_together():
    batches = packing.grouped(LENGTHS, 8, seed=3)
    assert sorted(index for batch in batches for index in batch) == list(range(500))
    width = sum(max(LENGTHS[index] for index in batch) * len(batch) for batch in batches)
    assert width < 1.1 * sum(LENGTHS)


def test_a_row_holds_its_examples_apart():
    batch = packing.collate([[example(3), example(4, first=50)], [example(2, answer=1)]], pad=0)
    assert batch.ids.tolist() == [[10, 11, 12, 50, 51, 52, 53, 0], [10, 11, 0, 0, 0, 0, 0, 0]]
    assert batch.labels.tolist() == [
        [IGNORED, 11, 12, IGNORED, IGNORED, 52, 53, IGNORED],
        [IGNORED, 11, *[IGNORED] * 6],
    ]
    assert batch.positions.tolist() == [[0, 1, 2, 0, 1, 2, 3, 0], [0, 1, 0, 1, 2, 3, 4, 5]]
    assert batch.segments.tolist() == [[1, 1, 1, 2, 2, 2, 2, 0], [1, 1, 0, 0, 0, 0, 0, 0]]
    assert (batch.supervised, batch.padding) == (5, 7)


def test_the_first_token_of_an_example_is_never_predicted_from_its_neighbour():
    everything = Example(np.arange(4, dtype=np.int32), np.ones(4, np.bool_))
    batch = packing.flatten([everything, everything], pad=9)
    assert batch.labels.tolist() == [[IGNORED, 1, 2, 3, IGNORED, 1, 2, 3]]


def test_widths_are_rounded_up():
    assert packing.collate([[example(9)]], pad=0, multiple=8).ids.shape == (1, 16)
    assert packing.collate([[example(9)]], pad=0, multiple=1).ids.shape == (1, 9)
    assert packing.collate([[example(9)]], pad=0, multiple=8, width=30).ids.shape == (1, 32)


def test_the_mask_lets_nothing_see_its_neighbour_or_what_comes():
    segments = np.array([[1, 1, 2, 2, 0]])
    assert packing.block_mask(segments)[0, 0].astype(int).tolist() == [
        [1, 0, 0, 0, 0],
        [1, 1, 0, 0, 0],
        [0, 0, 1, 0, 0],
        [0, 0, 1, 1, 0],
        [0, 0, 0, 0, 1],
    ]


def test_it_tells_where_the_computing_goes():
    batch = packing.collate([[example(4)]], pad=0, multiple=8)
    assert packing.shares(iter([batch])) == {"useful": 0.25, "prompt": 0.25, "padding": 0.5}
    assert packing.shares(iter([])) == {"useful": 0, "prompt": 0, "padding": 0}
