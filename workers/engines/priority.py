"""Lets an engine's computing step back behind the threads that carry its words away."""

import os
import sys
import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

# Enough that a thread with a token to deliver takes the core at once; an engine that is alone loses nothing by it.
NICE = 3


def stepping_back(make: Callable[[], T], *, nice: int = NICE) -> T:
    """What `make` returns or raises; the threads that it starts run with their priority lowered by `nice`.

    On Linux a thread has a priority of its own and hands it on to those it starts; elsewhere nothing is changed. A
    thread may lower its priority but not raise it again, so `make` runs in one that ends with it.
    """
    made: list[T] = []
    failed: list[BaseException] = []

    def run() -> None:
        try:
            if sys.platform == "linux":
                own = threading.get_native_id()
                os.setpriority(os.PRIO_PROCESS, own, os.getpriority(os.PRIO_PROCESS, own) + nice)
            made.append(make())
        except BaseException as error:  # it is the caller's
            failed.append(error)

    thread = threading.Thread(target=run, name="stepping-back")
    thread.start()
    thread.join()
    if failed:
        raise failed[0]
    return made[0]
