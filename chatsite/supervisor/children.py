"""One child process: how it is started, watched, restarted and stopped."""

import asyncio
import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum

from chatsite.supervisor.console import Console
from chatsite.supervisor.logs import Output
from chatsite.supervisor.watching import Watchdog


class Stage(IntEnum):
    """When a child is stopped; it is started in the reverse order."""

    MODELS = 0
    """First: they end their replies with an event that the web still delivers and control still records."""
    WEB = 1
    CONTROL = 2
    BROKER = 3
    """Last: all others talk through it."""


@dataclass(frozen=True, slots=True)
class ChildSpec:
    """What to run."""

    name: str
    """Shown in the console; also the log file's name."""
    command: tuple[str, ...]
    stage: Stage
    stop_seconds: float = 10.0
    """From SIGTERM to SIGKILL."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Added to the supervisor's own."""
    pass_fds: tuple[int, ...] = ()
    echo: bool = True
    """Whether its warnings are shown in the console."""
    ready: Callable[[], bool] | None = None
    """Asked, in a thread, until it says yes; later stages wait for it."""


@dataclass(slots=True)
class Backoff:
    """The pause before a restart: doubled each time, forgotten once the child lived for a while."""

    first: float = 0.5
    longest: float = 30.0
    settled_after: float = 20.0
    deaths: int = 0
    """In a row, each before it had settled."""

    def pause_after(self, lived: float) -> float:
        """Seconds to wait, for a child that died after `lived` seconds."""
        self.deaths = 1 if lived >= self.settled_after else self.deaths + 1
        return float(min(self.first * 2 ** min(self.deaths - 1, 30), self.longest))


def describe_end(code: int) -> str:
    """A `Popen.returncode` in words."""
    if code == 0:
        return "ended by itself (exit code 0)"
    if code > 0:
        return f"ended with exit code {code}"
    try:
        number = signal.Signals(-code)
    except ValueError:
        return f"was killed by signal {-code}"
    reasons = {
        signal.SIGKILL: " (by somebody, or by the system because memory ran out)",
        signal.SIGSEGV: " (a crash in native code)",
        signal.SIGABRT: " (a failed assertion in native code)",
        signal.SIGILL: " (this processor lacks an instruction the program uses)",
        signal.SIGBUS: " (often a full or failing disk)",
    }
    return f"was killed by {number.name}{reasons.get(number, '')}"


class Child:
    """Keeps one `ChildSpec` running until it is told to stop."""

    def __init__(
        self,
        spec: ChildSpec,
        *,
        output: Output,
        console: Console,
        watchdog: Watchdog,
        backoff: Backoff | None = None,
    ):
        self.spec = spec
        self.backoff = backoff or Backoff()
        self.starts = 0
        self._reported: list[str] = []
        self._output = output
        self._console = console
        self._watchdog = watchdog
        self._process: subprocess.Popen[bytes] | None = None
        self._exited = asyncio.Event()
        self._stopping = asyncio.Event()

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    async def keep_running(self) -> None:
        """Start it, and again after each death, until `stop`."""
        while not self._stopping.is_set():
            began = time.monotonic()
            end = await self._run_once()
            if self._stopping.is_set():
                self._output.note(f"stopped: {end}")
                break
            pause = self.backoff.pause_after(time.monotonic() - began)
            self._report(f"{end}; restarting in {pause:g} s")
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), pause)

    async def stop(self, hurry: asyncio.Event) -> None:
        """End it: SIGTERM, then after its time SIGKILL for its whole process group. `hurry` cuts that time short."""
        self._stopping.set()
        process = self._process
        if process is None:
            return
        _send(process, signal.SIGTERM)
        if not await self._ends_within(self.spec.stop_seconds, hurry):
            patience = "at once" if hurry.is_set() else f"within {self.spec.stop_seconds:g} s"
            self._console.notice(f"{self.spec.name} did not end {patience} after SIGTERM and is killed")
            _kill_group(process)
            await self._exited.wait()

    def forbid_restart(self) -> None:
        """From now on its death is not mended. Without effect on a process that runs."""
        self._stopping.set()

    def reap(self) -> None:
        """Look whether the process has ended. Called on every SIGCHLD."""
        if self._process and self._process.poll() is not None:
            self._exited.set()

    def died_before(self, times: int) -> bool:
        """Whether it died so often in a row that it will not get better by itself."""
        return self.backoff.deaths >= times

    async def _run_once(self) -> str:
        """Run the process to its end, and say how that came."""
        self._exited.clear()
        try:
            self._process = process = self._spawn()
        except OSError as error:
            return f"could not be started: {error.strerror or error} ({self.spec.command[0]})"
        self.starts += 1
        self._watchdog.add(process.pid, self.spec.stage, self.spec.stop_seconds)
        self.reap()  # it may have ended before it was in `_process`
        await self._exited.wait()
        _kill_group(process)  # grandchildren it left behind
        self._output.finish()
        self._watchdog.remove(process.pid)
        self._process = None
        assert process.returncode is not None
        return describe_end(process.returncode)

    def _spawn(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            self.spec.command,
            stdin=subprocess.DEVNULL,
            stdout=self._output.fileno(),
            stderr=self._output.fileno(),
            env={**os.environ, "PYTHONUNBUFFERED": "1", **self.spec.environment},
            pass_fds=self.spec.pass_fds,
            # A session of its own: a Ctrl-C in the terminal reaches the supervisor alone, which then stops the
            # children in order; and its process group can be killed as a whole.
            start_new_session=True,
        )

    async def _ends_within(self, seconds: float, hurry: asyncio.Event) -> bool:
        """Wait for the end of the process, at most `seconds`, and at most one second once `hurry` is set."""
        exited = asyncio.ensure_future(self._exited.wait())
        hurried = asyncio.ensure_future(hurry.wait())
        try:
            await asyncio.wait({exited, hurried}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            if not exited.done() and hurried.done():
                await asyncio.wait({exited}, timeout=min(seconds, 1.0))
            return exited.done()
        finally:
            exited.cancel()
            hurried.cancel()

    def _report(self, sentence: str) -> None:
        self._console.error(f"{self.spec.name} {sentence}")
        last_words = self._output.last_words()
        if last_words != self._reported:  # the same death again needs no second telling
            for line in last_words:
                self._console.child(self.spec.name, line)
        self._reported = last_words
        self._output.note(sentence)


def _send(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(number)


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    # The leader's pid names the group, and stays taken as long as one member lives.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
