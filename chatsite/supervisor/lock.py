"""One supervisor at a time in a data directory."""

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

# A supervisor that was killed leaves its children to the watchdog, which may need this long to stop them (seconds).
LONGEST_CLEAN_UP = 60.0


class AlreadyRunning(Exception):  # noqa: N818 - reads as what happened
    """Another supervisor works in the data directory."""

    def __init__(self, folder: Path, pid: int | None):
        who = f" (process {pid})" if pid else ""
        super().__init__(
            f"chatsite already runs in {folder}{who}. Stop that one first, "
            "or give this one a data directory and a port of its own: --data DIR --port N"
        )


@contextmanager
def locked(
    folder: Path, *, on_wait: Callable[[], None] = lambda: None, patience: float = LONGEST_CLEAN_UP
) -> Iterator[int]:
    """Hold the data directory `folder`; yields the lock's descriptor.

    The lock belongs to the open file, so a process that inherits the descriptor keeps it: after a `kill -9` of the
    supervisor the watchdog still does, until the last child is gone, and a new start waits for that (`on_wait` is
    called then, once). Raises `AlreadyRunning` when the other supervisor is alive.
    """
    path = folder / "run" / "up.lock"
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        _acquire(descriptor, folder, on_wait, patience)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield descriptor
    finally:
        os.close(descriptor)


def _acquire(descriptor: int, folder: Path, on_wait: Callable[[], None], patience: float) -> None:
    give_up_at = time.monotonic() + patience
    waiting = False
    while not _try(descriptor):
        holder = _holder(descriptor)
        if (holder and _runs(holder)) or time.monotonic() >= give_up_at:
            raise AlreadyRunning(folder, holder)
        if not waiting:
            waiting = True
            on_wait()
        time.sleep(0.1)


def _try(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _holder(descriptor: int) -> int | None:
    text = os.pread(descriptor, 32, 0).strip()
    return int(text) if text.isdigit() else None


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
