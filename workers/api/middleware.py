"""Takes everything under `/v1` before any other middleware sees it.

Sessions, CSRF, messages and the rest mean nothing to a client with a key, and each costs a change of thread (measured:
2.6 ms for all of them). More important is what cannot happen here any more: an HTML page, a redirect that loses the
body of a POST, a cookie that authenticates.
"""

import time
import uuid
from collections.abc import Awaitable, Callable
from typing import Any

from asgiref.sync import async_to_sync, iscoroutinefunction
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.urls import Resolver404, resolve
from django.utils.decorators import sync_and_async_middleware

from workers.api import errors, threads

REQUEST_ID = "chatsite.request_id"
"""Key in `request.META`: 32 hex digits that name the request in `x-request-id`, the reply's id and the stream."""


@sync_and_async_middleware
def api(get_response: Callable[[HttpRequest], Any]) -> Callable[[HttpRequest], Any]:
    if iscoroutinefunction(get_response):

        async def middleware(request: HttpRequest) -> HttpResponseBase:
            return await (_answer(request) if is_ours(request.path_info) else get_response(request))

        return middleware

    def synchronous_middleware(request: HttpRequest) -> HttpResponseBase:
        return async_to_sync(_answer)(request) if is_ours(request.path_info) else get_response(request)

    return synchronous_middleware


def is_ours(path: str) -> bool:
    """Whether the API answers what is at this path."""
    return path.startswith(("/v1/", "/api/v1/")) or path == "/v1"


async def _answer(request: HttpRequest) -> HttpResponseBase:
    started = time.perf_counter()
    request_id = request.META[REQUEST_ID] = uuid.uuid4().hex
    with threads.for_caller(waits=not isinstance(request, ASGIRequest)):
        try:
            request.get_host()  # raises DisallowedHost
            response = await _call_view(request)
        except Exception as error:
            response = errors.respond(error)
    if isinstance(response, HttpResponse):
        response["content-length"] = str(len(response.content))
    response["x-request-id"] = f"req_{request_id}"
    response["openai-processing-ms"] = str(round((time.perf_counter() - started) * 1000))
    response["x-content-type-options"] = "nosniff"
    return response


def _call_view(request: HttpRequest) -> Awaitable[HttpResponseBase]:
    try:
        match = request.resolver_match = resolve(request.path_info)
    except Resolver404:
        raise _unknown_address(request.path_info) from None
    view: Awaitable[HttpResponseBase] = match.func(request, *match.args, **match.kwargs)
    return view


def _unknown_address(path: str) -> errors.NotFound:
    shown = path if len(path) <= 200 else f"{path[:200]}…"
    hint = " Leave out the slash at the end." if path.endswith("/") and _exists(path.rstrip("/")) else ""
    return errors.NotFound(f"There is nothing at {shown}.{hint}", code="unknown_url")


def _exists(path: str) -> bool:
    try:
        resolve(path)
    except Resolver404:
        return False
    return True
