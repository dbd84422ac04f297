"""Taking in files, handing them to a message, and forgetting those that were never sent."""

import uuid
from collections.abc import Sequence
from datetime import timedelta

from django.db import transaction
from django.db.models import Sum
from django.utils import timezone
from django.utils.translation import gettext as _

from arena import attachments
from arena.errors import InvalidValue, NotFound
from arena.models import Attachment, Message
from chatsite.accounts.models import User

MOST_PER_MESSAGE = 5
# What a person may have lying here without having sent it.
MOST_UNSENT = 20
UNSENT_BYTES = 50 * 1024 * 1024
FORGOTTEN_AFTER = timedelta(days=1)


def take_in(*, owner: User, name: str, content: bytes) -> Attachment:
    """Store a file that a message is to carry."""
    name = _clean_name(name)
    found = attachments.read(name, content)
    with transaction.atomic():
        User.objects.select_for_update().filter(pk=owner.pk).values_list("pk").first()
        unsent = Attachment.objects.filter(owner=owner, message=None)
        bytes_there = unsent.aggregate(total=Sum("size"))["total"] or 0
        if unsent.count() >= MOST_UNSENT or bytes_there + len(content) > UNSENT_BYTES:
            raise InvalidValue(
                _("There are too many files that were not sent. Send or remove some first."), field="file"
            )
        return Attachment.objects.create(
            owner=owner,
            kind=found.kind,
            name=name,
            content_type=found.content_type,
            size=len(content),
            content=content,
            text=found.text,
        )


def remove(*, owner: User, attachment_id: uuid.UUID) -> None:
    """Throw away a file that was not sent. What was sent stays with its message."""
    gone, _rows = Attachment.objects.filter(owner=owner, pk=attachment_id, message=None).delete()
    if not gone:
        raise NotFound(_("This file does not exist (any more)."), field="attachments")


def hand_over(*, owner: User, message: Message, attachment_ids: Sequence[uuid.UUID]) -> None:
    """Make unsent files a new message's, in this order. Call it inside the transaction that makes the message."""
    if len(attachment_ids) > MOST_PER_MESSAGE:
        raise InvalidValue(
            _("A message can carry at most %(number)d files.") % {"number": MOST_PER_MESSAGE},
            field="attachments",
        )
    for position, pk in enumerate(attachment_ids):
        taken = Attachment.objects.filter(pk=pk, owner=owner, message=None).update(
            message=message, position=position
        )
        if not taken:
            raise NotFound(
                _("A file is not there any more. Remove it, and add it again."), field="attachments"
            )


def copy(*, source: Message, target: Message) -> None:
    """Give another version of a message the same files."""
    for attachment in source.attachments.all():
        attachment.pk = uuid.uuid4()
        attachment.message = target
        attachment._state.adding = True
        attachment.save()


def forget_unsent() -> int:
    """Delete what nobody sent within a day. Returns how many."""
    old = Attachment.objects.filter(message=None, created_at__lt=timezone.now() - FORGOTTEN_AFTER)
    gone, _rows = old.delete()
    return gone


def _clean_name(name: str) -> str:
    """The file's own name without folders and signs that are not seen; a file may come without any."""
    name = name.replace("\\", "/").rsplit("/", 1)[-1]
    visible = "".join(character for character in name if character.isprintable()).strip()
    return visible[-200:] or "file"
