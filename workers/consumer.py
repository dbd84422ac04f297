"""A Celery consumer in this process, the same for control and model workers."""

import contextlib
import logging
import os
import threading
import warnings
from collections.abc import Callable, Mapping
from typing import Any

from celery import current_app
from celery.concurrency.thread import TaskPool
from celery.platforms import SecurityWarning

logger = logging.getLogger(__name__)

# Who changes the queues waits so long for the consumer's loop, which stands still while the broker is away.
PATIENCE_SECONDS = 30.0


class Threads(TaskPool):  # type: ignore[misc] # Celery is untyped
    """Celery's pool of threads, which may become larger and smaller, and says so when one of them is free.

    The consumer's loop takes no message while all are busy. It sleeps then, and on its own it would look up only once
    a second: a request would wait that long beside a free slot.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._heard, self._bell = os.pipe()
        os.set_blocking(self._heard, False)
        os.set_blocking(self._bell, False)

    def register_with_event_loop(self, loop: Any) -> None:
        """Celery calls it whenever its loop begins, also anew after the broker was away."""
        loop.add_reader(self._heard, self._hear)

    def wake_loop(self) -> None:
        """From any thread: have the loop look at once at what it may take and what it was asked to do."""
        with contextlib.suppress(BlockingIOError):  # full: it has not heard the last ones yet
            os.write(self._bell, b".")

    def on_apply(self, *arguments: Any, **options: Any) -> Any:
        applied = super().on_apply(*arguments, **options)
        # Behind Celery's own accounts of what runs, by which it takes the next one.
        applied.f.add_done_callback(lambda _: self.wake_loop())
        return applied

    def _hear(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self._heard, 4096)

    def grow(self, number: int = 1) -> None:
        self.limit += number
        # The executor starts a thread when there is work and none is idle, up to this many. Threads that are there
        # already stay after a `shrink`; the consumer takes no more messages than `limit` all the same.
        self.executor._max_workers = max(self.limit, 1)

    def shrink(self, number: int = 1) -> None:
        self.grow(-number)


class Taps:
    """The queues that a running consumer takes messages from, opened and closed from other threads.

    While the broker is away nothing can be done to them; it is done when the consumer has it back.
    """

    def __init__(self, consumer: Any, slots: Mapping[str, int]) -> None:
        """`consumer`: the sender of Celery's signal `worker_ready`. `slots` by queue, of those that are open."""
        self._consumer = consumer
        self._slots = dict(slots)

    def open(self, queue: str, slots: int) -> None:
        """Take from `queue`, and up to `slots` messages more at once."""
        self._slots[queue] = slots
        self._in_the_loop(lambda: self._consumer.add_task_queue(queue))

    def close(self, queue: str) -> None:
        """The opposite. What was taken before may still be on its way to its thread."""
        if self._slots.pop(queue, None) is not None:
            self._in_the_loop(lambda: self._consumer.cancel_task_queue(queue))

    def _resize(self) -> None:
        more = max(1, sum(self._slots.values())) - self._consumer.pool.limit
        if more:
            self._consumer.pool.grow(more)
            self._consumer._update_prefetch_count(more)

    def _in_the_loop(self, act: Callable[[], None]) -> None:
        """Only the thread of the consumer's loop may touch its connection."""
        done = threading.Event()

        def run() -> None:
            try:
                self._resize()
                act()
            except Exception as error:
                # The connection is broken: the consumer makes another, with the queues as they should be now.
                logger.info("The queues change when the broker is back (%s).", type(error).__name__)
            done.set()

        self._consumer.call_soon(run)
        self._consumer.pool.wake_loop()
        done.wait(PATIENCE_SECONDS)


def start(
    *, hostname: str, queues: list[str], concurrency: int, keep_taken: bool = True, **options: Any
) -> None:
    """Consume `queues` with a pool of threads until SIGTERM or SIGINT. Blocks; call it from the main thread.

    `keep_taken`: let the broker keep a copy of each message until its task has acknowledged it. It costs each message
    two more exchanges with the broker, about a millisecond of processor time.

    Threads, since the work is waiting: for an engine that batches, for the database, for the broker. A fork per slot
    would cost a copy of the process's memory each.
    """
    # Django's checks load every view and admin page; `manage.py up` has run them, and a worker has no use for those.
    os.environ.setdefault("CELERY_SKIP_CHECKS", "true")
    # Containers run as root. Celery's worry is pickled payloads, and ours are JSON only.
    warnings.filterwarnings("ignore", category=SecurityWarning)
    if not keep_taken:
        transport = current_app.conf.broker_transport_options
        current_app.conf.broker_transport_options = {**transport, "ack_emulation": False}
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
