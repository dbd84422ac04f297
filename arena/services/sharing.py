"""Giving out, renewing and revoking links to conversations, and taking a copy of what a link shows."""

import uuid

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext

from arena.errors import InvalidValue
from arena.models import Conversation, ConversationShare, Message, Reply
from arena.selectors import conversations, sharing
from chatsite.accounts.models import User


@transaction.atomic
def share(*, owner: User, conversation_id: uuid.UUID) -> ConversationShare:
    """Let whoever has the link read what the conversation shows now. A link that exists is brought up to date."""
    conversation = conversations.owned_conversation(owner=owner, conversation_id=conversation_id)
    end = conversation.messages.filter(active=True).order_by("position").last()
    if end is None:
        raise InvalidValue(gettext("Write something first: there is nothing to share."), field="conversation")
    shared, _ = ConversationShare.objects.update_or_create(
        conversation=conversation, defaults={"end": end, "created_at": timezone.now()}
    )
    return shared


def revoke(*, owner: User, conversation_id: uuid.UUID) -> None:
    """Make the link lead nowhere. Sharing again makes another one."""
    conversation = conversations.owned_conversation(owner=owner, conversation_id=conversation_id)
    ConversationShare.objects.filter(conversation=conversation).delete()


@transaction.atomic
def copy(*, owner: User, key: str) -> Conversation:
    """A conversation of one's own that begins with what a link shows; settings stay with the one who shared it."""
    shared = sharing.shared(key)
    copied = Conversation.objects.create(owner=owner, title=shared.conversation.title)
    previous: Message | None = None
    for position, (message, reply) in enumerate(sharing.shared_lines(shared), start=1):
        previous = Message.objects.create(
            conversation=copied, position=position, previous=previous, text=message.text
        )
        if reply:
            Reply.objects.create(
                message=previous,
                chat_model=reply.chat_model,
                chat_model_name=reply.chat_model_name,
                status=reply.status,
                outcome=reply.outcome,
                text=reply.text,
                finished_at=reply.finished_at,
            )
    return copied
