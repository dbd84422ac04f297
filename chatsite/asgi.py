"""The ASGI application: HTTP to Django, websockets to the arena's consumers.

Nothing imported from here may load torch, an engine or the engine host; `tests/architecture` checks it.
"""

import os
from typing import Any

import django
from channels.auth import AuthMiddlewareStack
from channels.routing import ProtocolTypeRouter, URLRouter
from django.core.handlers.asgi import ASGIHandler
from django.urls import re_path

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "chatsite.settings")

# Before the import of the routes: the consumers import models.
django.setup(set_prefix=False)

from arena.routing import websocket_urlpatterns  # noqa: E402
from chatsite.origins import OwnPagesOnly, deny  # noqa: E402
from workers.api.middleware import is_ours  # noqa: E402


class Handler(ASGIHandler):
    """Django's own, but for the thread that it starts and ends for each request.

    Django tells its signals of a request's start and end, and closes its response, in that thread. A request under
    `/v1` does its work in threads that stay (`workers.api.threads`), so for those few calls all of them share one.
    """

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] == "http" and is_ours(scope["path"]):
            await self.handle(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)


# Without a route for it, an unknown address would be an exception, and a 500.
unknown = re_path(r"", deny)  # type: ignore[arg-type] # an ASGI application and no view, as Channels has it
websocket_routes = URLRouter([*websocket_urlpatterns, unknown])

application = ProtocolTypeRouter(
    {"http": Handler(), "websocket": OwnPagesOnly(AuthMiddlewareStack(websocket_routes))}
)
