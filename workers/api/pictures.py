"""Pictures in requests: `data:` URLs, and remote ones where the operator allows them.

A server that fetches any address it is given can be used to look into the network it stands in. So remote pictures
are off unless `CHATSITE_API_REMOTE_IMAGES` is set, and then every address that a name resolves to must be a public one;
the connection goes to the very address that was checked, and redirects are not followed.
"""

import base64
import binascii
import http.client
import ipaddress
import re
import socket
import ssl
from typing import Final
from urllib.parse import SplitResult, urlsplit

from django.conf import settings

from workers.api.errors import InvalidParameter

LARGEST: Final = 7 * 2**20  # bytes of one picture
FETCH_SECONDS: Final = 10.0
SIGNATURES: Final = {
    "image/png": (b"\x89PNG\r\n\x1a\n",),
    "image/jpeg": (b"\xff\xd8\xff",),
    "image/gif": (b"GIF87a", b"GIF89a"),
    "image/webp": (b"RIFF",),
}
_DATA: Final = re.compile(r"data:(image/[a-z+.-]+);base64,", re.IGNORECASE)


def read(url: str, param: str) -> str:
    """The picture as a `data:` URL. Raises `InvalidParameter`."""
    if url[:5].lower() == "data:":
        return _checked(url, param)
    parts = _split(url, param)
    if parts.scheme not in ("http", "https"):
        raise InvalidParameter(param, "must be a data: URL with a picture in base64.")
    if not settings.API_REMOTE_IMAGES:
        raise InvalidParameter(
            param,
            "is an address on the net, which this server does not fetch. Send the picture as a data: URL.",
            code="unsupported_value",
        )
    body = _fetch(parts, param)
    return _data_url(body, param)


def _checked(url: str, param: str) -> str:
    found = _DATA.match(url)
    if not found or found[1].lower() not in SIGNATURES:
        raise InvalidParameter(param, f"must begin with data:image/TYPE;base64, for a TYPE of {_types()}.")
    try:
        body = base64.b64decode(url[found.end() :], validate=True)
    except (binascii.Error, ValueError):
        raise InvalidParameter(param, "is not base64 behind the comma.") from None
    return _data_url(body, param)


def _data_url(body: bytes, param: str) -> str:
    """With the type that the bytes themselves show."""
    if len(body) > LARGEST:
        raise InvalidParameter(param, f"is larger than {LARGEST // 2**20} MiB.")
    for media_type, signatures in SIGNATURES.items():
        if body.startswith(signatures) and (media_type != "image/webp" or body[8:12] == b"WEBP"):
            return f"data:{media_type};base64,{base64.b64encode(body).decode()}"
    raise InvalidParameter(param, f"is not a picture of a known kind ({_types()}).")


def _types() -> str:
    return ", ".join(media_type.removeprefix("image/") for media_type in SIGNATURES)


def _split(url: str, param: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise InvalidParameter(param, "is not a valid URL.") from None
    if parts.scheme in ("http", "https") and (not parts.hostname or parts.username or port == 0):
        raise InvalidParameter(param, "is not a URL that can be fetched.")
    return parts


def public_address(host: str, port: int) -> str | None:
    """The first address of `host`; None unless all of them are public ones."""
    try:
        found = {str(entry[4][0]) for entry in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)}
    except (OSError, UnicodeError):
        return None
    addresses = [ipaddress.ip_address(address.partition("%")[0]) for address in sorted(found)]
    if not addresses or not all(_is_public(address) for address in addresses):
        return None
    return str(addresses[0])


def _is_public(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    if isinstance(address, ipaddress.IPv6Address):
        # Addresses of the old kind in a new dress must not slip through.
        inner = address.ipv4_mapped or address.sixtofour or (address.teredo[1] if address.teredo else None)
        if inner is not None:
            return _is_public(inner)
        if address in ipaddress.ip_network("64:ff9b::/96"):
            return False
    return address.is_global and not address.is_multicast


def _fetch(parts: SplitResult, param: str) -> bytes:
    host = parts.hostname or ""
    secure = parts.scheme == "https"
    port = parts.port or (443 if secure else 80)
    address = public_address(host, port)
    if address is None:
        raise InvalidParameter(param, "is not at a public address.", code="unsupported_value")
    connection = _connection(host, port, address, secure=secure)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    try:
        connection.request("GET", path, headers={"User-Agent": "chatsite", "Accept": "image/*"})
        with connection.getresponse() as response:  # it has the socket as well as the connection
            if response.status != 200:
                raise InvalidParameter(param, f"answered {response.status} when it was fetched.")
            body = response.read(LARGEST + 1)
    except (OSError, http.client.HTTPException, UnicodeError, ValueError):
        raise InvalidParameter(param, "could not be fetched.") from None
    finally:
        connection.close()
    return body


def _connection(host: str, port: int, address: str, *, secure: bool) -> http.client.HTTPConnection:
    """A connection to `address` that speaks to `host`: a second look-up of the name could say something else."""

    def connect(*_: object, **__: object) -> socket.socket:
        return socket.create_connection((address, port), FETCH_SECONDS)

    connection: http.client.HTTPConnection
    if secure:
        connection = http.client.HTTPSConnection(
            host, port, timeout=FETCH_SECONDS, context=ssl.create_default_context()
        )
    else:
        connection = http.client.HTTPConnection(host, port, timeout=FETCH_SECONDS)
    connection._create_connection = connect  # type: ignore[attr-defined]  # the one place where it looks names up
    return connection
