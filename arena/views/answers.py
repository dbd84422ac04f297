"""JSON for scripts: refusals with the status that fits them."""

from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec

from django.http import HttpRequest, HttpResponse, JsonResponse

from arena.errors import AlreadyVoted, Busy, NotFound, Refused

P = ParamSpec("P")
Action = Callable[Concatenate[HttpRequest, P], HttpResponse]


def answering_json(view: Action[P]) -> Action[P]:
    """404 for what is not there, 409 for what must wait or has been done, 422 for a value that is wrong."""

    @wraps(view)
    def answered(request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponse:
        try:
            return view(request, *args, **kwargs)
        except Refused as refusal:
            error = {"code": refusal.code, "field": refusal.field, "message": refusal.message}
            return JsonResponse({"error": error}, status=_status(refusal))

    return answered


def _status(refusal: Refused) -> int:
    if isinstance(refusal, NotFound):
        return 404
    return 409 if isinstance(refusal, AlreadyVoted | Busy) else 422
