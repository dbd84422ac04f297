"""Many calls at once: an event loop in a thread of its own, and outcomes in a queue.

Whoever uses it keeps to one thread, which is also the one that may touch the database.
"""

import asyncio
import queue
import random
import threading
from collections.abc import Hashable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from evaluation.calls.base import Call, Caller, CallFailed, Completion

Key = TypeVar("Key", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Outcome(Generic[Key]):
    key: Key
    """As it was handed to `start`."""
    completion: Completion | None
    error: CallFailed | None
    failures: int = 0
    """Attempts that failed, whatever came after them."""


class Pool(Generic[Key]):
    """Use as a context manager; leaving it stops what still runs."""

    def __init__(self, *, attempts: int = 5, first_wait: float = 1.0, longest_wait: float = 60.0):
        self._attempts = attempts
        self._first_wait = first_wait
        self._longest_wait = longest_wait
        self._outcomes: queue.SimpleQueue[Outcome[Key]] = queue.SimpleQueue()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="calls", daemon=True)
        self._futures: set[Future[None]] = set()
        self._callers: set[Caller] = set()
        self.running = 0
        """Calls whose outcome has not been taken yet."""

    def __enter__(self) -> "Pool[Key]":
        self._thread.start()
        return self

    def __exit__(self, *details: object) -> None:
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result(30)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(30)
        self._loop.close()

    def start(self, key: Key, caller: Caller, call: Call) -> None:
        self._callers.add(caller)
        self.running += 1
        future = asyncio.run_coroutine_threadsafe(self._work(key, caller, call), self._loop)
        self._futures.add(future)
        future.add_done_callback(self._futures.discard)

    def next(self, timeout: float) -> Outcome[Key] | None:
        """The next outcome; None when there is none within `timeout` seconds."""
        try:
            outcome = self._outcomes.get(timeout=timeout)
        except queue.Empty:
            return None
        self.running -= 1
        return outcome

    def arrived(self) -> list[Outcome[Key]]:
        """The outcomes that are there already, without waiting."""
        outcomes: list[Outcome[Key]] = []
        while True:
            try:
                outcomes.append(self._outcomes.get_nowait())
            except queue.Empty:
                self.running -= len(outcomes)
                return outcomes

    async def _work(self, key: Key, caller: Caller, call: Call) -> None:
        failures = 0
        while True:
            try:
                completion = await caller.ask(call)
            except CallFailed as error:
                failures += 1
                if error.fatal or not error.transient or failures >= self._attempts:
                    self._outcomes.put(Outcome(key, None, error, failures))
                    return
                await asyncio.sleep(self._wait(failures, error.retry_after))
            except Exception as error:
                # A bug must not leave whoever waits for the outcome waiting for ever.
                failed = CallFailed(f"The call broke down: {type(error).__name__}.", code="bug", fatal=True)
                failed.__cause__ = error
                self._outcomes.put(Outcome(key, None, failed, failures + 1))
                return
            else:
                self._outcomes.put(Outcome(key, completion, None, failures))
                return

    def _wait(self, failures: int, asked_for: float | None) -> float:
        """Seconds before the next attempt: doubled each time, and spread so that not all come back at once."""
        backoff = min(self._longest_wait, self._first_wait * 2 ** (failures - 1))
        spread: float = backoff * random.uniform(0.75, 1.25)  # noqa: S311 - no secret
        return max(asked_for or 0.0, spread)

    async def _stop(self) -> None:
        tasks: list[asyncio.Task[Any]] = [
            task for task in asyncio.all_tasks() if task is not asyncio.current_task()
        ]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for caller in self._callers:
            await caller.close()
        await self._loop.shutdown_default_executor()
