"""The true product under test: `manage.py up` with the real weights, in a data directory of its own."""

import contextlib
import ctypes
import importlib.util
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
import redis

from tests.ports import free_port
from workers.protocol import WorkerStatus

ROOT = Path(__file__).resolve().parents[2]
SMOLLM2 = "smollm2-135m-instruct"
# Seconds: only how long a test may hang before it fails, never what it measures.
PATIENCE = 300
keep_folders = False
"""A test has failed: what the stacks wrote stays, for whoever wants to know why."""


def end_with_the_tests() -> None:
    """In a new child: SIGTERM it when pytest is killed, which would otherwise leave a stack running. Linux only."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG


def skip_without(*libraries: str) -> None:
    """Skip a test file where one of them is not installed. Unlike `importorskip` it loads none of them."""
    for library in libraries:
        if importlib.util.find_spec(library) is None:
            pytest.skip(f"{library} is not installed: pip install '.[train]'", allow_module_level=True)


def until(condition, what: str, seconds: float = PATIENCE):
    """The first true value of `condition()`; fails after `seconds`."""
    end = time.monotonic() + seconds
    while True:
        if value := condition():
            return value
        assert time.monotonic() < end, f"{what} did not happen within {seconds:g} s"
        time.sleep(0.05)


class Stack:
    """One running product. `close` stops it as an operator would."""

    def __init__(self, *arguments: str, **environment: str):
        self.data = Path(tempfile.mkdtemp(prefix="chatsite-flow-"))
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("CHATSITE_")}
        for name in ("DATABASE_URL", "REDIS_URL", "DJANGO_SETTINGS_MODULE", "OMP_NUM_THREADS"):
            inherited.pop(name, None)
        self.environment = {**inherited, "CHATSITE_DATA": str(self.data), "NO_COLOR": "1", **environment}
        self.arguments = arguments
        self.log = self.data / "up.log"
        self.process = self._start()
        self.children: list[subprocess.Popen[bytes]] = []

    def _start(self) -> subprocess.Popen[bytes]:
        with self.log.open("wb") as output:
            return subprocess.Popen(
                [sys.executable, "manage.py", "up", "--port", str(self.port), *self.arguments],
                cwd=ROOT,
                env=self.environment,
                stdout=output,
                stderr=output,
                preexec_fn=end_with_the_tests,
            )

    def restart(self) -> "Stack":
        """Stop, and start again with the same data; `output` begins anew."""
        self.stop()
        self.children = []
        self.process = self._start()
        return self.wait_ready()

    def output(self) -> str:
        return self.log.read_text(errors="replace")

    def wait_ready(self, seconds: float = PATIENCE) -> "Stack":
        end = time.monotonic() + seconds
        while "Ready:" not in self.output():
            assert self.process.poll() is None, f"`up` ended:\n{self.output()}"
            assert time.monotonic() < end, f"`up` is not ready:\n{self.output()}"
            time.sleep(0.1)
        return self

    @property
    def admin_password(self) -> str:
        found = re.search(r"password: (\S+)", self.output())
        assert found, self.output()
        return found.group(1)

    def manage(self, *arguments: str, timeout: float = PATIENCE) -> str:
        done = subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=ROOT,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=timeout,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        """What the database answers, without the seconds that a process of Django takes to start."""
        with contextlib.closing(sqlite3.connect(self.data / "db.sqlite3", timeout=30)) as database:
            return database.execute(query, values).fetchall()

    def key(self, username: str = "admin") -> str:
        return self.manage("create_api_key", username)

    def add_worker(
        self, model: str, script: str | None = None, name: str = "", *, engine: str = "scripted"
    ) -> psutil.Process:
        """Another `manage.py worker` beside the stack: scripted, or the catalog's model when there is no script.

        With another `engine`, `script` is its checkpoint.
        """
        (worker,) = self.add_workers(model, script, (name or f"{model}-{len(self.children)}",), engine=engine)
        return worker

    def add_workers(
        self, model: str, script: str | None, names: Sequence[str], *, engine: str = "scripted"
    ) -> list[psutil.Process]:
        """Several of the same chat model, which start at the same time."""
        command = [sys.executable, "manage.py", "worker", "--model", model]
        command += ["--engine", engine, "--checkpoint", script] if script is not None else []
        started = [self._start_worker([*command, "--name", name]) for name in names]

        def all_alive() -> bool:
            for child, log in started:
                assert child.poll() is None, log.read_text()
            return {child.pid for child, _ in started} <= {status.pid for status in self.statuses()}

        until(all_alive, f"the start of {', '.join(names)}")
        # Entered into the catalog by the control worker, from the heartbeat.
        catalog = "SELECT name FROM workers_chatmodel WHERE name = ?"
        until(lambda: self.rows(catalog, model), f"{model} in the catalog")
        return [psutil.Process(child.pid) for child, _ in started]

    def _start_worker(self, command: list[str]) -> tuple[subprocess.Popen[bytes], Path]:
        """The process and the file that it writes to."""
        log = self.data / f"extra-worker-{len(self.children)}.log"
        with log.open("wb") as output:
            child = subprocess.Popen(
                command,
                cwd=ROOT,
                env=self.environment,
                stdout=output,
                stderr=output,
                preexec_fn=end_with_the_tests,
            )
        self.children.append(child)
        return child, log

    def broker(self) -> redis.Redis:
        return redis.Redis.from_url(f"unix://{self.data}/run/valkey.sock")

    def statuses(self) -> list[WorkerStatus]:
        with self.broker() as broker:
            beats = [broker.get(key) for key in broker.scan_iter("chatsite:worker:*")]
        return [WorkerStatus.from_json(beat) for beat in beats if beat]

    def worker_of(self, model: str) -> psutil.Process:
        """The live process that hosts `model` (the first one)."""
        pid = until(lambda: [s.pid for s in self.statuses() if s.serves(model)], f"a heartbeat for {model}")[
            0
        ]
        return psutil.Process(pid)

    def busy_of(self, names: Collection[str]) -> str:
        """The one of these workers that answers, once its heartbeat says so."""
        beats = lambda: [s.worker for s in self.statuses() if s.in_flight and s.worker in names]  # noqa: E731
        busy: str = until(beats, f"work for {', '.join(names)}")[0]
        return busy

    def in_flight(self, model: str) -> int:
        return sum(s.in_flight for s in self.statuses() if s.serves(model))

    def everything(self) -> list[psutil.Process]:
        process = psutil.Process(self.process.pid)
        return [process, *process.children(recursive=True)]

    def part(self, word: str) -> psutil.Process | None:
        """The live process with `word` in its command line."""
        for process in self.everything():
            with contextlib.suppress(psutil.NoSuchProcess):  # or a zombie, between its end and its restart
                if word in " ".join(process.cmdline()):
                    return process
        return None

    def logs(self) -> dict[str, str]:
        return {str(path): path.read_text(errors="replace") for path in self.data.rglob("*.log*")}

    def ask(self, key: str, model: str, text: str, **body) -> httpx.Response:
        """One plain chat completion."""
        return httpx.post(
            f"{self.url}/v1/chat/completions",
            headers={"Authorization": f"Bearer {key}"},
            json={"model": model, "messages": [{"role": "user", "content": text}], **body},
            timeout=PATIENCE,
            trust_env=False,
        )

    def stop(self) -> None:
        for child in self.children:
            child.terminate()
        for child in self.children:
            child.wait(PATIENCE)
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(PATIENCE)

    def close(self) -> None:
        """Stop it, and remove its folder unless something went wrong."""
        self.stop()
        if not keep_folders and sys.exc_info()[0] is None:
            shutil.rmtree(self.data, ignore_errors=True)
