"""The ASGI application: HTTP to Django, websockets to the arena's consumers.

Nothing imported from here may load torch, an engine or the engine host; `tests/architecture` checks it.
"""

import os

from channels.auth import AuthMiddlewareStack
from channels.routing import ProtocolTypeRouter, URLRouter
from django.core.asgi import get_asgi_application
from django.urls import re_path

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "chatsite.settings")

# Before the import of the routes: it sets Django up, and the consumers import models.
http_application = get_asgi_application()

from arena.routing import websocket_urlpatterns  # noqa: E402
from chatsite.origins import OwnPagesOnly, deny  # noqa: E402

# Without a route for it, an unknown address would be an exception, and a 500.
unknown = re_path(r"", deny)  # type: ignore[arg-type] # an ASGI application and no view, as Channels has it
websocket_routes = URLRouter([*websocket_urlpatterns, unknown])

application = ProtocolTypeRouter(
    {"http": http_application, "websocket": OwnPagesOnly(AuthMiddlewareStack(websocket_routes))}
)
