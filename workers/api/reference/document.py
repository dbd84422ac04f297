"""Puts the OpenAPI document together: every address of the URL configuration, with what its view says of itself.

drf-spectacular finds the same addresses, but what it derives schemas from (serializers) is not what checks requests
here, so every schema would have to be handed to it as it is; the rest is this file.
"""

import re
from collections.abc import Iterator
from functools import cache
from typing import Any, Final, NamedTuple

from django.urls import URLPattern, URLResolver, get_resolver

from workers.api.describing import (
    BYTES,
    JSON,
    MAYBE_STRING,
    SSE,
    STRING,
    Operation,
    components,
    const,
    obj,
    ref,
)
from workers.api.reference import openapi

VERSION: Final = "1"
OPENAPI: Final = "3.1.0"
PREFIXES: Final = ("v1/", "api/v1/")
METHODS: Final = ("get", "post", "put", "patch", "delete")
CONVERTER: Final = re.compile(r"<(?:\w+:)?(\w+)>")
PARAMETERS: Final = {"public_id": "id", "name": "model"}
"""Names of our own in addresses → what readers would call them."""

INTRODUCTION: Final = (
    "OpenAI's API, Anthropic's messages and a few endpoints of this server's own. A program written for OpenAI "
    "runs here by changing the base URL and the key. Every parameter is honoured or refused by name."
)
ERROR: Final = obj(
    {
        "error": obj(
            {"message": STRING, "type": STRING, "param": MAYBE_STRING, "code": MAYBE_STRING},
            additionalProperties=False,
        )
    },
    additionalProperties=False,
)
ANTHROPIC_ERROR: Final = obj(
    {"type": const("error"), "error": obj({"type": STRING, "message": STRING}), "request_id": STRING}
)
STATUSES: Final = {
    400: "The request must change; 'param' names the place.",
    401: "The key is missing, wrong, revoked or expired.",
    403: "The key may not be used for this, or not from here.",
    404: "There is no such thing, for you.",
    409: "A request with the same Idempotency-Key is under way.",
    413: "The body is too large.",
    415: "The body has the wrong media type.",
    429: "A limit is used up, or too many requests wait; 'retry-after-ms' says when to come back.",
    500: "The engine failed.",
    503: "A worker is missing or has died.",
    504: "The request was not answered in time.",
}


class Route(NamedTuple):
    address: str
    """As Django has it: `v1/files/<str:public_id>`."""
    operations: dict[str, Operation]

    @property
    def path(self) -> str:
        return "/" + CONVERTER.sub(lambda found: f"{{{_shown(found[1])}}}", self.address)


def document(server: str) -> dict[str, Any]:
    """`server`: scheme and host of this site, as the reader knows it."""
    return {**_document(), "servers": [{"url": server}]}


def routes() -> list[Route]:
    """Every address under `/v1`, in order. Raises `LookupError` for a method that does not describe itself."""
    found: dict[str, Route] = {}
    for address, view in _views(get_resolver().url_patterns, ""):
        route = Route(address, _operations(address, view))
        found.setdefault(route.path, route)  # the first one is the one that answers
    return [*found.values(), *(Route(path[1:], {"get": probe}) for path, probe in openapi.PROBES.items())]


def _views(patterns: list[Any], before: str) -> Iterator[tuple[str, Any]]:
    for pattern in patterns:
        address = before + str(pattern.pattern)
        if not any(prefix.startswith(address) or address.startswith(prefix) for prefix in PREFIXES):
            continue
        if isinstance(pattern, URLResolver):
            yield from _views(pattern.url_patterns, address)
        elif isinstance(pattern, URLPattern) and address.startswith(PREFIXES):
            yield address, pattern.callback.view_class  # type: ignore[attr-defined] # of Django's `as_view`


def _operations(address: str, view: Any) -> dict[str, Operation]:
    methods = [method for method in METHODS if hasattr(view, method)]
    if missing := [method for method in methods if method not in view.operations]:
        raise LookupError(f"{view.__name__} ({address}) does not describe: {', '.join(missing)}")
    return {method: view.operations[method] for method in methods}


@cache
def _document() -> dict[str, Any]:
    found = routes()
    tags = dict.fromkeys(operation.tag for route in found for operation in route.operations.values())
    return {
        "openapi": OPENAPI,
        "info": {"title": "chatsite", "version": VERSION, "description": INTRODUCTION},
        "tags": [{"name": tag} for tag in tags],
        "security": [{"bearer": []}, {"xApiKey": []}, {"apiKey": []}],
        "paths": {route.path: _path_item(route) for route in found},
        "components": {
            "schemas": {**components, "Error": ERROR, "AnthropicError": ANTHROPIC_ERROR},
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "xApiKey": {"type": "apiKey", "in": "header", "name": "x-api-key"},
                "apiKey": {"type": "apiKey", "in": "header", "name": "api-key"},
            },
        },
    }


def _path_item(route: Route) -> dict[str, Any]:
    names = CONVERTER.findall(route.address)
    parameters = [
        {"name": _shown(name), "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
        for name in names
    ]
    item: dict[str, Any] = {"parameters": parameters} if parameters else {}
    return item | {
        method: _operation(operation, method, by_id=bool(names))
        for method, operation in route.operations.items()
    }


def _operation(operation: Operation, method: str, *, by_id: bool) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": operation.id,
        "tags": [operation.tag],
        "summary": operation.summary,
    }
    if operation.description:
        described["description"] = operation.description
    if operation.query:
        described["parameters"] = [
            {"name": name, "in": "query", "schema": schema} for name, schema in operation.query.items()
        ]
    if operation.body is not None:
        content: dict[str, Any] = {"schema": operation.body}
        if operation.example is not None:
            content["example"] = operation.example
        described["requestBody"] = {"required": True, "content": {operation.body_type: content}}
    if operation.public:
        described["security"] = []
    described["responses"] = _responses(operation, method, by_id=by_id)
    return described


def _responses(operation: Operation, method: str, *, by_id: bool) -> dict[str, Any]:
    responses: dict[str, Any] = {
        "200": {"description": operation.summary + ".", "content": _content(operation)}
    }
    shape = ref("AnthropicError" if operation.anthropic else "Error")
    for status in sorted(_statuses(operation, method, by_id=by_id)):
        content = {JSON: {"schema": shape}}
        if status in operation.statuses and operation.answer is not None and operation.public:
            content = {JSON: {"schema": operation.answer}}
        description = operation.statuses.get(status, STATUSES.get(status, ""))
        responses[str(status)] = {"description": description, "content": content}
    return responses


def _content(operation: Operation) -> dict[str, Any]:
    if operation.answer is None:
        return {BYTES: {"schema": {"type": "string", "contentMediaType": BYTES}}}
    content: dict[str, Any] = {JSON: {"schema": operation.answer}}
    if operation.streams:
        content[SSE] = {"schema": STRING}
    return content


def _statuses(operation: Operation, method: str, *, by_id: bool) -> set[int]:
    found = set(operation.statuses)
    if operation.public:
        return found
    found |= {400, 401, 403, 429}
    if by_id or operation.body is not None:
        found |= {404}
    if method == "post":
        found |= {409}
    if operation.body is not None:
        found |= {413, 415}
    if operation.works:
        found |= {500, 503, 504}
    return found


def _shown(name: str) -> str:
    return PARAMETERS.get(name, name)
