"""Daphne, but for one thing: what a form holds is left to Django.

    python -m chatsite.webserver [Daphne's own options] chatsite.asgi:application

Below Daphne, Twisted parses every posted form as well, only to throw the result away: it holds a whole upload in memory
several times for that, keeps all other connections waiting meanwhile, and ends the connection with a bare "400 Bad
Request" when it finds no part in a multipart body. The API owes its clients an error object instead.
"""

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


class CommandLine(CommandLineInterface):  # type: ignore[misc] # nor here
    server_class = WebServer


if __name__ == "__main__":
    CommandLine.entrypoint()
