"""The routes of the catalog."""

from django.http import HttpResponse
from rest_framework.request import Request

from workers.api.base import ApiView, json_response
from workers.api.models import openapi, serving


class ModelListView(ApiView):
    operations = {"get": openapi.LIST}

    def get(self, request: Request) -> HttpResponse:
        return json_response(serving.catalog())


class ModelView(ApiView):
    operations = {"get": openapi.RETRIEVE}

    def get(self, request: Request, name: str) -> HttpResponse:
        return json_response(serving.describe(name))
