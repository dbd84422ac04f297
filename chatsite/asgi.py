"""The ASGI application: HTTP to Django, websockets to the arena's consumers.

Nothing imported from here may load torch, an engine or the engine host; `tests/architecture` checks it.
"""

import os

from channels.auth import AuthMiddlewareStack
from channels.routing import ProtocolTypeRouter, URLRouter
from channels.security.websocket import AllowedHostsOriginValidator
from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "chatsite.settings")

# Before the import of the routes: it sets Django up, and the consumers import models.
http_application = get_asgi_application()

from arena.routing import websocket_urlpatterns  # noqa: E402

application = ProtocolTypeRouter(
    {
        "http": http_application,
        # Refuses a websocket whose Origin is missing or not in ALLOWED_HOSTS: browsers send cookies cross-site, and
        # CORS does not apply to websockets.
        "websocket": AllowedHostsOriginValidator(AuthMiddlewareStack(URLRouter(websocket_urlpatterns))),
    }
)
