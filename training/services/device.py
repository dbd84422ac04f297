"""The device of this machine, which one run has at a time; the lock ends with the process that holds it."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from django.conf import settings


def folder() -> Path:
    """Where the runs of this machine are: one folder each, named by the job's public id."""
    path = Path(settings.DATA_DIR) / "training"
    path.mkdir(parents=True, exist_ok=True, mode=0o700)
    return path


@contextmanager
def held() -> Iterator[bool]:
    """Tries to take the device; whether it was free. It is given back at the end of the block."""
    with (folder() / "device.lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True
