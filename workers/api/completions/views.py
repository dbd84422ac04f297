"""The route of completions."""

from typing import cast

from rest_framework.request import Request

from chatsite.accounts.models import ApiKey
from workers.api.base import ApiView, Pending
from workers.api.body import read_json
from workers.api.chat.views import read_timeout
from workers.api.completions import openapi, protocol, serving
from workers.api.middleware import REQUEST_ID


class CompletionsView(ApiView):
    operations = {"post": openapi.CREATE}
    parameter_names = {"messages": "prompt"}

    def post(self, request: Request) -> Pending:
        return serving.submit(
            request=protocol.parse(read_json(request)),
            api_key=cast("ApiKey", request.auth),
            request_id=request.META[REQUEST_ID],
            read_timeout=read_timeout(request),
        )
