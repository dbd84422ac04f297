"""One function over many items on many cores: results in order, and never more in memory than a few batches."""

import multiprocessing
import os
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ProcessPoolExecutor
from itertools import islice
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")

BATCH = 64
"""Items that travel to another process together."""


def cores() -> int:
    """Those this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def ordered(
    function: Callable[[T], R], items: Iterable[T], *, processes: int = 0, batch: int = BATCH
) -> Generator[R, None, None]:
    """`function` of each item. `processes`: 0 for all cores, 1 for this process alone.

    `function` must be importable by name, or a frozen value with `__call__`. At most two batches per process are on
    their way; the source is read no faster than results are taken.
    """
    processes = processes or cores()
    source = iter(items)
    head = list(islice(source, batch))
    if processes == 1 or len(head) < batch:
        yield from map(function, head)
        yield from map(function, source)
        return
    # Not forked: the caller may have threads and connections.
    with ProcessPoolExecutor(processes, mp_context=multiprocessing.get_context("spawn")) as pool:
        running: deque[Future[list[R]]] = deque()
        try:
            while head or running:
                while head and len(running) < 2 * processes:
                    running.append(pool.submit(_all, function, head))
                    head = list(islice(source, batch))
                yield from running.popleft().result()
        finally:
            for future in running:
                future.cancel()


def _all(function: Callable[[T], R], items: list[T]) -> list[R]:
    return [function(item) for item in items]
