"""The routes of batches."""

from django.http import HttpResponse
from rest_framework.request import Request

from workers.api import pages
from workers.api.authentication import api_key_of, owner_of
from workers.api.base import ApiView, json_response
from workers.api.batches import openapi, protocol, serving
from workers.api.body import read_json


class BatchListView(ApiView):
    operations = {"get": openapi.LIST, "post": openapi.CREATE}

    def get(self, request: Request) -> HttpResponse:
        rows = serving.all_of(owner_of(request))
        return json_response(pages.page(request, rows, protocol.batch_object))

    def post(self, request: Request) -> HttpResponse:
        batch = serving.create(api_key_of(request), protocol.parse(read_json(request)))
        return json_response(protocol.batch_object(batch))


class BatchView(ApiView):
    operations = {"get": openapi.RETRIEVE}

    def get(self, request: Request, public_id: str) -> HttpResponse:
        return json_response(protocol.batch_object(serving.find(owner_of(request), public_id)))


class BatchCancelView(ApiView):
    operations = {"post": openapi.CANCEL}

    def post(self, request: Request, public_id: str) -> HttpResponse:
        batch = serving.find(owner_of(request), public_id)
        serving.cancel(batch)
        return json_response(protocol.batch_object(batch))
