"""Remote pictures: off, or fetched from public addresses only."""

import http.server
import socket
import threading
from collections.abc import Iterator

import pytest

from workers.api import pictures
from workers.api.errors import InvalidParameter

PNG = b"\x89PNG\r\n\x1a\n" + bytes(100)


def resolve_to(monkeypatch, *addresses: str) -> None:
    def getaddrinfo(host, port, **_):
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in addresses]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "224.0.0.1",
        "0.0.0.0",  # noqa: S104
        "255.255.255.255", "::1", "fe80::1", "fc00::1", "::ffff:10.0.0.1", "2002:7f00:1::", "64:ff9b::7f00:1",
    ],
)  # fmt: skip
def test_an_address_inside_is_not_public(monkeypatch, address):
    resolve_to(monkeypatch, address)
    assert pictures.public_address("example.org", 80) is None
    resolve_to(monkeypatch, "93.184.216.34", address)
    assert pictures.public_address("example.org", 80) is None, "one is enough"


@pytest.mark.parametrize("address", ["93.184.216.34", "2606:2800:220:1:248:1893:25c8:1946"])
def test_an_address_outside_is_public(monkeypatch, address):
    resolve_to(monkeypatch, address)
    assert pictures.public_address("example.org", 80) == address


def test_a_name_that_does_not_resolve_has_no_address():
    assert pictures.public_address("nowhere.invalid", 80) is None
    assert pictures.public_address("a" * 300, 80) is None


@pytest.fixture
def site() -> Iterator[int]:
    """The port of a server with pictures on this machine."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            body = {"/a.png": PNG, "/page": b"<html>", "/large": PNG + bytes(pictures.LARGEST)}.get(self.path)
            self.send_response(302 if self.path == "/moved" else 200 if body else 404)
            self.send_header("Location", "/a.png")
            self.end_headers()
            self.wfile.write(body or b"")

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.server_address[1]
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def allowed(settings, monkeypatch):
    """Remote pictures are on, and this machine stands for the net."""
    settings.API_REMOTE_IMAGES = True
    monkeypatch.setattr(pictures, "public_address", lambda host, port: "127.0.0.1")


def test_a_public_picture_is_fetched_from_the_address_that_was_checked(allowed, site):
    url = pictures.read(f"http://pictures.example.org:{site}/a.png", "url")
    assert url.startswith("data:image/png;base64,")


@pytest.mark.parametrize("path", ["/page", "/moved", "/missing", "/large"])
def test_what_is_not_a_picture_is_refused(allowed, site, path):
    with pytest.raises(InvalidParameter) as caught:
        pictures.read(f"http://pictures.example.org:{site}{path}", "url")
    assert caught.value.param == "url"


def test_an_inner_address_is_not_even_asked(settings, site):
    settings.API_REMOTE_IMAGES = True
    with pytest.raises(InvalidParameter, match="public address"):
        pictures.read(f"http://127.0.0.1:{site}/a.png", "url")


@pytest.mark.parametrize(
    "url", ["http://user:word@example.org/", "http://example.org:0/", "http:///a", "ftp://a/b"]
)
def test_an_odd_address_is_refused(settings, url):
    settings.API_REMOTE_IMAGES = True
    with pytest.raises(InvalidParameter):
        pictures.read(url, "url")
