"""The threads of a consumer, under a loop as Celery runs it."""

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from kombu.asynchronous import Hub

from workers.consumer import Threads

# A loop that nobody wakes sleeps for a second at most; so many rounds are given to a slow machine.
MOST_ROUNDS = 60


class Pool(Threads):
    """Remembers the loops that it works under, which nobody closes in a process that ends with them."""

    def __init__(self) -> None:
        super().__init__(1)
        self.loops: list[Hub] = []

    def register_with_event_loop(self, loop: Hub) -> None:
        self.loops.append(loop)
        super().register_with_event_loop(loop)


@pytest.fixture
def pool() -> Iterator[Threads]:
    made = Pool()
    yield made
    made.on_stop()
    for loop in made.loops:
        loop.close()


class Loop:
    """Counts what wakes it."""

    def __init__(self, pool: Threads) -> None:
        self.heard = 0
        hub = Hub()
        as_ever = pool._hear

        def hear() -> None:
            self.heard += 1
            as_ever()

        pool._hear = hear  # type: ignore[method-assign]
        pool.register_with_event_loop(hub)
        self._steps = hub.create_loop()

    def turn_until(self, met: Callable[[], Any]) -> bool:
        for _ in range(MOST_ROUNDS):
            next(self._steps)
            if met():
                return True
        return False


def apply(pool: Threads, act: Callable[[], Any], then: Callable[[Any], Any] = lambda result: None) -> Any:
    return pool.on_apply(lambda: act(), args=(), kwargs={}, callback=then)


def test_the_loop_wakes_when_a_thread_is_free(pool):
    loop, go_on = Loop(pool), threading.Event()
    apply(pool, lambda: go_on.wait(60))
    next(loop._steps)
    assert loop.heard == 0, "it is busy still"
    go_on.set()
    assert loop.turn_until(lambda: loop.heard)


def test_the_loop_wakes_behind_celerys_own_accounts(pool):
    accounts: list[str] = []
    loop = Loop(pool)
    apply(pool, lambda: "done", accounts.append)
    assert loop.turn_until(lambda: loop.heard)
    assert accounts == ["done"]


def test_the_loop_wakes_for_a_task_that_failed(pool):
    loop = Loop(pool)
    apply(pool, lambda: 1 / 0)
    assert loop.turn_until(lambda: loop.heard)


def test_a_bell_that_nobody_hears_holds_nobody_up(pool):
    for _ in range(100_000):  # more than a pipe holds
        pool.wake_loop()
    loop = Loop(pool)
    assert loop.turn_until(lambda: loop.heard)
