"""Files that people show to chat models."""

import uuid

from django.conf import settings
from django.db import models
from django.utils import timezone

from arena.models.conversations import Message


class Attachment(models.Model):
    """A text, or an image. Until its message is sent it belongs to nothing, and goes after a day.

    The content lies in the database: it is private, goes with its message and its owner, and every web process has it.
    """

    class Kind(models.TextChoices):
        TEXT = "text", "Text"
        IMAGE = "image", "Image"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="attachments")
    message = models.ForeignKey(
        Message, on_delete=models.CASCADE, null=True, blank=True, related_name="attachments"
    )
    position = models.PositiveSmallIntegerField(default=0)
    kind = models.CharField(max_length=5, choices=Kind.choices)
    name = models.CharField(max_length=200)
    content_type = models.CharField(max_length=100)
    size = models.PositiveIntegerField(help_text="Bytes of the content.")
    content = models.BinaryField()
    # What a chat model reads of it; "" for an image.
    text = models.TextField(blank=True)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["position", "created_at"]
        indexes = [
            models.Index(fields=["created_at"], condition=models.Q(message=None), name="attachments_not_sent")
        ]

    def __str__(self) -> str:
        return self.name
