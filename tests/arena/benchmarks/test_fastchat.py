"""FastChat's code is timed in a process of its own. Here a stand-in with its names and columns."""

import sys

import pytest

from arena.benchmarks import fastchat, ratings

STAND_IN = """
import os
STYLE_CONTROL_ELEMENTS_V1 = ["a1", "a2", "a3", "a4", "b1", "b2", "b3", "b4"]
assert os.environ["OPENBLAS_NUM_THREADS"] == str(os.cpu_count()), "at its defaults"
def compute_bt(frame):
    assert set(frame.winner) <= {"model_a", "model_b", "tie"}
    assert set(frame.conv_metadata[0]) == set(STYLE_CONTROL_ELEMENTS_V1)
    return {name: 1000.0 for name in {*frame.model_a, *frame.model_b}}
def compute_bootstrap_bt(frame, rounds):
    assert rounds == 100
def compute_style_control(frame):
    FAILURE
"""


@pytest.fixture
def stand_in(tmp_path, monkeypatch):
    pytest.importorskip("pandas")

    def make(last: str = "pass"):
        package = tmp_path / "fastchat" / "serve" / "monitor"
        package.mkdir(parents=True)
        for folder in (package, package.parent, package.parent.parent):
            (folder / "__init__.py").touch()
        (package / "rating_systems.py").write_text(STAND_IN.replace("FAILURE", last))
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))
        monkeypatch.syspath_prepend(tmp_path)
        for name in [name for name in sys.modules if name.split(".")[0] == "fastchat"]:
            monkeypatch.delitem(sys.modules, name)

    return make


def test_it_is_timed_on_the_same_votes_and_compared(stand_in):
    stand_in()
    said: list[str] = []
    ratings.measure({"battles": 2000, "models": 5, "repeat": 1, "no_fastchat": False}, said.append)
    assert any(line.startswith("FastChat: solve") and "points from ours" in line for line in said)


def test_its_last_words_are_told_when_it_breaks(stand_in):
    stand_in("raise ValueError('no such column')")
    with pytest.raises(RuntimeError, match="no such column"):
        fastchat.measured(2000, 5)


def test_it_is_not_looked_for_where_it_is_not(monkeypatch):
    monkeypatch.setattr(fastchat, "MODULE", "no_such_package.at_all")
    assert not fastchat.installed()
