"""A supervisor in a process of its own, with tiny children that are told what to do on their command line."""

import contextlib
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest

T = TypeVar("T")
# Seconds: only how long a test may hang before it fails, never what it measures.
PATIENCE = 120.0
ROOT = Path(__file__).resolve().parents[2]

# Each child says its name and process in the shared file `events`, and there again when it is told to stop.
CHILD_PRELUDE = """
import os, signal, subprocess, sys, time
def tell(word):
    descriptor = os.open(EVENTS, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(descriptor, f"{word} {NAME} {os.getpid()}\\n".encode())
    os.close(descriptor)
def on_term(number, frame):
    tell("stopped")
    sys.exit(0)
signal.signal(signal.SIGTERM, on_term)
tell("started")
"""
SLEEP = "while True: time.sleep(0.05)"


def until(ask: Callable[[], T], seconds: float = PATIENCE) -> T:
    """Ask until the answer is true; fail when it never is."""
    deadline = time.monotonic() + seconds
    while not (answer := ask()):
        assert time.monotonic() < deadline, f"waited {seconds} s in vain"
        time.sleep(0.02)
    return answer


def command_line(pid: str) -> bytes:
    """Empty when the process is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""


def state_of(pid: int) -> str:
    """What proc(5) calls it: R runs or could, S sleeps, Z has ended. Empty when the process is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return ""


def alive(pid: int) -> bool:
    """Whether the process runs. A zombie, which nobody has waited for, does not."""
    return state_of(pid) not in ("", "Z", "X")


class Stack:
    """A supervisor over scripted children."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.events_file = folder / "events"
        self.events_file.touch()
        self.output = folder / "console.txt"
        self.specs: list[str] = []
        self.process: subprocess.Popen[bytes] | None = None

    def add(
        self,
        name: str,
        body: str = SLEEP,
        *,
        stage: str = "MODELS",
        stop_seconds: float = PATIENCE / 2,
        more: str = "",
    ) -> None:
        script = (
            f"EVENTS = {str(self.events_file)!r}\nNAME = {name!r}\n{CHILD_PRELUDE}\n{textwrap.dedent(body)}"
        )
        self.specs.append(
            f"ChildSpec(name={name!r}, command=({sys.executable!r}, '-c', {script!r}), stage=Stage.{stage}, "
            f"stop_seconds={stop_seconds}{', ' + more if more else ''})"
        )

    def start(self, *, backoff: str = "Backoff(first=0.05)", more: str = "", prelude: str = "") -> "Stack":
        program = "\n".join(
            [
                "import sys, time",
                "from pathlib import Path",
                "from chatsite.supervisor.children import Backoff, ChildSpec, Stage",
                "from chatsite.supervisor.console import Console",
                "from chatsite.supervisor.supervisor import Supervisor",
                f"folder = Path({str(self.folder)!r})",
                prelude,
                f"specs = [{', '.join(self.specs)}]",
                f"sys.exit(Supervisor(specs, log_folder=folder / 'log', console=Console(), "
                f"new_backoff=lambda: {backoff}{', ' + more if more else ''}).run())",
            ]
        )
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-c", program],
                cwd=ROOT,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        return self

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def events(self, word: str = "", name: str = "") -> list[tuple[str, str, int]]:
        rows = [line.split() for line in self.events_file.read_text().splitlines()]
        return [(w, n, int(p)) for w, n, p in rows if w.startswith(word) and n.startswith(name)]

    def pid_of(self, name: str, start: int = 0) -> int:
        """The process of the child `name`, waiting for its start number `start`."""
        return until(lambda: self.events("started", name)[start : start + 1])[0][2]

    def said(self) -> str:
        return self.output.read_text()

    def log(self, name: str) -> str:
        return (self.folder / "log" / f"{name}.log").read_text()

    def signal(self, number: signal.Signals = signal.SIGTERM) -> None:
        os.kill(self.pid, number)

    def wait(self, seconds: float = PATIENCE) -> int:
        assert self.process is not None
        return self.process.wait(seconds)

    def watchdog_pid(self) -> int:
        """The process of the watchdog; 0 while there is none, as between the death of one and the start of the next."""
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        return next((int(pid) for pid in children if command_line(pid).endswith(b"/watchdog.py\0")), 0)

    def until_it_rests(self) -> None:
        """Until the supervisor waits for something to happen: what it does once a child runs has been done by then."""
        until(lambda: state_of(self.pid) == "S")

    def clean_up(self) -> None:
        if self.process and self.process.poll() is None:
            # Not killed: a child that is being restarted in this moment would be nobody's.
            self.process.terminate()
            try:
                self.process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        for _, _, pid in self.events():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    made = Stack(tmp_path)
    yield made
    made.clean_up()
