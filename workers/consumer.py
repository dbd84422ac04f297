"""A Celery consumer in this process, the same for control and model workers."""

import os
import threading
import warnings
from collections.abc import Callable
from typing import Any

from celery import current_app
from celery.concurrency.thread import TaskPool
from celery.platforms import SecurityWarning

# A consumer that has lost the broker turns to other things when it is back.
PATIENCE_SECONDS = 120.0


class Threads(TaskPool):  # type: ignore[misc] # Celery is untyped
    """Celery's pool of threads, which may become larger and smaller."""

    def grow(self, number: int = 1) -> None:
        self.limit += number
        # The executor starts a thread when there is work and none is idle, up to this many. Threads that are there
        # already stay after a `shrink`; the consumer takes no more messages than `limit` all the same.
        self.executor._max_workers = max(self.limit, 1)

    def shrink(self, number: int = 1) -> None:
        self.grow(-number)


class Taps:
    """The queues that a running consumer takes messages from, opened and closed from other threads."""

    def __init__(self, consumer: Any) -> None:
        """`consumer`: the sender of Celery's signal `worker_ready`."""
        self._consumer = consumer

    def open(self, queue: str, slots: int) -> None:
        """Take from `queue`, and up to `slots` messages more at once. Raises `ConnectionError` as `close` does."""

        def act() -> None:
            self._resize(slots)
            self._consumer.add_task_queue(queue)

        self._in_the_loop(act)

    def close(self, queue: str, slots: int) -> None:
        """The opposite. What was taken before may still be on its way to its thread.

        Raises `ConnectionError` when the broker is away for too long.
        """

        def act() -> None:
            self._consumer.cancel_task_queue(queue)
            self._resize(-slots)

        self._in_the_loop(act)

    def _resize(self, slots: int) -> None:
        self._consumer.pool.grow(slots)
        self._consumer._update_prefetch_count(slots)

    def _in_the_loop(self, act: Callable[[], None]) -> None:
        """Only the thread of the consumer's loop may touch its connection."""
        done = threading.Event()
        wrong: list[Exception] = []

        def run() -> None:
            try:
                act()
            except Exception as error:  # it is the caller's; the loop goes on
                wrong.append(error)
            done.set()

        self._consumer.call_soon(run)
        if not done.wait(PATIENCE_SECONDS):
            raise ConnectionError("the broker is away")
        if wrong:
            raise ConnectionError(f"the consumer did not take it: {type(wrong[0]).__name__}") from wrong[0]


def start(*, hostname: str, queues: list[str], concurrency: int, **options: Any) -> None:
    """Consume `queues` with a pool of threads until SIGTERM or SIGINT. Blocks; call it from the main thread.

    Threads, since the work is waiting: for an engine that batches, for the database, for the broker. A fork per slot
    would cost a copy of the process's memory each.
    """
    # Django's checks load every view and admin page; `manage.py up` has run them, and a worker has no use for those.
    os.environ.setdefault("CELERY_SKIP_CHECKS", "true")
    # Containers run as root. Celery's worry is pickled payloads, and ours are JSON only.
    warnings.filterwarnings("ignore", category=SecurityWarning)
    current_app.Worker(
        pool=Threads,
        concurrency=concurrency,
        queues=queues,
        hostname=hostname,
        without_gossip=True,
        without_mingle=True,
        without_heartbeat=True,
        loglevel="WARNING",
        quiet=True,
        **options,
    ).start()
