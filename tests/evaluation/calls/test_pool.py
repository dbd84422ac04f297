"""Many calls at once: outcomes, retries, and an end that leaves nothing running."""

import asyncio
import threading
import time

import pytest

from evaluation.calls import Call, CallFailed, Completion, Outcome, Pool
from tests.workers.support import PATIENCE
from workers.protocol import ChatMessage, Sampling

CALL = Call((ChatMessage("user", "hello"),), Sampling())


class Plan:
    """A caller that does what the list says: an exception is raised, a text returned; the last one repeats."""

    def __init__(self, *steps, seconds=0.0, together=0):
        """`together`: nobody is answered before so many have asked at once."""
        self.steps, self.seconds, self.together = list(steps), seconds, together
        self.asked = self.at_once = self.most_at_once = self.stopped = 0
        self.closed = False

    async def ask(self, call):
        self.asked += 1
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await asyncio.sleep(self.seconds)
            while self.most_at_once < self.together:  # noqa: ASYNC110 - it belongs to no event loop yet
                await asyncio.sleep(0.005)
        except asyncio.CancelledError:
            self.stopped += 1
            raise
        finally:
            self.at_once -= 1
        step = self.steps.pop(0) if len(self.steps) > 1 else self.steps[0]
        if isinstance(step, Exception):
            raise step
        return Completion(step, "stop")

    async def close(self):
        self.closed = True


def quick() -> Pool[str | int]:
    return Pool(attempts=3, first_wait=0.01, longest_wait=0.02)


def come(pool: Pool[str | int]) -> Outcome[str | int]:
    outcome = pool.next(PATIENCE)
    assert outcome is not None
    return outcome


def text_of(outcome: Outcome[str | int]) -> str:
    assert outcome.completion is not None
    return outcome.completion.text


def error_of(outcome: Outcome[str | int]) -> CallFailed:
    assert outcome.error is not None
    return outcome.error


def test_it_returns_every_outcome_under_its_key():
    plan = Plan("fine")
    with quick() as pool:
        for number in range(20):
            pool.start(number, plan, CALL)
        outcomes = [come(pool) for _ in range(20)]
    assert sorted(outcome.key for outcome in outcomes) == list(range(20))
    assert all(text_of(outcome) == "fine" for outcome in outcomes)


def test_it_works_on_calls_at_once():
    plan = Plan("fine", together=8)
    with quick() as pool:
        for number in range(8):
            pool.start(number, plan, CALL)
        for _ in range(8):
            come(pool)
    assert plan.most_at_once == 8


def test_it_tries_again_after_a_transient_failure_and_counts_it():
    plan = Plan(CallFailed("busy", transient=True), CallFailed("busy", transient=True), "fine")
    with quick() as pool:
        pool.start("k", plan, CALL)
        outcome = come(pool)
    assert (text_of(outcome), outcome.failures, plan.asked) == ("fine", 2, 3)


def test_it_gives_up_after_the_last_attempt():
    plan = Plan(CallFailed("busy", transient=True))
    with quick() as pool:
        pool.start("k", plan, CALL)
        outcome = come(pool)
    assert (str(error_of(outcome)), outcome.failures, plan.asked) == ("busy", 3, 3)


@pytest.mark.parametrize("error", [CallFailed("bad key", fatal=True), CallFailed("too long")])
def test_it_does_not_repeat_what_would_fail_again(error):
    plan = Plan(error)
    with quick() as pool:
        pool.start("k", plan, CALL)
        assert error_of(come(pool)) is error
    assert plan.asked == 1


def test_it_waits_as_long_as_the_other_side_asks():
    plan = Plan(CallFailed("slow down", transient=True, retry_after=0.3), "fine")
    with quick() as pool:
        began = time.monotonic()
        pool.start("k", plan, CALL)
        come(pool)
        assert time.monotonic() - began >= 0.3


def test_a_bug_in_a_caller_is_an_outcome_and_not_a_hang():
    with quick() as pool:
        pool.start("k", Plan(ZeroDivisionError()), CALL)
        outcome = come(pool)
    assert error_of(outcome).fatal
    assert "ZeroDivisionError" in str(error_of(outcome))


def test_leaving_it_stops_what_runs_and_ends_its_thread():
    plan = Plan("fine", seconds=600)
    before = set(threading.enumerate())
    with quick() as pool:
        (mine,) = {thread for thread in threading.enumerate() if thread.name == "calls"} - before
        pool.start("k", plan, CALL)
        while not plan.at_once:
            time.sleep(0.01)
    assert (plan.stopped, plan.closed) == (1, True)
    assert not mine.is_alive()


def test_nothing_within_the_timeout_is_none():
    with quick() as pool:
        assert pool.next(0.01) is None
