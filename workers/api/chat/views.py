"""The route of chat completions: read, submit, let the reply respond."""

from rest_framework.request import Request

from workers.api.authentication import api_key_of
from workers.api.base import ApiView, Pending
from workers.api.body import read_json
from workers.api.chat import openapi, protocol, serving
from workers.api.middleware import REQUEST_ID
from workers.api.stored import keeping
from workers.api.stored.views import StoredListMixin


class ChatCompletionsView(StoredListMixin, ApiView):
    operations = {"get": openapi.LIST, "post": openapi.CREATE}

    def post(self, request: Request) -> Pending:
        body = read_json(request)
        wanted = protocol.parse(body)
        keeper = keeping.keeper(body, api_key_of(request))
        pending = serving.submit(
            request=wanted,
            api_key=api_key_of(request),
            request_id=request.META[REQUEST_ID],
            read_timeout=read_timeout(request),
        )
        return keeper.keep(pending)


def read_timeout(request: Request) -> float | None:
    """Seconds that OpenAI's clients say they wait; None when they do not, or say something else than a number."""
    try:
        return float(request.META.get("HTTP_X_STAINLESS_READ_TIMEOUT", ""))
    except ValueError:
        return None
