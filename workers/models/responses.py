"""What the API keeps of answers for those who ask for it: responses, and stored chat completions."""

from django.conf import settings
from django.db import models
from django.utils import timezone

from chatsite.accounts.models import ApiKey


class Kept(models.Model):
    """An answer of one person. `body` is the object as the client sees it."""

    public_id = models.CharField(max_length=60, unique=True)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    api_key = models.ForeignKey(ApiKey, on_delete=models.SET_NULL, null=True, related_name="+")
    chat_model = models.CharField(max_length=200)
    metadata = models.JSONField(default=dict, blank=True)
    body = models.JSONField()
    created_at = models.DateTimeField(default=timezone.now, db_index=True)

    class Meta:
        abstract = True
        ordering = ["-id"]

    def __str__(self) -> str:
        return self.public_id


class StoredCompletion(Kept):
    """A chat completion that was asked for with `store: true`."""

    messages = models.JSONField(help_text="What it answers.")


class StoredResponse(Kept):
    """A response: one turn of a conversation that `previous` leads back through."""

    class Status(models.TextChoices):
        QUEUED = "queued"
        IN_PROGRESS = "in_progress"
        COMPLETED = "completed"
        INCOMPLETE = "incomplete"
        FAILED = "failed"
        CANCELLED = "cancelled"

    OPEN = (Status.QUEUED, Status.IN_PROGRESS)

    request_id = models.CharField(max_length=32, unique=True, help_text="Of the generation.")
    status = models.CharField(max_length=12, choices=Status.choices, default=Status.IN_PROGRESS)
    background = models.BooleanField(default=False)
    input = models.JSONField(help_text="The items that this turn added, each with its id.")
    previous = models.ForeignKey("self", on_delete=models.SET_NULL, null=True, related_name="+")
