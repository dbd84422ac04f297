"""Fetch a suite from an address that somebody typed, without letting them look into the operator's network.

Only https; every address that the name stands for must be public, and the connection goes to the very address that was
checked (so a name that changes between check and use gains nothing); redirects are checked like the first address.
"""

import http.client
import ipaddress
import socket
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import SplitResult, urljoin, urlsplit

from evaluation.suites.errors import SuiteError

LARGEST = 32 * 1024 * 1024
REDIRECTS = 3
SILENCE = 10.0
"""Seconds without a byte."""
WHOLE = 60.0
"""Seconds for everything; checked between pieces."""
PIECE = 64 * 1024


@dataclass(frozen=True, slots=True)
class Reply:
    status: int
    location: str
    body: bytes


Get = Callable[[SplitResult, str], Reply]
"""(address, IP address to connect to)"""
Resolve = Callable[[str], list[str]]


def resolve(host: str) -> list[str]:
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return [str(entry[4][0]) for entry in found]


def get(url: SplitResult, address: str) -> Reply:
    """Raises `OSError` or `http.client.HTTPException` when it cannot, `SuiteError` when there is too much of it."""
    connection = _Pinned(url, address)
    try:
        target = url._replace(scheme="", netloc="", fragment="").geturl() or "/"
        connection.request("GET", target, headers={"User-Agent": "chatsite", "Accept-Encoding": "identity"})
        response = connection.getresponse()
        body = _read(response, url.geturl()) if response.status == http.client.OK else b""
        return Reply(response.status, response.headers.get("Location", ""), body)
    finally:
        connection.close()


def fetch(url: str, *, resolve: Resolve = resolve, get: Get = get) -> str:
    """The text behind an https address. Raises `SuiteError`."""
    place = url
    for _ in range(REDIRECTS + 1):
        parts = _checked(place)
        address = _public_address(parts.hostname or "", place, resolve)
        try:
            reply = get(parts, address)
        except (OSError, http.client.HTTPException) as error:
            raise SuiteError(f"{place} cannot be fetched: {error}") from None
        if reply.status == http.client.OK:
            return _text(reply.body, place)
        if not (300 <= reply.status < 400 and reply.location):
            raise SuiteError(f"{place} answered with status {reply.status}; check the address in a browser.")
        place = urljoin(place, reply.location)
    raise SuiteError(f"{url} redirects more than {REDIRECTS} times; give the final address.")


class _Pinned(http.client.HTTPSConnection):
    """Connects to a given IP address, and checks the certificate for the name."""

    def __init__(self, url: SplitResult, address: str):
        self._tls = ssl.create_default_context()
        super().__init__(url.hostname or "", url.port or 443, timeout=SILENCE, context=self._tls)
        self._address = address

    def connect(self) -> None:
        plain = socket.create_connection((self._address, self.port), SILENCE)
        self.sock = self._tls.wrap_socket(plain, server_hostname=self.host)


def _checked(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        _ = parts.port  # raises for what is no port
    except ValueError as error:
        raise SuiteError(f"{url} is no address: {error}") from None
    if parts.scheme != "https":
        raise SuiteError(
            f"{url} is not an https address; only those are fetched. Or download it and name the file."
        )
    if not parts.hostname or parts.username or parts.password:
        raise SuiteError(
            f"{parts.hostname or url}: write the address as https://host/path, without a user name."
        )
    if not url.isascii() or not url.isprintable() or " " in url:
        raise SuiteError(f"{url!r} holds characters that must be percent-encoded in an address.")
    return parts


def _public_address(host: str, url: str, resolve: Resolve) -> str:
    try:
        addresses = resolve(host)
    except (OSError, UnicodeError) as error:
        raise SuiteError(f"{url}: the host {host} cannot be found ({error}).") from None
    for address in addresses:
        if not _is_public(address):
            raise SuiteError(
                f"{url} leads into a private network; download the file and name its path instead."
            )
    if not addresses:
        raise SuiteError(f"{url}: the host {host} has no address.")
    return addresses[0]


def _is_public(address: str) -> bool:
    ip = ipaddress.ip_address(address.split("%")[0])
    # An IPv4 address in IPv6 clothes is judged as what it is.
    inner = getattr(ip, "ipv4_mapped", None) or getattr(ip, "sixtofour", None)
    return ip.is_global and not ip.is_multicast and (inner is None or inner.is_global)


def _read(response: http.client.HTTPResponse, url: str) -> bytes:
    pieces, size, end = [], 0, time.monotonic() + WHOLE
    while piece := response.read1(PIECE):
        pieces.append(piece)
        size += len(piece)
        if size > LARGEST:
            raise SuiteError(f"{url} is larger than {LARGEST // 2**20} MiB; is it a suite at all?")
        if time.monotonic() > end:
            raise SuiteError(f"{url} took longer than {WHOLE:.0f} s; download it and name the file instead.")
    return b"".join(pieces)


def _text(body: bytes, url: str) -> str:
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise SuiteError(f"{url} is not UTF-8 text: {error}") from None
