"""What the measurement of the transformers engine says of its numbers; the numbers are made up here."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import Mock

import pytest

pytest.importorskip("torch", reason="torch is not installed: pip install '.[hf]'")

from workers.benchmarks import engine
from workers.benchmarks.engine import SERVE, Measured, Plan


@pytest.fixture
def speeds(monkeypatch) -> dict[str, float]:
    """Tokens a second of each side, with one request; sixteen at once are ten times as quick."""
    speeds = {"threads": 10.0, "generate": 11.0, SERVE: 12.0, "engine": 60.0, "engine, 8 bits": 100.0}

    @contextmanager
    def side(name: str) -> Iterator[engine.Runner]:
        def run(asked: list[str], tokens: int) -> Measured:
            fast = speeds[name] * (10 if len(asked) > 1 else 1)
            said = tokens * len(asked)
            return Measured(said, said / fast, 1.0, [])

        yield run

    # Nothing is loaded, so nothing is to be given back; a true search goes through all that the tests have imported.
    monkeypatch.setattr(engine, "gc", Mock())
    monkeypatch.setattr(
        engine, "_sides", lambda plan: {name: lambda name=name: side(name) for name in speeds}
    )
    return speeds


def measured(**values) -> tuple[bool, list[str]]:
    said: list[str] = []
    plan = Plan("/m", (1, 16), 8, **{"rounds": 1, "threads": 1, "peer_python": "/other/python", **values})
    return engine.measure(plan, said.append), said


def test_it_prints_each_ratio_and_is_content_when_all_are_met(speeds):
    holds, said = measured()
    assert holds
    rows = [row for row in said if "÷" in row]
    assert len(rows) == 6
    assert rows[0].split("÷")[1].split() == ["threads", "6.00", "6.00"]


@pytest.mark.parametrize(
    ("name", "slower", "missed"),
    [
        ("engine", 49.0, "MISSED (5)"),
        ("engine, 8 bits", 99.0, "MISSED (10)"),
        ("engine", 11.9, "MISSED (1)"),
        ("engine, 8 bits", 9.9, "MISSED (1)"),
    ],
)
def test_it_says_what_is_missed(speeds, name, slower, missed):
    speeds[name] = slower
    holds, said = measured()
    assert not holds
    assert any(missed in row for row in said)


def test_it_begins_no_round_for_which_there_is_no_time(speeds):
    _, said = measured(rounds=5, minutes=0.0)
    assert "1 of 5 rounds, for the time: --minutes allows more." in said


def test_it_says_when_a_peer_is_left_out(speeds, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    _, said = measured(peer_python=sys.executable)
    assert "pip install fastapi uvicorn" in said[0]
    _, said = measured()
    assert not any("left out" in row for row in said)
