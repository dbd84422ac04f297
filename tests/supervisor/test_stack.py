"""The children of the product, and the address they share."""

import importlib.util
import socket
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from chatsite.supervisor import stack
from chatsite.supervisor.children import Stage
from tests.supervisor.conftest import ROOT


def test_it_refuses_a_taken_port_and_names_another():
    listener, address = stack.listen("127.0.0.1", 0)
    with listener, pytest.raises(stack.CannotListen) as refusal:
        stack.listen("127.0.0.1", address.port)

    assert f"port {address.port} on 127.0.0.1 is taken by another program" in str(refusal.value)
    assert f"--port {address.port + 1}" in str(refusal.value)


@pytest.mark.parametrize("host", ["a b", "300.1.1.1", "\x00"])
def test_it_refuses_a_host_that_is_no_address(host):
    with pytest.raises(stack.CannotListen, match="--host"):
        stack.listen(host, 0)


def test_it_refuses_an_address_of_another_machine():
    with pytest.raises(stack.CannotListen, match=r"cannot listen on 192\.0\.2\.1"):
        stack.listen("192.0.2.1", 0)


def test_it_finds_a_free_port_for_port_0():
    listener, address = stack.listen("127.0.0.1", 0)
    with listener, socket.create_connection(("127.0.0.1", address.port), timeout=60):
        assert address.url == f"http://127.0.0.1:{address.port}"


@pytest.mark.parametrize(
    ("host", "url", "loopback"),
    [
        ("127.0.0.1", "http://127.0.0.1:80", True),
        ("localhost", "http://localhost:80", True),
        ("0.0.0.0", "http://127.0.0.1:80", False),  # noqa: S104
        ("::", "http://[::1]:80", False),
        ("::1", "http://[::1]:80", True),
        ("192.168.1.5", "http://192.168.1.5:80", False),
    ],
)
def test_it_prints_an_address_that_works_at_this_machine(host, url, loopback):
    address = stack.Address(host, 80)

    assert (address.url, address.loopback) == (url, loopback)


def test_the_control_worker_trains_where_it_is_told_to():
    assert stack.control(root=ROOT).command[-1] == "control"
    assert stack.control(root=ROOT, train=True).command[-2:] == ("control", "--train")


def test_it_can_train_where_the_libraries_are_installed(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "peft" else object())
    assert not stack.can_train()
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    assert stack.can_train()


def test_it_starts_as_many_workers_as_asked_for_each_chat_model():
    specs = stack.model_workers(root=ROOT, chat_models=["org/a:1", "org_a:1", "b"], processes=2)

    assert [spec.name for spec in specs] == [
        "worker-org_a_1",
        "worker-org_a_1-2",
        "worker-org_a_1-3",
        "worker-org_a_1-4",
        "worker-b",
        "worker-b-2",
    ]
    assert {spec.stage for spec in specs} == {Stage.MODELS}
    assert specs[0].command[-3:] == ("worker", "--model", "org/a:1")


def test_it_tells_workers_after_how_long_they_free_the_memory():
    (spec,) = stack.model_workers(root=ROOT, chat_models=["a"], processes=1, idle_unload=7.5)

    assert spec.command[-5:] == ("worker", "--model", "a", "--idle-unload", "7.5")


def test_it_gives_the_broker_no_port_and_its_socket_to_nobody_else(tmp_path):
    command = " ".join(stack.broker(unix_socket=tmp_path / "x.sock", folder=tmp_path).command)

    assert "--port 0 " in command
    assert "--unixsocketperm 600" in command
    assert "--appendonly yes --appendfsync everysec" in command


@pytest.mark.parametrize(
    ("allowed", "host"),
    [
        (["localhost", "127.0.0.1"], "localhost"),
        (["*"], "localhost"),
        ([".chat.example"], "chat.example"),
        ([], "localhost"),
    ],
)
def test_it_asks_under_a_name_that_the_site_allows(allowed, host):
    assert stack.probe_host(allowed) == host


class Site(BaseHTTPRequestHandler):
    answer: tuple[int, bytes] = (200, b"{}")
    hosts: list[str] = []

    def do_GET(self):
        self.hosts.append(self.headers["Host"])
        self.send_response(self.answer[0])
        self.end_headers()
        self.wfile.write(self.answer[1])

    def log_message(self, *args):
        pass


@pytest.fixture
def site():
    with HTTPServer(("127.0.0.1", 0), Site) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/readyz"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("answer", "missing"),
    [
        ((200, b"{}"), ""),
        (
            (503, b'{"status": "unavailable", "database": "ok", "broker": "ok", "worker": "missing"}'),
            "worker missing",
        ),
        ((503, b'{"broker": "failed", "worker": "unknown"}'), "broker failed, worker unknown"),
        ((500, b"<h1>Server Error</h1>"), "the web server answers 500"),
        ((503, b"[1]"), "the web server answers 503"),
        ((400, b""), "the web server answers 400"),
    ],
)
def test_it_says_what_is_missing(site, monkeypatch, answer, missing):
    monkeypatch.setattr(Site, "answer", answer)
    monkeypatch.setattr(Site, "hosts", [])

    assert stack.HttpProbe(site, "chat.example")() == missing
    assert Site.hosts == ["chat.example"]


def test_it_does_not_ask_a_proxy_for_its_own_address(site, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")

    assert stack.HttpProbe(site, "localhost")() == ""


def test_it_says_when_nobody_listens():
    assert "the web server does not answer" in stack.HttpProbe("http://127.0.0.1:1/readyz", "localhost")()


def test_it_says_why_a_broker_is_silent_without_its_password():
    reason = stack.why_silent("redis://:geheim@127.0.0.1:1/0")

    assert "refused" in reason
    assert "geheim" not in reason


def test_it_says_when_a_broker_url_is_nonsense():
    assert stack.why_silent("redis://127.0.0.1:notaport/0")
