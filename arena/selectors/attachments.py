"""Reading files that were shown to chat models."""

import base64
import uuid
from collections.abc import Iterable

from django.utils.translation import gettext

from arena.errors import NotFound
from arena.models import Attachment
from arena.prompts import Shown
from chatsite.accounts.models import User


def owned(*, owner: User, attachment_id: uuid.UUID) -> Attachment:
    """Raises `NotFound` for an unknown one and for another person's alike."""
    found = Attachment.objects.filter(pk=attachment_id, owner=owner).first()
    if found is None:
        raise NotFound(gettext("This file does not exist (any more)."), field="attachments")
    return found


def shown_with(message_ids: Iterable[int]) -> dict[int, Shown]:
    """What goes with each of the messages, in one query; messages without files are left out."""
    texts: dict[int, list[tuple[str, str]]] = {}
    images: dict[int, list[str]] = {}
    for attachment in Attachment.objects.filter(message__in=list(message_ids)):
        assert attachment.message_id is not None  # the filter wants one
        if attachment.kind == Attachment.Kind.TEXT:
            texts.setdefault(attachment.message_id, []).append((attachment.name, attachment.text))
        else:
            images.setdefault(attachment.message_id, []).append(_data_url(attachment))
    return {
        pk: Shown(tuple(texts.get(pk, ())), tuple(images.get(pk, ()))) for pk in texts.keys() | images.keys()
    }


def has_image(attachment_ids: Iterable[uuid.UUID]) -> bool:
    return Attachment.objects.filter(pk__in=list(attachment_ids), kind=Attachment.Kind.IMAGE).exists()


def _data_url(attachment: Attachment) -> str:
    encoded = base64.b64encode(bytes(attachment.content)).decode("ascii")
    return f"data:{attachment.content_type};base64,{encoded}"
