"""Reading conversations. Everything a person sees is fetched through `owned_by`."""

import uuid
from collections.abc import Iterable
from datetime import date
from typing import NamedTuple

from django.db import models
from django.db.models import Prefetch, QuerySet
from django.db.models.functions import Lower
from django.utils import timezone
from django.utils.dateformat import format as format_date
from django.utils.translation import gettext
from django.utils.translation import gettext as _

from arena.errors import NotFound
from arena.models import Attachment, Conversation, Message, Reply
from arena.prompts import NOTHING, PastTurn
from arena.selectors import attachments
from chatsite.accounts.models import User


class Turn(NamedTuple):
    """One message with what was answered, oldest reply first."""

    message: Message
    replies: list[Reply]
    # The ids of the message's versions, oldest first: itself and what it was edited from or into.
    versions: list[int] = []

    @property
    def shown(self) -> Reply | None:
        """The newest reply: the one the conversation goes on with."""
        return self.replies[-1] if self.replies else None

    @property
    def version(self) -> int:
        """Which of the versions this is, counted from one."""
        return self.versions.index(self.message.pk) + 1 if self.versions else 1

    @property
    def earlier(self) -> int | None:
        return self.versions[self.version - 2] if self.version > 1 else None

    @property
    def later(self) -> int | None:
        return self.versions[self.version] if self.version < len(self.versions) else None


class Group(NamedTuple):
    label: str
    conversations: list[Conversation]
    folder: bool = False
    """The label is a person's own word, and the group can be folded."""


def owned_by(owner: User) -> QuerySet[Conversation]:
    """Without the sides of battles, which only the arena's pages may show."""
    return Conversation.objects.filter(owner=owner, battle=None)


def owned_conversation(*, owner: User, conversation_id: uuid.UUID) -> Conversation:
    """Raises `NotFound` for an unknown one and for another person's alike."""
    conversation = owned_by(owner).select_related("chat_model").filter(pk=conversation_id).first()
    if conversation is None:
        raise NotFound(gettext("This conversation does not exist (any more)."), field="conversation")
    return conversation


def owned_message(*, owner: User, message_id: int) -> Message:
    """See `owned_conversation`."""
    messages = Message.objects.select_related("conversation__chat_model")
    message = messages.filter(pk=message_id, conversation__in=owned_by(owner)).first()
    if message is None:
        raise NotFound(gettext("This message does not exist (any more)."), field="message")
    return message


def owned_reply(*, owner: User, reply_id: uuid.UUID) -> Reply:
    """See `owned_conversation`."""
    reply = Reply.objects.filter(pk=reply_id, message__conversation__in=owned_by(owner)).first()
    if reply is None:
        raise NotFound(gettext("This answer does not exist (any more)."), field="reply")
    return reply


def running(owner: User) -> QuerySet[Reply]:
    return Reply.objects.filter(status=Reply.Status.QUEUED, message__conversation__owner=owner)


def turns(conversation: Conversation) -> list[Turn]:
    """The branch that is shown, in four queries."""
    replies = Prefetch("replies", queryset=Reply.objects.order_by("created_at").select_related("feedback"))
    files = Prefetch("attachments", queryset=Attachment.objects.defer("content", "text"))
    messages = conversation.messages.filter(active=True).order_by("position").prefetch_related(replies, files)
    versions: dict[tuple[int, int | None], list[int]] = {}
    for pk, position, previous in conversation.messages.order_by("pk").values_list(
        "pk", "position", "previous_id"
    ):
        versions.setdefault((position, previous), []).append(pk)
    return [
        Turn(message, list(message.replies.all()), versions[message.position, message.previous_id])
        for message in messages
    ]


def past_turns(conversation: Conversation, *, before: int) -> list[PastTurn]:
    """The turns in front of the message at position `before`, with the newest finished answer of each."""
    messages = (
        conversation.messages.filter(active=True, position__lt=before)
        .order_by("position")
        .values_list("id", "text")
    )
    finished = Reply.objects.filter(
        message__conversation=conversation, message__position__lt=before, status=Reply.Status.FINISHED
    ).exclude(text="")
    # The newest comes last and stays.
    answers = dict(finished.order_by("created_at").values_list("message_id", "text"))
    shown = attachments.shown_with(answers)
    return [
        PastTurn(text, answers.get(message_id, ""), shown.get(message_id, NOTHING))
        for message_id, text in messages
    ]


def sidebar(owner: User, *, limit: int | None = None) -> list[Conversation]:
    """The owner's conversations with what a list shows of them: pinned ones, those in folders, then the newest."""
    listed = owned_by(owner).only("id", "title", "pinned", "folder", "created_at", "updated_at")
    loose = models.Case(models.When(folder="", then=1), default=0)
    return list(listed.order_by("-pinned", loose, Lower("folder"), "folder", "-updated_at")[:limit])


def folders(owner: User) -> list[str]:
    """The words that the owner's conversations are kept under."""
    named = owned_by(owner).exclude(folder="").order_by().values_list("folder", flat=True).distinct()
    return sorted(named, key=str.casefold)


def grouped_by_day(conversations: Iterable[Conversation], *, today: date | None = None) -> list[Group]:
    """`conversations` (newest first) under labels that get coarser with age."""
    today = today or timezone.localdate()
    groups: list[Group] = []
    for conversation in conversations:
        day = timezone.localdate(conversation.updated_at)
        in_folder = bool(conversation.folder) and not conversation.pinned
        label = (
            _("Pinned")
            if conversation.pinned
            else conversation.folder
            if in_folder
            else _age_label(day, today)
        )
        if not groups or (groups[-1].label, groups[-1].folder) != (label, in_folder):
            groups.append(Group(label, [], in_folder))
        groups[-1].conversations.append(conversation)
    return groups


def _age_label(day: date, today: date) -> str:
    age = (today - day).days
    if age <= 0:  # a clock that was put back must not make a label of its own
        return _("Today")
    if age == 1:
        return _("Yesterday")
    if age <= 7:
        return _("Previous 7 days")
    if age <= 30:
        return _("Previous 30 days")
    return format_date(day, "F Y")
