"""A person's talks with chat models."""

import uuid

from django.conf import settings
from django.core.validators import MaxLengthValidator, MaxValueValidator, MinValueValidator
from django.db import models
from django.utils import timezone

from workers.models import ChatModel


class Conversation(models.Model):
    """One talk: its settings hold for the next message, so a reply keeps a copy of what made it."""

    class Side(models.TextChoices):
        LEFT = "left", "Left"
        RIGHT = "right", "Right"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="conversations"
    )
    title = models.CharField(max_length=200, blank=True)
    chat_model = models.ForeignKey(
        ChatModel, on_delete=models.SET_NULL, null=True, related_name="conversations"
    )
    # A TextField's max_length is for forms only.
    system_prompt = models.TextField(blank=True, max_length=20_000, validators=[MaxLengthValidator(20_000)])
    # None = the chat model's own default.
    temperature = models.FloatField(
        null=True, blank=True, validators=[MinValueValidator(0.0), MaxValueValidator(2.0)]
    )
    top_p = models.FloatField(
        null=True, blank=True, validators=[MinValueValidator(0.0), MaxValueValidator(1.0)]
    )
    max_tokens = models.PositiveIntegerField(
        null=True, blank=True, validators=[MinValueValidator(1), MaxValueValidator(1_000_000)]
    )
    # The same seed gives the same answer to the same words; None is chance.
    seed = models.PositiveBigIntegerField(null=True, blank=True, validators=[MaxValueValidator(2**32 - 1)])
    # One side of a battle is a conversation that the chat pages neither list nor open: they would name its chat model.
    battle = models.ForeignKey(
        "arena.Battle", on_delete=models.CASCADE, null=True, blank=True, related_name="sides"
    )
    side = models.CharField(max_length=5, choices=Side.choices, blank=True)
    pinned = models.BooleanField(default=False)
    # A word to find it under in the list; "" for none.
    folder = models.CharField(max_length=60, blank=True)
    # Whether the next answers keep how sure the chat model was of each token.
    probabilities = models.BooleanField(default=False)
    # Names what was imported, so that a file that comes twice makes nothing twice.
    imported_as = models.CharField(max_length=64, blank=True, editable=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    updated_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["-updated_at"]
        indexes = [models.Index(fields=["owner", "-updated_at"], name="conversations_of_owner")]
        constraints = [
            models.UniqueConstraint(fields=["battle", "side"], name="one_conversation_per_side"),
            models.UniqueConstraint(
                fields=["owner", "imported_as"],
                condition=~models.Q(imported_as=""),
                name="conversation_imported_once",
            ),
        ]

    def __str__(self) -> str:
        return self.title or "New conversation"


class Message(models.Model):
    """What the person wrote. Its replies answer it; the newest reply is the one the talk goes on with.

    Messages are a tree: an edited message stands beside the one it was made from, behind the same `previous`. The
    active ones are the branch that is shown and gone on with, one for each position.
    """

    conversation = models.ForeignKey(Conversation, on_delete=models.CASCADE, related_name="messages")
    position = models.PositiveIntegerField()
    previous = models.ForeignKey(
        "self", on_delete=models.CASCADE, null=True, blank=True, related_name="following", editable=False
    )
    active = models.BooleanField(default=True, editable=False)
    text = models.TextField()
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ["position"]
        constraints = [
            models.UniqueConstraint(
                fields=["conversation", "position"],
                condition=models.Q(active=True),
                name="one_active_message_per_position",
            )
        ]

    def __str__(self) -> str:
        return self.text[:60]


class Reply(models.Model):
    """One generated message. It exists (queued) before its first token does; `id.hex` names its stream."""

    class Status(models.TextChoices):
        QUEUED = "queued", "Queued or running"
        FINISHED = "finished", "Finished"
        FAILED = "failed", "Failed"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    message = models.ForeignKey(Message, on_delete=models.CASCADE, related_name="replies")
    chat_model = models.ForeignKey(ChatModel, on_delete=models.SET_NULL, null=True, related_name="replies")
    chat_model_name = models.CharField(max_length=200, help_text="Kept when the chat model is deleted.")
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.QUEUED)
    text = models.TextField(blank=True)
    reasoning = models.TextField(blank=True, help_text="What it thought before it answered.")
    outcome = models.CharField(max_length=32, blank=True, help_text="A finish reason or an error code.")
    error_message = models.CharField(max_length=500, blank=True)
    sampling = models.JSONField(default=dict, help_text="The parameters it was made with.")
    system_prompt = models.TextField(blank=True)
    client_id = models.CharField(
        max_length=64,
        blank=True,
        editable=False,
        help_text="The page's name for the wish: sent twice, granted once.",
    )
    prompt_tokens = models.PositiveIntegerField(null=True, blank=True)
    completion_tokens = models.PositiveIntegerField(null=True, blank=True)
    first_token_seconds = models.FloatField(null=True, blank=True)
    total_seconds = models.FloatField(null=True, blank=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["created_at"]
        verbose_name_plural = "replies"
        constraints = [
            # One answer at a time: a double click or a second tab must not start two.
            models.UniqueConstraint(
                fields=["message"], condition=models.Q(status="queued"), name="one_running_reply_per_message"
            )
        ]
        indexes = [
            # A handful of rows out of all: how many a person has running, and what may have been lost.
            models.Index(fields=["created_at"], condition=models.Q(status="queued"), name="running_replies"),
            models.Index(
                fields=["client_id"], condition=~models.Q(client_id=""), name="replies_by_client_id"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.chat_model_name}: {self.text[:60]}"

    @property
    def running(self) -> bool:
        return self.status == self.Status.QUEUED

    @property
    def repeatable(self) -> bool:
        """Whether the same request gives the same answer."""
        return "seed" in self.sampling or self.sampling.get("temperature") == 0
