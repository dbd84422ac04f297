"""The route of chat completions: read, submit, let the reply respond."""

from typing import cast

from rest_framework.request import Request

from chatsite.accounts.models import ApiKey
from workers.api.base import ApiView, Pending
from workers.api.body import read_json
from workers.api.chat import protocol, serving
from workers.api.middleware import REQUEST_ID


class ChatCompletionsView(ApiView):
    def post(self, request: Request) -> Pending:
        return serving.submit(
            request=protocol.parse(read_json(request)),
            api_key=cast("ApiKey", request.auth),  # BearerKeyAuthentication's
            request_id=request.META[REQUEST_ID],
            read_timeout=_read_timeout(request),
        )


def _read_timeout(request: Request) -> float | None:
    """Seconds that OpenAI's clients say they wait; None when they do not, or say something else than a number."""
    try:
        return float(request.META.get("HTTP_X_STAINLESS_READ_TIMEOUT", ""))
    except ValueError:
        return None
