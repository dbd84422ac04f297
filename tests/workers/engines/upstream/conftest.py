"""A server that does what a test tells it to."""

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from workers.engines.upstream import calls
from workers.engines.upstream.engine import UpstreamEngine

Plan = Callable[["Handler"], None]


class Server(ThreadingHTTPServer):
    """Answers each POST with the next of `plans` (the last one again when they run out)."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.plans: list[Plan] = []
        self.asked: list[dict[str, Any]] = []
        self.keys: list[str] = []
        self.models: Any = {"data": [{"id": "tiny", "max_model_len": 4096}]}
        self.models_status = 200
        self.gone = threading.Event()
        """A client went away in mid-answer."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"


class Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.answer(self.server.models_status, self.server.models)

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append({**body, "path": self.path})
        self.server.keys.append(self.headers.get("Authorization") or self.headers.get("api-key") or "")
        plans = self.server.plans
        plan = plans.pop(0) if len(plans) > 1 else plans[0]
        plan(self)

    def answer(self, status: int, data: Any, **headers: str) -> None:
        body = data if isinstance(data, bytes) else json.dumps(data).encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def begin(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True

    def say(self, data: Any) -> None:
        try:
            self.wfile.write(f"data: {data if isinstance(data, str) else json.dumps(data)}\n\n".encode())
            self.wfile.flush()
        except OSError:
            self.server.gone.set()
            raise

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base's name
        """Quietly."""


def chunk(text: str = "", finish: str | None = None, **delta: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": {"content": text, **delta}, "finish_reason": finish}]}


USAGE = {"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 3}}


def says(*texts: str, usage: bool = True) -> Plan:
    """A whole answer."""

    def plan(handler: Handler) -> None:
        handler.begin()
        for text in texts:
            handler.say(chunk(text))
        handler.say(chunk(finish="stop"))
        if usage:
            handler.say(USAGE)
        handler.say("[DONE]")

    return plan


def refuses(status: int, error: Any = None, **headers: str) -> Plan:
    return lambda handler: handler.answer(status, {"error": error or {}}, **headers)


@pytest.fixture
def server() -> Iterator[Server]:
    running = Server()
    thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield running
    running.shutdown()
    running.server_close()
    thread.join()


@pytest.fixture
def make_engine(server: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., UpstreamEngine]]:
    monkeypatch.setattr(calls, "FIRST_PAUSE_SECONDS", 0.01)
    made: list[UpstreamEngine] = []

    def make(checkpoint: str = "", **values: Any) -> UpstreamEngine:
        engine = UpstreamEngine("far", checkpoint or f"vllm:tiny?base_url={server.url}", **values)
        made.append(engine)
        return engine

    yield make
    for engine in made:
        engine.close()
