"""The routes of Anthropic's messages. Errors have Anthropic's shape here."""

import json
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from rest_framework.request import Request

from workers.api.authentication import api_key_of
from workers.api.base import ApiView, Pending
from workers.api.body import read_json
from workers.api.chat.views import read_timeout
from workers.api.messages import openapi, protocol, serving
from workers.api.messages.answers import error_object
from workers.api.middleware import REQUEST_ID


class AnthropicView(ApiView):
    parameter_names = {
        "reasoning_effort": "thinking",
        "response_format": "output_config.format",
        "stop": "stop_sequences",
    }

    async def dispatch(  # type: ignore[override]  # as `ApiView`'s
        self, request: HttpRequest, *args: Any, **kwargs: Any
    ) -> HttpResponseBase:
        response = await super().dispatch(request, *args, **kwargs)
        request_id = f"req_{request.META[REQUEST_ID]}"
        response["request-id"] = request_id  # where Anthropic's client looks for it
        if isinstance(response, HttpResponse) and response.status_code >= 400:
            message = json.loads(response.content)["error"]["message"]
            error = {**error_object(response.status_code, message), "request_id": request_id}
            response.content = json.dumps(error).encode()
        return response


class MessagesView(AnthropicView):
    operations = {"post": openapi.CREATE}

    def post(self, request: Request) -> Pending:
        return serving.submit(
            request=protocol.parse(read_json(request)),
            api_key=api_key_of(request),
            request_id=request.META[REQUEST_ID],
            read_timeout=read_timeout(request),
        )


class CountTokensView(AnthropicView):
    operations = {"post": openapi.COUNT_TOKENS}

    def post(self, request: Request) -> Pending:
        asked = protocol.parse_count(read_json(request))
        return serving.count(request=asked, request_id=request.META[REQUEST_ID])
