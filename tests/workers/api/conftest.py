"""A client with a key, and a parrot to talk to."""

import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.test import Client

import chatsite.accounts.tasks  # noqa: F401 - registers the task that API requests report to
from chatsite.accounts.services import api_keys
from tests.workers.support import PATIENCE
from workers.api import threads
from workers.api.chat import serving as chat_serving
from workers.api.responses import serving as responses_serving


@pytest.fixture(autouse=True)
def _fresh_threads(monkeypatch) -> Iterator[None]:
    """Threads keep their database connections, which the next test may not use."""
    pool = ThreadPoolExecutor(8, thread_name_prefix="api")
    monkeypatch.setattr(threads, "_pool", pool)
    yield
    pool.shutdown()


@pytest.fixture(autouse=True)
def _patience_for_a_status(monkeypatch) -> None:
    """On a busy machine a worker may take longer to refuse than the moment after which headers are sent."""
    for serving in (chat_serving, responses_serving):
        monkeypatch.setattr(serving, "PATIENCE_FOR_A_STATUS", 10.0)


@pytest.fixture
def key(alice) -> str:
    """Alice's API key."""
    return api_keys.create(owner=alice, name="tests")[1]


class Api:
    """Django's test client with a key, for JSON. Synchronous: the work happens in the test's own transaction."""

    def __init__(self, key: str) -> None:
        self._client = Client()
        self.headers = {"authorization": f"Bearer {key}"}

    def get(self, path: str, **options: Any) -> Any:
        return self._client.get(path, **{"headers": self.headers, **options})

    def post(self, path: str, body: Any, **options: Any) -> Any:
        content = body if isinstance(body, (bytes, str)) else json.dumps(body)
        options = {"content_type": "application/json", "headers": self.headers, **options}
        return self._client.post(path, content, **options)

    def chat(self, _headers: dict[str, str] | None = None, **body: Any) -> Any:
        """A chat completion that is fine but for `body`; `...` leaves a key out."""
        body = {"model": "parrot", "messages": [{"role": "user", "content": "Hello there"}], **body}
        body = {name: value for name, value in body.items() if value is not ...}
        return self.post("/v1/chat/completions", body, headers={**self.headers, **(_headers or {})})


@pytest.fixture
def api(key, parrot, workers_client) -> Api:
    return Api(key)


def error_of(response: Any) -> dict[str, Any]:
    """The error object of a response, after checking that it is exactly one."""
    assert response["content-type"] == "application/json", response.content
    body = response.json()
    assert set(body) == {"error"}
    assert set(body["error"]) == {"message", "type", "param", "code"}
    assert body["error"]["message"]
    error: dict[str, Any] = body["error"]
    return error


@dataclass
class LiveServer:
    """A Daphne of the session's own; see `liveserver.py` for its chat models."""

    port: int
    keys: dict[str, str]

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def state(self) -> dict[str, Any]:
        state: dict[str, Any] = self._ask("state")
        return state

    @contextmanager
    def keeping_alive_after(self, seconds: float) -> Iterator[None]:
        """Streams that are silent for so long get a comment; a sixth of it is how long they wait for a status."""
        before = self._ask(f"keep-alive/{seconds}")
        try:
            yield
        finally:
            self._ask(f"keep-alive/{before}")

    def _ask(self, what: str) -> Any:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/_test/{what}", timeout=60) as answer:
            return json.load(answer)

    def wait_for(self, condition: Callable[[dict[str, Any]], Any], seconds: float = PATIENCE) -> Any:
        """Wait until `condition` of the server's state is true, and return what it returned."""
        until = time.monotonic() + seconds
        while not (met := condition(self.state())) and time.monotonic() < until:
            time.sleep(0.02)
        return met


@pytest.fixture(scope="session")
def live(valkey_url: str, tmp_path_factory) -> Iterator[LiveServer]:
    folder: Path = tmp_path_factory.mktemp("live")
    database = valkey_url.replace("db=0", "db=1")  # other tests empty the first one
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "tests.workers.api.liveserver", folder, database],
            cwd=django_settings.BASE_DIR,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
        )
        assert server.stdin
        assert server.stdout
        try:
            line = server.stdout.readline()
            assert line, f"The live server did not start:\n{(folder / 'log').read_text()}"
            yield LiveServer(**json.loads(line))
        finally:
            server.stdin.close()
            server.stdout.close()
            try:
                server.wait(30)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()
