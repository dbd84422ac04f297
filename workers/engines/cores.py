"""How many CPU cores this process may use."""

import math
import os
from pathlib import Path

import psutil

CGROUP_LIMIT = Path("/sys/fs/cgroup/cpu.max")


def usable_cores() -> int:
    """Physical cores, at most as many as the process is pinned to or its container is allowed.

    A container sees all of its host's cores. An engine with more threads than it has cores is many times slower than
    with one thread, since the threads wait for each other at every layer.
    """
    limits = [psutil.cpu_count(logical=False) or psutil.cpu_count() or 1]
    if hasattr(os, "sched_getaffinity"):  # not on macOS
        limits.append(len(os.sched_getaffinity(0)))
    if quota := _quota():
        limits.append(math.ceil(quota))
    return max(1, min(limits))


def _quota() -> float | None:
    """Cores that the control group grants, or None for no limit."""
    try:
        granted, period = CGROUP_LIMIT.read_text().split()
        return int(granted) / int(period)
    except (OSError, ValueError):  # no control groups, or "max"
        return None
