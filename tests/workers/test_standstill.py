"""Announcing calls that hold the interpreter."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from workers import standstill
from workers.engines.llama_cpp_loading import load


class Bearing:
    """What was announced, and what is at this moment."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.now: list[float] = []

    @contextmanager
    def __call__(self, seconds: float) -> Iterator[None]:
        self.seconds.append(seconds)
        self.now.append(seconds)
        try:
            yield
        finally:
            self.now.remove(seconds)


@pytest.fixture
def bearing() -> Iterator[Bearing]:
    made = Bearing()
    standstill.bear_with(made)
    yield made
    standstill.bear_with(None)


def test_it_is_borne_with_while_the_call_runs(bearing):
    with standstill.announced(12):
        assert bearing.now == [12]
    assert (bearing.now, bearing.seconds) == ([], [12])


def test_it_ends_with_a_call_that_fails(bearing):
    with pytest.raises(ValueError, match="torn"), standstill.announced(12):
        raise ValueError("torn")
    assert bearing.now == []


def test_nobody_has_to_listen():
    with standstill.announced(12):
        pass


def test_large_weights_may_take_longer(tmp_path):
    small, large = tmp_path / "small.gguf", tmp_path / "large.gguf"
    small.write_bytes(b"GGUF")
    with large.open("wb") as file:
        file.truncate(8_000_000_000)  # a hole: nothing is written

    assert standstill.load_seconds(small) == standstill.LEAST_SECONDS
    assert standstill.load_seconds(large) == 160


def test_llama_cpp_s_load_is_announced(bearing, tmp_path, monkeypatch):
    import xllamacpp

    made: list[list[float]] = []
    monkeypatch.setattr(xllamacpp, "Server", lambda parameters: made.append(list(bearing.now)))

    weights = tmp_path / "weights.gguf"
    weights.write_bytes(b"GGUF")

    load(weights, slots=1, context_length=64, threads=1, gpu_layers=0, key="k", chat_template="")

    assert made == [[standstill.LEAST_SECONDS]]
