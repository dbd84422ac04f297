"""The view that all endpoints under `/v1` build on: Django REST framework's steps, without a thread that waits."""

import asyncio
import json
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Protocol, TypeAlias, runtime_checkable

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from rest_framework.views import APIView

from workers.api import errors, idempotency, threads
from workers.api.authentication import check_access
from workers.api.caller import Caller, enter
from workers.api.describing import Operation


@runtime_checkable
class Pending(Protocol):
    """An answer that is not there yet, though all that needed the database is done."""

    async def respond(self) -> HttpResponseBase:
        """Wait for it on the event loop. Cancelled when the client goes away."""
        ...

    def abandon(self) -> None:
        """Called in a thread when the client went away before `respond` began."""
        ...


Handler: TypeAlias = Callable[..., HttpResponseBase | Pending]


class ApiView(APIView):
    """Handlers (`get`, `post`, …) are synchronous and run in a thread, right behind the key check in that same thread.

    A handler returns a response, or a `Pending` when the client has to wait: the thread is free again meanwhile.
    Exceptions of both become OpenAI's error object. adrf's view would take a thread for the key check and another one
    for the handler, and a third to render.
    """

    operations: ClassVar[Mapping[str, Operation]] = {}
    """`get`, `post`, … → what the OpenAPI document says of it."""

    parameter_names: ClassVar[Mapping[str, str]] = {}
    """What the workers call a parameter → what the callers of this endpoint call it, where the two differ."""

    view_is_async = True  # Django derives it from the handlers; `dispatch` is what it calls
    http_method_names = ["get", "post", "put", "patch", "delete", "head"]

    async def dispatch(  # type: ignore[override] # see view_is_async
        self, request: HttpRequest, *args: Any, **kwargs: Any
    ) -> HttpResponseBase:
        self.args, self.kwargs = args, kwargs
        self.request = self.initialize_request(request, *args, **kwargs)
        self.caller: Caller | None = None
        self.entry: idempotency.Entry | None = None
        response = await self._respond()
        if self.caller is not None:
            for name, value in self.caller.headers().items():
                response.setdefault(name, value)
        return response

    async def _respond(self) -> HttpResponseBase:
        try:
            outcome = await self._handle_in_thread()
            response = await outcome.respond() if isinstance(outcome, Pending) else outcome
        except idempotency.Replay as replay:
            return replay.response
        except Exception as error:
            response = errors.respond(errors.renamed(error, self.parameter_names))
        except BaseException:
            if self.entry is not None:
                await threads.run(self.entry.forget)
            raise
        return response if self.entry is None else await self.entry.keep(response)

    async def _handle_in_thread(self) -> HttpResponseBase | Pending:
        outcomes: list[HttpResponseBase | Pending] = []
        try:
            await threads.run(lambda: outcomes.append(self._handle()))
        except asyncio.CancelledError:
            for outcome in outcomes:
                if isinstance(outcome, Pending):
                    await threads.run(outcome.abandon)
            raise
        return outcomes[0]

    def _handle(self) -> HttpResponseBase | Pending:
        method = self.request.method or ""
        if method not in self.allowed_methods:
            allowed = ", ".join(self.allowed_methods)
            raise errors.MethodNotAllowed(
                f"{method} is not possible here. Use {allowed}.", headers={"allow": allowed}
            )
        self.initial(self.request, *self.args, **self.kwargs)
        if self.request.auth is not None:
            self.caller = check_access(self.request)
        enter(self.caller)
        if self.caller is not None and self.caller.limited:
            self.entry = idempotency.begin(self.request, self.caller.api_key)
        handler: Handler = getattr(self, method.lower())
        return handler(self.request, *self.args, **self.kwargs)


def json_response(data: dict[str, Any]) -> HttpResponse:
    """A success. Not DRF's `Response`, which is rendered later, in yet another thread."""
    return HttpResponse(json.dumps(data), content_type="application/json")
