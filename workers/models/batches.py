"""Batches: files of requests that run when nobody waits for the chat model."""

import uuid

from django.conf import settings
from django.db import models
from django.utils import timezone

from chatsite.accounts.models import ApiKey
from workers.models.files import ApiFile


def new_batch_id() -> str:
    return f"batch_{uuid.uuid4().hex}"


class Batch(models.Model):
    class Status(models.TextChoices):
        FAILED = "failed"
        """The input cannot be used; nothing was run."""
        IN_PROGRESS = "in_progress"
        FINALIZING = "finalizing"
        """All requests are answered; the output files are being written."""
        COMPLETED = "completed"
        EXPIRED = "expired"
        CANCELLING = "cancelling"
        CANCELLED = "cancelled"

    OPEN = (Status.IN_PROGRESS, Status.FINALIZING, Status.CANCELLING)

    public_id = models.CharField(max_length=40, unique=True, default=new_batch_id, editable=False)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="batches")
    api_key = models.ForeignKey(ApiKey, on_delete=models.SET_NULL, null=True, related_name="batches")
    endpoint = models.CharField(max_length=60)
    completion_window = models.CharField(max_length=8)
    metadata = models.JSONField(default=dict, blank=True)
    input_file = models.ForeignKey(ApiFile, on_delete=models.SET_NULL, null=True, related_name="batches")
    input_file_name = models.CharField(max_length=40, help_text="Its id, which outlives it.")
    output_file = models.ForeignKey(ApiFile, on_delete=models.SET_NULL, null=True, related_name="+")
    error_file = models.ForeignKey(ApiFile, on_delete=models.SET_NULL, null=True, related_name="+")
    output_lifetime = models.PositiveIntegerField(null=True, blank=True, help_text="Seconds.")
    status = models.CharField(max_length=12, choices=Status.choices, default=Status.IN_PROGRESS)
    errors = models.JSONField(default=list, blank=True, help_text="Why it failed, as OpenAI's error objects.")
    total = models.PositiveIntegerField(default=0)
    completed = models.PositiveIntegerField(default=0)
    failed = models.PositiveIntegerField(default=0)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    started_at = models.DateTimeField(null=True)
    expires_at = models.DateTimeField()
    finalizing_at = models.DateTimeField(null=True)
    cancelling_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)
    # Who works on it: one process at a time, as long as it renews the lease.
    runner = models.CharField(max_length=100, blank=True)
    lease_until = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-id"]
        verbose_name_plural = "batches"
        indexes = [models.Index(fields=["status"], name="batch_by_status")]

    def __str__(self) -> str:
        return self.public_id

    @property
    def open(self) -> bool:
        return self.status in self.OPEN

    @classmethod
    def needs_files(cls) -> "models.QuerySet[Batch]":
        """Those whose input may not be deleted."""
        return cls.objects.filter(status__in=cls.OPEN)


class BatchLine(models.Model):
    """One request of a batch. What it says stays in the input file; what came of it is here until it is written out.

    `custom_id` and `number` are unique in a batch, and a line becomes done once: that is what "exactly once" rests on.
    """

    class Status(models.IntegerChoices):
        WAITING = 0
        RUNNING = 1
        """Submitted under `request_id`, maybe by a process that is gone."""
        DONE = 2

    batch = models.ForeignKey(Batch, on_delete=models.CASCADE, related_name="lines")
    number = models.PositiveIntegerField(help_text="In the input file, from 1.")
    custom_id = models.CharField(max_length=512)
    chat_model = models.CharField(max_length=200)
    offset = models.PositiveBigIntegerField()
    length = models.PositiveIntegerField()
    status = models.PositiveSmallIntegerField(choices=Status.choices, default=Status.WAITING)
    request_id = models.CharField(max_length=32, blank=True)
    tries = models.PositiveSmallIntegerField(default=0)
    http_status = models.PositiveSmallIntegerField(null=True)
    response = models.TextField(blank=True, help_text="The body of the answer.")

    class Meta:
        ordering = ["number"]
        constraints = [
            models.UniqueConstraint(fields=["batch", "number"], name="one_line_per_number"),
            models.UniqueConstraint(fields=["batch", "custom_id"], name="one_line_per_custom_id"),
        ]
        indexes = [models.Index(fields=["batch", "status", "number"], name="line_by_status")]

    def __str__(self) -> str:
        return f"{self.custom_id} ({self.get_status_display()})"
