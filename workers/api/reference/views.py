"""The route of the OpenAPI document, which everybody may read, and the page that shows it to people."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe
from rest_framework.request import Request

from workers.api.base import ApiView, json_response
from workers.api.reference import openapi, page
from workers.api.reference.document import document


class DocumentView(ApiView):
    operations = {"get": openapi.DOCUMENT}
    authentication_classes = ()
    permission_classes = ()

    def get(self, request: Request) -> HttpResponse:
        return json_response(document(_server(request._request)))


@require_safe
def reference(request: HttpRequest) -> HttpResponse:
    """The document for people, with examples for this very site and a way to try each endpoint."""
    context = page.context(_server(request), knows_models=request.user.is_authenticated)
    return render(request, "api/reference.html", context)


def _server(request: HttpRequest) -> str:
    return f"{request.scheme}://{request.get_host()}"
