"""A server that the worker starts itself."""

import os
import signal
import sys
import threading

import psutil
import pytest

from tests.workers.support import wait_until
from workers.engines.base import EngineError
from workers.engines.upstream import launch
from workers.engines.upstream.engine import UpstreamEngine
from workers.engines.upstream.launch import LaunchedServer, read_command

PROGRAM = """
import http.server, json, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = json.dumps({"data": [{"id": "tiny"}]}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_): pass
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


@pytest.fixture
def command(tmp_path) -> str:
    program = tmp_path / "server.py"
    program.write_text(PROGRAM, encoding="utf-8")
    return f"{sys.executable} {program} {{port}}"


def test_it_is_started_waited_for_and_ended(command):
    engine = UpstreamEngine("far", "vllm:tiny", launch=command)
    assert engine._server
    pid = engine._server.pid
    assert psutil.pid_exists(pid)

    engine.close()

    wait_until(lambda: not psutil.pid_exists(pid), 60)


def test_it_comes_back_when_it_dies(command, monkeypatch):
    monkeypatch.setattr(launch, "FIRST_PAUSE_SECONDS", 0.05)
    server = LaunchedServer(command)
    try:
        server.wait_ready()
        first = server.pid
        os.kill(first, signal.SIGKILL)

        wait_until(lambda: server.pid not in {0, first} and launch.answers(server.port), 60)
    finally:
        server.close()


def test_it_outlives_the_thread_that_loaded_it(command):
    made: list[LaunchedServer] = []
    thread = threading.Thread(target=lambda: made.append(LaunchedServer(command)))
    thread.start()
    thread.join()
    server = made[0]
    try:
        server.wait_ready()
        assert server.pid
    finally:
        server.close()


def test_one_that_ends_before_it_is_ready_is_an_error():
    server = LaunchedServer(f"{sys.executable} -c 'import sys; sys.exit(3)' {{port}}")

    with pytest.raises(EngineError, match="status 3"):
        server.wait_ready()


def test_one_that_never_answers_is_an_error(monkeypatch):
    server = LaunchedServer(f"{sys.executable} -c 'import time; time.sleep(600)' {{port}}", ready_seconds=0.2)
    pid = server.pid

    with pytest.raises(EngineError, match="did not answer"):
        server.wait_ready()

    wait_until(lambda: not psutil.pid_exists(pid), 60)


def test_a_program_that_is_not_there_is_named():
    with pytest.raises(EngineError, match="no-such-program"):
        LaunchedServer("no-such-program {port}")


@pytest.mark.parametrize(
    ("command", "named"), [("", "empty"), ("vllm serve 'm", "command line"), ("vllm serve m", "port")]
)
def test_a_command_that_cannot_work_is_refused(command, named):
    with pytest.raises(EngineError, match=named):
        read_command(command)
