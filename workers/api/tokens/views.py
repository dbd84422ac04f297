"""The routes of counting and naming tokens."""

from rest_framework.request import Request

from workers.api.base import ApiView, Pending
from workers.api.body import read_json
from workers.api.middleware import REQUEST_ID
from workers.api.tokens import openapi, protocol, serving


class TokenizeView(ApiView):
    operations = {"post": openapi.TOKENIZE}

    def post(self, request: Request) -> Pending:
        body = read_json(request)
        asked = protocol.parse_tokenize(body, request.META[REQUEST_ID], serving.deadline())
        return serving.tokenize(asked, strings=bool(body.get("return_token_strs")))


class DetokenizeView(ApiView):
    operations = {"post": openapi.DETOKENIZE}

    def post(self, request: Request) -> Pending:
        asked = protocol.parse_detokenize(read_json(request), request.META[REQUEST_ID], serving.deadline())
        return serving.detokenize(asked)


class TokenCheckView(ApiView):
    operations = {"post": openapi.TOKEN_CHECK}

    def post(self, request: Request) -> Pending:
        return serving.check(protocol.parse_check(read_json(request)), request.META[REQUEST_ID])
