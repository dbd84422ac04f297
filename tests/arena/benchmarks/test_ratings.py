from io import StringIO

import numpy as np
import pytest
from django.core.management import CommandError, call_command

from arena.benchmarks import ratings


def test_it_prints_a_row_per_step_and_both_factors():
    said: list[str] = []
    ratings.measure({"battles": 2000, "models": 8, "repeat": 1, "no_fastchat": True}, said.append)
    text = "\n".join(said)
    for part in (
        "solve Bradley–Terry",
        "100 bootstrap rounds",
        "style control",
        "MiB peak",
        "gradient",
        "×   style",
    ):
        assert part in text


def test_the_made_votes_are_always_the_same():
    one, other = ratings.make(1000, 5), ratings.make(1000, 5)
    assert np.array_equal(one.votes.score, other.votes.score)
    assert 0.1 < (one.votes.score == 0.5).mean() < 0.3


def test_a_size_that_makes_no_sense_is_refused():
    with pytest.raises(CommandError, match="--battles"):
        call_command("benchmark", "ratings", "--battles", "3", stdout=StringIO())
