"""The route of moderations."""

from django.http import HttpResponse
from rest_framework.request import Request

from workers.api.base import ApiView, json_response
from workers.api.body import read_json
from workers.api.moderations import openapi, protocol, serving


class ModerationsView(ApiView):
    operations = {"post": openapi.CREATE}

    def post(self, request: Request) -> HttpResponse:
        return json_response(serving.moderate(protocol.parse(read_json(request))))
