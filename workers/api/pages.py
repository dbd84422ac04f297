"""Lists in pages, as OpenAI has them: `limit`, `after` (the last id one has) and `order`."""

from collections.abc import Callable
from typing import Any, TypeVar

from django.db.models import Model, QuerySet
from rest_framework.request import Request

from workers.api.errors import InvalidParameter

M = TypeVar("M", bound=Model)


def page(
    request: Request,
    rows: QuerySet[M],
    show: Callable[[M], dict[str, Any]],
    *,
    default: int = 20,
    most: int = 100,
    order: str = "desc",
    id_field: str = "public_id",
) -> dict[str, Any]:
    """One page of `rows`, which hold nobody else's. Raises `InvalidParameter`."""
    limit = integer(request, "limit", default=default, minimum=1, maximum=most)
    order = choice(request, "order", ("asc", "desc"), default=order)
    newest_first = order == "desc"
    if after := request.query_params.get("after"):
        last = rows.filter(**{id_field: as_id(after)}).values_list("pk", flat=True).first()
        if last is None:
            raise InvalidParameter("after", "is no id of this list.")
        rows = rows.filter(**{"pk__lt" if newest_first else "pk__gt": last})
    found = list(rows.order_by("-pk" if newest_first else "pk")[: limit + 1])
    return listed([show(row) for row in found[:limit]], has_more=len(found) > limit)


def of_list(request: Request, entries: list[dict[str, Any]], *, order: str = "desc") -> dict[str, Any]:
    """One page of what is in memory, oldest first there. Each entry has an `id`."""
    limit = integer(request, "limit", default=20, minimum=1, maximum=100)
    if choice(request, "order", ("asc", "desc"), default=order) == "desc":
        entries = entries[::-1]
    if after := request.query_params.get("after"):
        places = [number for number, entry in enumerate(entries) if entry["id"] == after]
        if not places:
            raise InvalidParameter("after", "is no id of this list.")
        entries = entries[places[0] + 1 :]
    return listed(entries[:limit], has_more=len(entries) > limit)


def listed(data: list[dict[str, Any]], *, has_more: bool) -> dict[str, Any]:
    return {
        "object": "list",
        "data": data,
        "first_id": data[0]["id"] if data else None,
        "last_id": data[-1]["id"] if data else None,
        "has_more": has_more,
    }


def as_id(text: str) -> str:
    """`text` if it can be looked up, else what is nobody's id: PostgreSQL refuses a NUL, and no id holds such signs."""
    return text if text.isascii() and text.isprintable() and len(text) <= 200 else "-"


def integer(request: Request, name: str, *, default: int, minimum: int, maximum: int) -> int:
    text = request.query_params.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit()) or not minimum <= int(text[:10]) <= maximum:
        raise InvalidParameter(name, f"must be a whole number from {minimum} to {maximum}.")
    return int(text)


def choice(request: Request, name: str, options: tuple[str, ...], *, default: str) -> str:
    text = request.query_params.get(name, default)
    if text not in options:
        raise InvalidParameter(name, f"must be one of {', '.join(options)}.")
    return text
