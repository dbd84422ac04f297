"""The routes of responses."""

from django.http import HttpResponse
from rest_framework.request import Request

from workers.api import pages
from workers.api.authentication import api_key_of, owner_of
from workers.api.base import ApiView, Pending, json_response
from workers.api.body import read_json
from workers.api.errors import InvalidParameter
from workers.api.middleware import REQUEST_ID
from workers.api.responses import openapi, protocol, serving

PARAMETER_NAMES = {
    "messages": "input",
    "reasoning_effort": "reasoning.effort",
    "response_format": "text.format",
    "max_tokens": "max_output_tokens",
}


class ResponseListView(ApiView):
    operations = {"post": openapi.CREATE}
    parameter_names = PARAMETER_NAMES

    def post(self, request: Request) -> Pending:
        return serving.submit(
            request=protocol.parse(read_json(request)),
            api_key=api_key_of(request),
            request_id=request.META[REQUEST_ID],
        )


class InputTokensView(ApiView):
    operations = {"post": openapi.INPUT_TOKENS}
    parameter_names = PARAMETER_NAMES

    def post(self, request: Request) -> Pending:
        return serving.count(
            asked=protocol.parse_count(read_json(request)),
            api_key=api_key_of(request),
            request_id=request.META[REQUEST_ID],
        )


class ResponseView(ApiView):
    operations = {"get": openapi.RETRIEVE, "delete": openapi.DELETE}

    def get(self, request: Request, public_id: str) -> HttpResponse | Pending:
        row = serving.find(owner_of(request), public_id)
        after = pages.integer(request, "starting_after", default=-1, minimum=0, maximum=10**9)
        if pages.choice(request, "stream", ("true", "false"), default="false") == "true":
            return serving.resume(row, after)
        if after >= 0:
            raise InvalidParameter("starting_after", "is only allowed when 'stream' is true.")
        return json_response(row.body)

    def delete(self, request: Request, public_id: str) -> HttpResponse:
        serving.delete(serving.find(owner_of(request), public_id))
        return json_response({"id": public_id, "object": "response", "deleted": True})


class ResponseCancelView(ApiView):
    operations = {"post": openapi.CANCEL}

    def post(self, request: Request, public_id: str) -> HttpResponse | Pending:
        row = serving.find(owner_of(request), public_id)
        return serving.cancel(row) or json_response(row.body)


class ResponseItemsView(ApiView):
    operations = {"get": openapi.ITEMS}

    def get(self, request: Request, public_id: str) -> HttpResponse:
        row = serving.find(owner_of(request), public_id)
        return json_response(pages.of_list(request, serving.input_items(row)))
