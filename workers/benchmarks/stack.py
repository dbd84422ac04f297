"""A private stack for a measurement: `manage.py up` in a data directory of its own."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
from django.conf import settings

from workers import client
from workers.selectors import catalog

READY_SECONDS = 180
WORKER_SECONDS = 60


@dataclass(frozen=True)
class Stack:
    url: str
    process: psutil.Process

    def memory_bytes(self) -> dict[str, int]:
        """Resident bytes of each process, by the name it goes by. Shared pages count in each (an upper bound)."""
        return {
            f"{' '.join(process.cmdline()[:6])[-60:]} ({process.pid})": process.memory_info().rss
            for process in [self.process, *self.process.children(recursive=True)]
        }


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@contextmanager
def running(*arguments: str, **environment: str) -> Iterator[Stack]:
    """`manage.py up ARGUMENTS` on the settings' own data directory, ready; stopped at the end."""
    port = free_port()
    command = [sys.executable, "manage.py", "up", "--port", str(port), *arguments]
    log = settings.DATA_DIR / "benchmark-stack.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=settings.BASE_DIR, stdout=output, stderr=output, env={**os.environ, **environment}
        )
    try:
        _wait_ready(process, log)
        yield Stack(f"http://127.0.0.1:{port}", psutil.Process(process.pid))
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(40)
        except subprocess.TimeoutExpired:
            process.kill()


def _wait_ready(process: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + READY_SECONDS
    while "Ready:" not in log.read_text(errors="replace"):
        if process.poll() is not None or time.monotonic() > until:
            raise RuntimeError(f"The stack did not become ready:\n{log.read_text(errors='replace')[-2000:]}")
        time.sleep(0.1)


class WorkerBeside:
    """`manage.py worker ARGUMENTS` (with `--model NAME` first) beside a stack; ready when that chat model is served."""

    def __init__(self, *arguments: str):
        self._arguments = arguments
        self._chat_model = arguments[arguments.index("--model") + 1]

    def __enter__(self) -> psutil.Process:
        self._log = tempfile.TemporaryFile()
        self._process = subprocess.Popen(
            [sys.executable, "manage.py", "worker", *self._arguments],
            cwd=Path(settings.BASE_DIR),
            stdout=self._log,
            stderr=self._log,
        )
        until = time.monotonic() + WORKER_SECONDS
        # Served, and entered into the catalog by the control worker.
        while not (client.is_served(self._chat_model) and catalog.find(name=self._chat_model)):
            if self._process.poll() is not None or time.monotonic() > until:
                self._log.seek(0)
                raise RuntimeError(
                    f"The worker did not start: {self._log.read().decode(errors='replace')[-500:]}"
                )
            time.sleep(0.2)
        return psutil.Process(self._process.pid)

    def __exit__(self, *details: object) -> None:
        self._process.terminate()
        self._process.wait(30)
        self._log.close()
