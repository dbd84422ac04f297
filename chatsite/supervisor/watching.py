"""The supervisor's side of the watchdog process."""

import contextlib
import os
import subprocess
import sys
from pathlib import Path

from chatsite.supervisor import watchdog


class Watchdog:
    """Tells the watchdog process of each child, and starts another one when it dies."""

    def __init__(self, *, log: Path, pass_fds: tuple[int, ...] = ()):
        self._log = log
        self._pass_fds = pass_fds
        self._groups: dict[int, str] = {}
        self._process = self._start()

    @property
    def pid(self) -> int:
        return self._process.pid

    def add(self, pid: int, stage: int, seconds: float) -> None:
        self._groups[pid] = f"+ {pid} {int(stage)} {seconds}\n"
        self._tell(self._groups[pid])

    def remove(self, pid: int) -> None:
        if self._groups.pop(pid, None):
            self._tell(f"- {pid}\n")

    def reap(self) -> None:
        """Replace it when it has died. Called on every SIGCHLD."""
        if self._process.poll() is not None:
            self._close_pipe()
            self._process = self._start()
            for line in self._groups.values():
                self._tell(line)

    def close(self) -> None:
        """End it. Children that it still knows are stopped by it."""
        self._close_pipe()
        self._process.wait()

    def _start(self) -> subprocess.Popen[bytes]:
        with self._log.open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-I", "-S", os.fspath(watchdog.__file__)],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                pass_fds=self._pass_fds,
                start_new_session=True,
            )

    def _tell(self, line: str) -> None:
        assert self._process.stdin is not None
        # A broken pipe: it has just died. SIGCHLD is on its way, and `reap` tells the next one everything.
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(line.encode())
            self._process.stdin.flush()

    def _close_pipe(self) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
