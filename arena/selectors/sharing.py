"""Reading shared conversations, and the lines of a conversation as others get them."""

from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple

from django.db.models import QuerySet
from django.utils.translation import gettext

from arena.errors import NotFound
from arena.models import Conversation, ConversationShare, Message, Reply
from arena.selectors.conversations import owned_by
from chatsite.accounts.models import User


class Line(NamedTuple):
    """A message, and the finished answer that the conversation went on with."""

    message: Message
    reply: Reply | None


def share_of(conversation: Conversation) -> ConversationShare | None:
    return ConversationShare.objects.filter(conversation=conversation).first()


def links(owner: User) -> QuerySet[ConversationShare]:
    """All links of a person, newest first."""
    return ConversationShare.objects.filter(conversation__in=owned_by(owner)).select_related("conversation")


def shared(key: str) -> ConversationShare:
    """Raises `NotFound` for a link that was never given out or is revoked, or whose owner is locked out."""
    found = ConversationShare.objects.filter(
        key=key, conversation__battle=None, conversation__owner__is_active=True
    )
    share = found.select_related("conversation").first()
    if share is None:
        raise NotFound(gettext("This link leads nowhere (any more)."), field="key")
    return share


def shown_lines(conversation: Conversation) -> list[Line]:
    return _lines(conversation.messages.filter(active=True).order_by("position"))


def shared_lines(share: ConversationShare) -> list[Line]:
    """The branch that was shown when the link was made, with the answers of that time."""
    previous = dict(share.conversation.messages.values_list("pk", "previous_id"))
    branch: list[int] = []
    pk: int | None = share.end_id
    while pk is not None:
        branch.append(pk)
        pk = previous[pk]
    messages = share.conversation.messages.filter(pk__in=branch).order_by("position")
    return _lines(messages, until=share.created_at)


def _lines(messages: Iterable[Message], *, until: datetime | None = None) -> list[Line]:
    messages = list(messages)
    finished = Reply.objects.filter(message__in=messages, status=Reply.Status.FINISHED).exclude(text="")
    if until is not None:
        finished = finished.filter(created_at__lte=until).exclude(finished_at__gt=until)
    # The newest comes last and stays.
    answers = {reply.message_id: reply for reply in finished.order_by("created_at")}
    return [Line(message, answers.get(message.pk)) for message in messages]
