"""Daphne, but for two things that it leaves to its users.

    python -m chatsite.webserver [Daphne's own options] chatsite.asgi:application

What a form holds is left to Django. Below Daphne, Twisted parses every posted form as well, only to throw the result
away: it holds a whole upload in memory several times for that, keeps all other connections waiting meanwhile, and ends
the connection with a bare "400 Bad Request" when it finds no part in a multipart body. The API owes an error object
instead.

A body that came in chunks has a length once it is whole, and Django takes a form without one for an empty form. Clients
that stream a file send it so (`openai` for Node.js does).
"""

import io
from typing import Any

from daphne.cli import CommandLineInterface
from daphne.server import Server
from twisted.web.http import Request


class WebServer(Server):  # type: ignore[misc] # Daphne carries no types
    def protocol_connected(self, protocol: Any) -> None:
        """A request or a websocket begins; nothing of its body has been read yet."""
        super().protocol_connected(protocol)
        if isinstance(protocol, Request):
            # An argument of Twisted's constructor, which Daphne calls without it.
            protocol._parsePOSTFormSubmission = False

    def create_application(self, protocol: Any, scope: dict[str, Any]) -> Any:
        """A request has come in whole, or a websocket wants to be opened."""
        if scope["type"] == "http":
            scope["headers"] = _with_length(scope["headers"], protocol.content)
        return super().create_application(protocol, scope)


def _with_length(headers: list[tuple[bytes, bytes]], body: io.IOBase) -> list[tuple[bytes, bytes]]:
    """As RFC 9112, 7.1.3, has it for whoever has decoded the chunks. Leaves `body` at its beginning."""
    if not any(name == b"transfer-encoding" for name, _ in headers):
        return headers
    length = body.seek(0, io.SEEK_END)
    body.seek(0)
    kept = [(name, value) for name, value in headers if name != b"transfer-encoding"]
    return [*kept, (b"content-length", b"%d" % length)]


class CommandLine(CommandLineInterface):  # type: ignore[misc] # nor here
    server_class = WebServer


if __name__ == "__main__":
    CommandLine.entrypoint()
