"""Stops the children when the supervisor is gone without having done it, after `kill -9` say.

A process of its own, started with this file's path; standard library only and no import of the project, so it costs
a few megabytes. The supervisor tells it of each child through standard input; the end of that input, which the kernel
sends whatever killed the supervisor, is the alarm. That works on Linux and macOS alike, and for grandchildren too.

Lines: `+ PID STAGE SECONDS` (a child, the leader of its process group) and `- PID` (it has ended).
"""

import glob
import os
import signal
import sys
import time
from collections.abc import Callable, Iterable
from typing import NamedTuple


class Group(NamedTuple):
    """A child's process group. Lower stages end first."""

    pid: int
    stage: int
    seconds: float


def follow(lines: Iterable[str]) -> list[Group]:
    """Read until the input ends; the groups that were still there then."""
    groups: dict[int, Group] = {}
    for line in lines:
        match line.split():
            case ["+", pid, stage, seconds]:
                groups[int(pid)] = Group(int(pid), int(stage), float(seconds))
            case ["-", pid]:
                groups.pop(int(pid), None)
    return sorted(groups.values(), key=lambda group: group.stage)


def stop(groups: list[Group]) -> None:
    """Ask the groups of each stage to end, and kill what is left of each after its time."""
    for stage in sorted({group.stage for group in groups}):
        waiting = [group for group in groups if group.stage == stage]
        for group in waiting:
            _signal(os.kill, group.pid, signal.SIGTERM)
        began = time.monotonic()
        while waiting := [group for group in waiting if _alive(group)]:
            for group in waiting:
                if time.monotonic() - began >= group.seconds:
                    _signal(os.killpg, group.pid, signal.SIGKILL)
            time.sleep(0.05)
            if time.monotonic() - began > max(group.seconds for group in waiting) + 1:
                break  # not even SIGKILL ends a process that hangs in the kernel


def _alive(group: Group) -> bool:
    # A process that has ended still counts for `killpg` until its new parent, init, has waited for it, which some take
    # their time for and some containers never do.
    return _signal(os.killpg, group.pid, 0) and not _only_zombies(group.pid)


def _only_zombies(pgid: int) -> bool:
    """Whether all members of the process group have ended. Only Linux tells; elsewhere the answer is no."""
    states = []
    for stat in glob.glob("/proc/[0-9]*/stat"):  # noqa: PTH207 - no need for 200 path objects
        try:
            with open(stat, encoding="utf-8", errors="replace") as file:  # noqa: PTH123
                state, _, group = file.read().rpartition(")")[2].split()[:3]
        except OSError:
            continue  # it ended in between
        if group == str(pgid):
            states.append(state)
    return bool(states) and all(state in "ZX" for state in states)


def _signal(send: Callable[[int, int], None], pid: int, number: int) -> bool:
    try:
        send(pid, number)
    except (ProcessLookupError, PermissionError):  # macOS says EPERM for a group of zombies
        return False
    return True


def main() -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # it ends with the supervisor, not before
    if groups := follow(sys.stdin):
        names = ", ".join(str(group.pid) for group in groups)
        print(
            time.strftime("%Y-%m-%d %H:%M:%S"),
            f"the supervisor is gone; stopping processes {names}",
            flush=True,
        )
        stop(groups)
        print(time.strftime("%Y-%m-%d %H:%M:%S"), "stopped", flush=True)


if __name__ == "__main__":
    main()
