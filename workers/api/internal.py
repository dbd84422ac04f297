"""Calls an endpoint from within the server, as if its client had: for the lines of a batch.

The whole of an endpoint is used, so a request in a batch means what the same request means by itself. Nothing goes over
the network, and no key is needed but the row of one.
"""

import io
import json
from typing import Any, NamedTuple

from django.http import HttpRequest, HttpResponse
from django.urls import resolve

from chatsite.accounts.models import ApiKey
from workers.api.authentication import on_behalf_of
from workers.api.middleware import REQUEST_ID


class Answer(NamedTuple):
    status: int
    body: str
    """JSON."""


async def post(path: str, body: dict[str, Any], *, api_key: ApiKey, request_id: str) -> Answer:
    """`path` begins with /v1/. A generation that was submitted under `request_id` already is followed, not repeated."""
    content = json.dumps(body).encode()
    request = HttpRequest()
    request.method = "POST"
    request.path = request.path_info = path
    request.META = {
        "REQUEST_METHOD": "POST",
        "CONTENT_TYPE": "application/json",
        "CONTENT_LENGTH": str(len(content)),
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        REQUEST_ID: request_id,
    }
    request._stream = io.BytesIO(content)  # what `read` reads from
    request._read_started = False  # type: ignore[attr-defined]
    on_behalf_of(api_key, request)
    match = resolve(path.removeprefix("/v1"), urlconf="workers.api.urls")
    response: HttpResponse = await match.func(request, *match.args, **match.kwargs)
    return Answer(response.status_code, response.content.decode())
