"""Links that let others read a conversation."""

import secrets

from django.db import models
from django.utils import timezone

from arena.models.conversations import Conversation, Message


def new_key() -> str:
    return secrets.token_urlsafe(24)


class ConversationShare(models.Model):
    """What a link shows is as old as the link: nothing that is said later gets out through it."""

    conversation = models.OneToOneField(Conversation, on_delete=models.CASCADE, related_name="share")
    key = models.CharField(max_length=43, unique=True, default=new_key, editable=False)
    end = models.ForeignKey(
        Message, on_delete=models.CASCADE, related_name="+", help_text="The last message that is shown."
    )
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["-created_at"]

    def __str__(self) -> str:
        return f"link to {self.conversation}"
