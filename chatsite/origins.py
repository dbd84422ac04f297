"""Which pages may open a websocket: the site's own, by the very rule that Django has for its forms.

A browser sends cookies along with a websocket of any page, and CORS does not apply. Channels' own validator compares
host names only, so a page on another port of the same machine would come in with the person's session: cookies know no
ports.
"""

from io import BytesIO
from typing import Any

from channels.security.websocket import WebsocketDenier
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpResponse
from django.middleware.csrf import CsrfViewMiddleware


class OwnPagesOnly:
    """Refuses a websocket whose Origin is neither the address it was opened at nor in `CSRF_TRUSTED_ORIGINS`."""

    def __init__(self, application: Any) -> None:
        self.application = application

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        application = self.application if opened_by_own_page(scope) else deny
        await application(scope, receive, send)


def opened_by_own_page(scope: dict[str, Any]) -> bool:
    scheme = "https" if scope.get("scheme") == "wss" else "http"
    request = ASGIRequest({**scope, "method": "GET", "scheme": scheme}, BytesIO())
    if "HTTP_ORIGIN" not in request.META:
        return False
    rule = CsrfViewMiddleware(lambda request: HttpResponse())
    return bool(rule._origin_verified(request))  # type: ignore[attr-defined] # the stubs leave it out


async def deny(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Answer the handshake with 403."""
    await WebsocketDenier()(scope, receive, send)
