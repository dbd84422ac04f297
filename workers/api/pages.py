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
        last = rows.filter(**{id_field: after[:200]}).values_list("pk", flat=True).first()
        if last is None:
            raise InvalidParameter("after", "is no id of this list.")
        rows = rows.filter(**{"pk__lt" if newest_first else "pk__gt": last})
    found = list(rows.order_by("-pk" if newest_first else "pk")[: limit + 1])
    data = [show(row) for row in found[:limit]]
    return {
        "object": "list",
        "data": data,
        "first_id": data[0]["id"] if data else None,
        "last_id": data[-1]["id"] if data else None,
        "has_more": len(found) > limit,
    }


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
