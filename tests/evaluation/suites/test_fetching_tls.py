"""The connection itself, against a server of our own with a certificate of its own."""

import http.server
import shutil
import ssl
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from evaluation.suites import fetching

OPENSSL = shutil.which("openssl") or ""
pytestmark = pytest.mark.skipif(not OPENSSL, reason="openssl makes the certificate and is not installed")


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = f"{self.headers['Host']} {self.path}".encode()
        self.send_response(302 if self.path == "/moved" else 200)
        self.send_header("Location", "https://elsewhere.example/")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's own name
        """Quiet."""


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Key and certificate for suite.example in one file."""
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    options = (
        "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=suite.example"
    )
    made = subprocess.run(
        [
            OPENSSL,
            *options.split(),
            "-addext",
            "subjectAltName=DNS:suite.example",
            "-keyout",
            "-",
            "-out",
            "-",
        ],
        check=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    path.write_bytes(made.stdout)
    return path


@pytest.fixture
def port(certificate: Path) -> Iterator[int]:
    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield server.server_port
    server.shutdown()
    server.server_close()
    thread.join()


def test_it_asks_the_given_address_for_the_name(port, certificate, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    reply = fetching.get(urlsplit(f"https://suite.example:{port}/set.jsonl?v=2#top"), "127.0.0.1")
    assert (reply.status, reply.body.decode()) == (200, f"suite.example:{port} /set.jsonl?v=2")


def test_it_reports_where_a_page_has_moved(port, certificate, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    reply = fetching.get(urlsplit(f"https://suite.example:{port}/moved"), "127.0.0.1")
    assert (reply.status, reply.location, reply.body) == (302, "https://elsewhere.example/", b"")


def test_it_refuses_a_certificate_for_another_name(port, certificate, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with pytest.raises(ssl.SSLCertVerificationError):
        fetching.get(urlsplit(f"https://other.example:{port}/"), "127.0.0.1")


def test_it_refuses_a_certificate_that_nobody_vouches_for(port):
    with pytest.raises(ssl.SSLCertVerificationError):
        fetching.get(urlsplit(f"https://suite.example:{port}/"), "127.0.0.1")
