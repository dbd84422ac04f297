"""Lets work that takes a while step back behind the threads and processes that carry words to people.

Two queues stand before a core on Linux. Each session of processes is one customer (an "autogroup", sched(7)), and the
supervisor starts every child in a session of its own; inside it each thread has a priority. `nice` alone moves a thread
inside its session only. Elsewhere than on Linux, or where a control group already divides the cores, the session's
part does nothing.
"""

import contextlib
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

# Enough that a thread with a token to deliver takes the core at once; an engine that is alone loses nothing by it.
ENGINE_NICE = 3
AUTOGROUP = Path("/proc/self/autogroup")


def step_back(nice: int) -> None:
    """Lower the priority of this process by `nice` (0 to 19), and that of its session if it leads one.

    The session of a terminal belongs to whoever sits there, and is left alone.
    """
    os.nice(nice)
    session_steps_back(nice)


def session_steps_back(nice: int) -> None:
    """The same for the session alone; the threads in it stay as they are among each other."""
    if os.getsid(0) == os.getpid():
        with contextlib.suppress(OSError):  # a kernel without autogroups
            AUTOGROUP.write_text(str(nice))


def stepping_back(make: Callable[[], T], *, nice: int = ENGINE_NICE) -> T:
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
