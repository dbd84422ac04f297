import numpy as np
import pytest

from training.benchmarks import mixes
from training.benchmarks.mixes import MIXES


@pytest.mark.parametrize("mix", MIXES, ids=lambda mix: mix.name)
@pytest.mark.parametrize("most", [512, 2048])
def test_each_mix_has_the_mean_length_that_its_target_is_stated_for(mix, most):
    found = mixes.lengths(mix, 200, most)
    ranges = {"vicuna": (0.64, 0.70), "single-turn": (0.31, 0.35), "alpaca": (0.037, 0.045)}
    low, high = ranges[mix.name]
    assert low <= np.mean(found) / most <= high
    assert min(found) > 0
    assert max(found) <= most
    assert len(set(found)) > 10  # not all of one length


def test_examples_are_the_same_each_time_and_mostly_an_answer():
    first, again = (mixes.examples(MIXES[0], 20, 256, vocabulary=100) for _ in range(2))
    assert all(np.array_equal(one.ids, other.ids) for one, other in zip(first, again, strict=True))
    share = sum(example.supervised for example in first) / sum(map(len, first))
    assert 0.7 < share < 0.8
    assert not any(example.mask[0] for example in first)
    assert max(int(example.ids.max()) for example in first) < 100
