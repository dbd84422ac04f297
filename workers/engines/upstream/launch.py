"""A server that the worker starts itself: `--launch "vllm serve …"`. Waits for its health, restarts it, ends it."""

import contextlib
import logging
import os
import shlex
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from urllib.error import HTTPError, URLError
from urllib.request import ProxyHandler, build_opener

from workers.engines.base import EngineError

logger = logging.getLogger(__name__)

# Loading weights of 70 billion parameters from a slow disk takes this long.
READY_SECONDS = 1800.0
STOP_SECONDS = 20.0
LOOK_SECONDS = 0.5
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 1.0, 60.0
# A server that ran for so long was well, and its next failure is a first one again.
WELL_SECONDS = 120.0
HEALTH_PATHS = ("/health", "/v1/models")


class LaunchedServer:
    """A child process that listens on a loopback port; `{port}` in the command stands for it.

    Dead, it is started again with growing pauses; requests meanwhile fail as with any server that is away.
    """

    def __init__(self, command: str, *, ready_seconds: float = READY_SECONDS) -> None:
        self._arguments = read_command(command)
        self._ready_seconds = ready_seconds
        self.port = _free_port()
        self._closing, self._ready, self._tried = threading.Event(), threading.Event(), threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._failure = ""
        # One thread starts it every time and lives as long as this process: the kernel ends a child with the *thread*
        # that started it.
        self._keeper = threading.Thread(target=self._keep, name="upstream-keeper", daemon=True)
        self._keeper.start()
        self._tried.wait()
        if self._failure:
            raise EngineError(self._failure)

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def pid(self) -> int:
        """Of the server that runs now; 0 between two."""
        process = self._process
        return process.pid if process and process.poll() is None else 0

    def wait_ready(self) -> str:
        """Wait until it answers, and return its address. Raises `EngineError` when it ends or takes too long."""
        end = time.monotonic() + self._ready_seconds
        while not answers(self.port):
            if not self._keeper.is_alive():
                raise EngineError(f"--launch: {self._failure}; see its output above.")
            if time.monotonic() > end:
                self.close()
                raise EngineError(
                    f"--launch: {self._arguments[0]} did not answer on port {self.port} "
                    f"within {self._ready_seconds:g} s."
                )
            self._closing.wait(LOOK_SECONDS)
        self._ready.set()
        return self.base_url

    def close(self) -> None:
        """End it and what it started; idempotent."""
        self._closing.set()
        self._keeper.join(2 * STOP_SECONDS)

    def _start(self) -> "subprocess.Popen[bytes]":
        command = [part.replace("{port}", str(self.port)) for part in self._arguments]
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=sys.stderr.fileno() if _has_file(sys.stderr) else None,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # so that its own children can be ended with it
            preexec_fn=_die_with_us() if sys.platform == "linux" else None,
        )

    def _keep(self) -> None:
        pause = FIRST_PAUSE_SECONDS
        while True:
            began = time.monotonic()
            try:
                self._process = process = self._start()
            except OSError as error:
                self._failure = (
                    f"--launch: {self._arguments[0]} cannot be started ({error.strerror or error})."
                )
            else:
                self._tried.set()
                ended_by_us = self._wait(process)
                _end(process)
                if ended_by_us:
                    return
                self._failure = f"{self._arguments[0]} ended with status {process.returncode}"
            if not self._ready.is_set():  # it was never well: somebody has to look at it
                self._tried.set()
                return
            pause = FIRST_PAUSE_SECONDS if time.monotonic() - began > WELL_SECONDS else pause
            logger.error("%s; it is started again in %.0f s.", self._failure, pause)
            if self._closing.wait(pause):
                return
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)

    def _wait(self, process: "subprocess.Popen[bytes]") -> bool:
        """Until the process ends; True when that is because we close."""
        while process.poll() is None:
            if self._closing.wait(LOOK_SECONDS):
                return True
        return self._closing.is_set()


def read_command(command: str) -> list[str]:
    """The words of a command line; no shell reads it. Raises `EngineError`."""
    try:
        arguments = shlex.split(command)
    except ValueError as error:
        raise EngineError(f"--launch: {command!r} is not a command line ({error}).") from None
    if not arguments:
        raise EngineError('--launch is empty. For example: --launch "vllm serve MODEL --port {port}".')
    if not any("{port}" in part for part in arguments):
        raise EngineError(
            "--launch: say where the port goes, for example: "
            '--launch "vllm serve MODEL --host 127.0.0.1 --port {port}".'
        )
    return arguments


def answers(port: int) -> bool:
    """Whether a server there is ready: one of the usual paths answers with 200."""
    opener = build_opener(ProxyHandler({}))
    for path in HEALTH_PATHS:
        try:
            with opener.open(f"http://127.0.0.1:{port}{path}", timeout=5):
                return True
        except HTTPError as error:
            if error.code == 503:  # it says that it is loading
                return False
        except (URLError, OSError):
            return False
    return False


def _die_with_us() -> Callable[[], None]:
    """Makes the kernel end the child when the worker is killed.

    Looked up beforehand: nothing may be imported between a fork and its exec.
    """
    import ctypes

    prctl = ctypes.CDLL(None).prctl

    def after_fork() -> None:
        prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG

    return after_fork


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def _has_file(stream: object) -> bool:
    try:
        stream.fileno()  # type: ignore[attr-defined]
    except (AttributeError, OSError, ValueError):
        return False
    return True


def _end(process: "subprocess.Popen[bytes]") -> None:
    """SIGTERM to the process and its children, SIGKILL to what is left."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(STOP_SECONDS)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(5)
