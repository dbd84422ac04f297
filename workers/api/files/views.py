"""The routes of files."""

from django.http import HttpResponse
from django.http.response import HttpResponseBase
from rest_framework.request import Request

from workers.api import pages
from workers.api.authentication import owner_of
from workers.api.base import ApiView, json_response
from workers.api.errors import InvalidParameter
from workers.api.files import openapi, protocol, serving, uploads
from workers.models import ApiFile


class FileListView(ApiView):
    operations = {"get": openapi.LIST, "post": openapi.UPLOAD_FILE}

    def get(self, request: Request) -> HttpResponse:
        rows = ApiFile.objects.filter(owner=owner_of(request))
        if (purpose := request.query_params.get("purpose")) is not None:
            if purpose not in protocol.LISTED_PURPOSES:
                raise InvalidParameter("purpose", f"must be one of {', '.join(protocol.LISTED_PURPOSES)}.")
            rows = rows.filter(purpose=purpose)
        most = protocol.MOST_LISTED
        return json_response(pages.page(request, rows, protocol.file_object, default=most, most=most))

    def post(self, request: Request) -> HttpResponse:
        file = serving.upload(owner_of(request), uploads.receive(request))
        return json_response(protocol.file_object(file))


class FileView(ApiView):
    operations = {"get": openapi.RETRIEVE, "delete": openapi.DELETE}

    def get(self, request: Request, public_id: str) -> HttpResponse:
        return json_response(protocol.file_object(serving.find(owner_of(request), public_id)))

    def delete(self, request: Request, public_id: str) -> HttpResponse:
        serving.delete(serving.find(owner_of(request), public_id))
        return json_response(protocol.deleted(public_id))


class FileContentView(ApiView):
    operations = {"get": openapi.CONTENT}

    def get(self, request: Request, public_id: str) -> HttpResponseBase:
        return serving.content(serving.find(owner_of(request), public_id))
