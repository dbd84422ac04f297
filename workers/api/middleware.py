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
            return await (_answer(request) if _is_for_us(request) else get_response(request))

        return middleware

    def synchronous_middleware(request: HttpRequest) -> HttpResponseBase:
        return async_to_sync(_answer)(request) if _is_for_us(request) else get_response(request)

    return synchronous_middleware


def is_ours(path: str) -> bool:
    """Whether the API answers what is at this path."""
    return path.startswith(("/v1/", "/api/v1/")) or path == "/v1"


def _is_for_us(request: HttpRequest) -> bool:
    path = request.path_info
    return is_ours(path) or (_sends_a_key(request) and _exists(f"/v1{path}") and not _exists(path))


def _sends_a_key(request: HttpRequest) -> bool:
    """A program that forgot the /v1 of the base URL gets no use out of an HTML page."""
    return any(name in request.META for name in ("HTTP_AUTHORIZATION", "HTTP_X_API_KEY", "HTTP_API_KEY"))


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
        raise _unknown_address(request) from None
    view: Awaitable[HttpResponseBase] = match.func(request, *match.args, **match.kwargs)
    return view


def _unknown_address(request: HttpRequest) -> errors.NotFound:
    path = request.path_info
    shown = path if len(path) <= 200 else f"{path[:200]}…"
    return errors.NotFound(f"There is nothing at {shown}.{_hint(request)}", code="unknown_url")


def _hint(request: HttpRequest) -> str:
    path, site = request.path_info, f"{request.scheme}://{request.get_host()}"
    if path.endswith("/") and _exists(path.rstrip("/")):
        return " Leave out the slash at the end."
    if _exists(f"/v1{path}"):
        return f" The base URL of OpenAI's clients is {site}/v1 here."
    if path.startswith("/v1/v1/") and _exists(path.removeprefix("/v1")):
        return f" The path begins with /v1 twice: the base URL of Anthropic's clients is {site} here."
    return ""


def _exists(path: str) -> bool:
    try:
        resolve(path)
    except Resolver404:
        return False
    return True
