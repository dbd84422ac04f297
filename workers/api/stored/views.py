"""The routes of stored chat completions. Making one is the chat's own route, with `store: true`."""

import re
from typing import Any

from django.db.models import CharField
from django.db.models.fields.json import KeyTextTransform
from django.db.models.functions import Cast
from django.http import HttpResponse
from rest_framework.request import Request

from chatsite.accounts.models import User
from workers.api import metadata, pages
from workers.api.authentication import owner_of
from workers.api.base import ApiView, json_response
from workers.api.body import read_json
from workers.api.chat import openapi
from workers.api.errors import NotFound
from workers.api.fields import Fields
from workers.models import StoredCompletion
from workers.services import stored


class StoredListMixin:
    """`GET` for the view that makes chat completions."""

    def get(self, request: Request) -> HttpResponse:
        rows = StoredCompletion.objects.filter(owner=owner_of(request))
        if chat_model := request.query_params.get("model"):
            rows = rows.filter(chat_model=pages.as_id(chat_model))
        for number, (name, value) in enumerate(request.query_params.items()):
            if label := re.fullmatch(r"metadata\[(.{1,64})\]", name):
                # Not `metadata__NAME=`: a name such as "contains" would be taken for a lookup.
                text = Cast(KeyTextTransform(label[1], "metadata"), CharField())
                rows = rows.alias(**{f"label{number}": text})
                rows = (
                    rows.filter(**{f"label{number}": value}) if "\0" not in f"{name}{value}" else rows.none()
                )
        return json_response(pages.page(request, rows, show, order="asc"))


class StoredView(ApiView):
    operations = {"get": openapi.RETRIEVE, "post": openapi.UPDATE, "delete": openapi.DELETE}

    def get(self, request: Request, public_id: str) -> HttpResponse:
        return json_response(show(find(owner_of(request), public_id)))

    def post(self, request: Request, public_id: str) -> HttpResponse:
        row = find(owner_of(request), public_id)
        fields = Fields(read_json(request))
        fields.refuse_unknown({"metadata"})
        stored.set_metadata(row=row, metadata=metadata.read(fields.required("metadata")))
        return json_response(show(row))

    def delete(self, request: Request, public_id: str) -> HttpResponse:
        find(owner_of(request), public_id).delete()
        return json_response({"id": public_id, "object": "chat.completion.deleted", "deleted": True})


class StoredMessagesView(ApiView):
    operations = {"get": openapi.MESSAGES_OF}

    def get(self, request: Request, public_id: str) -> HttpResponse:
        row = find(owner_of(request), public_id)
        messages = [
            {"id": f"{row.public_id}-{number}", "content_parts": None, **message}
            for number, message in enumerate(row.messages)
        ]
        return json_response(pages.of_list(request, messages, order="asc"))


def find(owner: User, public_id: str) -> StoredCompletion:
    row = StoredCompletion.objects.filter(owner=owner, public_id=pages.as_id(public_id)).first()
    if row is None:
        raise NotFound(f"There is no stored completion '{public_id[:60]}'.", code="completion_not_found")
    return row


def show(row: StoredCompletion) -> dict[str, Any]:
    return {**row.body, "metadata": row.metadata}
