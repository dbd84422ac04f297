"""The measurement of a large batch file: what it sends, and what it makes of what it sees."""

import json

import httpx
import pytest

from workers.benchmarks import batch


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock(monkeypatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(batch, "time", clock)
    return clock


def session(*counts: tuple[int, int]) -> httpx.Client:
    """A server whose batch of 100 lines has (completed, failed) lines, one pair after the other."""
    left = list(counts)

    def answer(_request: httpx.Request) -> httpx.Response:
        completed, failed = left.pop(0) if len(left) > 1 else left[0]
        return httpx.Response(
            200, json={"request_counts": {"total": 100, "completed": completed, "failed": failed}}
        )

    return httpx.Client(base_url="http://x/v1", transport=httpx.MockTransport(answer))


def test_every_line_is_a_request_of_its_own():
    lines = [json.loads(line) for line in batch.lines_file("parrot", 50).splitlines()]

    assert len({line["custom_id"] for line in lines}) == 50
    assert {line["body"]["model"] for line in lines} == {"parrot"}


def test_the_speed_counts_from_the_first_lines_that_are_done(clock):
    said: list[str] = []
    with session((0, 0), (0, 0), (10, 0), (17, 0), (24, 0), (100, 0)) as server:
        # 90 lines in the one and a half seconds behind the first ten.
        assert batch._watch(server, "batch_1", 60.0, said.append) == pytest.approx(1.0)
    assert "60.0 a second" in said[0]


def test_a_batch_that_does_not_begin_is_no_figure(clock):
    with session((0, 0)) as server, pytest.raises(RuntimeError, match="No line"):
        batch._watch(server, "batch_1", 60.0, print)


def test_lines_that_fail_are_no_figure(clock):
    with session((5, 1)) as server, pytest.raises(RuntimeError, match="1 lines"):
        batch._watch(server, "batch_1", 60.0, print)
