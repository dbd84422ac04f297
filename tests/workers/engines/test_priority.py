"""Threads that compute give way to threads that deliver."""

import os
import sys
import threading

import pytest

from workers.engines.priority import stepping_back

linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux gives each thread a priority of its own")


def _own_nice() -> int:
    return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())


@linux
def test_it_hands_a_lower_priority_to_the_threads_that_are_started_in_it():
    seen: list[int] = []

    def make() -> threading.Thread:
        thread = threading.Thread(target=lambda: seen.append(_own_nice()))
        thread.start()
        return thread

    stepping_back(make, nice=4).join()

    assert seen == [min(19, _own_nice() + 4)]


@linux
def test_it_leaves_the_caller_as_it_is():
    before = _own_nice()

    stepping_back(lambda: None, nice=4)

    assert _own_nice() == before


def test_it_returns_what_was_made():
    assert stepping_back(lambda: "an engine") == "an engine"


def test_it_raises_what_went_wrong():
    def make() -> None:
        raise OSError("no such weights")

    with pytest.raises(OSError, match="no such weights"):
        stepping_back(make)
