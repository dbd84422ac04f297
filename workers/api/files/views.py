"""The routes of files."""

from django.http import HttpResponse
from django.http.response import HttpResponseBase
from rest_framework.request import Request

from workers.api import pages
from workers.api.authentication import owner_of
from workers.api.base import ApiView, json_response
from workers.api.errors import InvalidParameter
from workers.api.files import protocol, serving, uploads
from workers.models import ApiFile


class FileListView(ApiView):
    def get(self, request: Request) -> HttpResponse:
        rows = ApiFile.objects.filter(owner=owner_of(request))
        if purpose := request.query_params.get("purpose"):
            if purpose not in ApiFile.Purpose.values:
                raise InvalidParameter("purpose", f"must be one of {', '.join(ApiFile.Purpose.values)}.")
            rows = rows.filter(purpose=purpose)
        return json_response(pages.page(request, rows, protocol.file_object, default=10_000, most=10_000))

    def post(self, request: Request) -> HttpResponse:
        file = serving.upload(owner_of(request), uploads.receive(request))
        return json_response(protocol.file_object(file))


class FileView(ApiView):
    def get(self, request: Request, public_id: str) -> HttpResponse:
        return json_response(protocol.file_object(serving.find(owner_of(request), public_id)))

    def delete(self, request: Request, public_id: str) -> HttpResponse:
        serving.delete(serving.find(owner_of(request), public_id))
        return json_response(protocol.deleted(public_id))


class FileContentView(ApiView):
    def get(self, request: Request, public_id: str) -> HttpResponseBase:
        return serving.content(serving.find(owner_of(request), public_id))
