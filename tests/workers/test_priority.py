"""Threads that compute give way to threads that deliver."""

import os
import subprocess
import sys
import threading

import pytest

from workers.priority import AUTOGROUP, stepping_back

linux = pytest.mark.skipif(
    sys.platform != "linux", reason="only Linux gives each thread a priority of its own"
)


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


def _in_a_process(statement: str, *, session: bool) -> tuple[str, str]:
    """The nice value and the autogroup's line of a new process that has run `statement`."""
    code = (
        f"import os; from workers.priority import session_steps_back, step_back; {statement}; "
        "print(os.nice(0)); print(open('/proc/self/autogroup').read())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, start_new_session=session
    )
    nice, group = done.stdout.split("\n", 1)
    return nice, group.strip()


autogroups = pytest.mark.skipif(not AUTOGROUP.exists(), reason="a kernel without autogroups")


@autogroups
def test_a_child_of_the_supervisor_steps_back_with_its_session():
    nice, group = _in_a_process("step_back(5)", session=True)

    assert nice == str(min(19, _own_nice() + 5))
    assert group.endswith("nice 5")


@autogroups
def test_its_session_can_step_back_alone():
    nice, group = _in_a_process("session_steps_back(5)", session=True)

    assert nice == str(_own_nice())
    assert group.endswith("nice 5")


@autogroups
def test_the_session_of_a_terminal_is_left_alone():
    _, before = _in_a_process("pass", session=False)
    _, after = _in_a_process("session_steps_back(7)", session=False)

    assert after == before
