"""Files that people upload for batches and fine-tuning, and those that batches write for them."""

import uuid
from pathlib import Path

from django.conf import settings
from django.db import models
from django.utils import timezone


def new_file_id() -> str:
    return f"file-{uuid.uuid4().hex}"


class ApiFile(models.Model):
    """A file of one person. Its bytes are in the data directory, under the public id; both go together."""

    class Purpose(models.TextChoices):
        BATCH = "batch"
        FINE_TUNE = "fine-tune"
        VISION = "vision"
        USER_DATA = "user_data"
        EVALS = "evals"
        ASSISTANTS = "assistants"
        BATCH_OUTPUT = "batch_output"
        FINE_TUNE_RESULTS = "fine-tune-results"

    public_id = models.CharField(max_length=40, unique=True, default=new_file_id, editable=False)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="api_files")
    filename = models.CharField(max_length=255)
    purpose = models.CharField(max_length=20, choices=Purpose.choices)
    size = models.PositiveBigIntegerField(help_text="Bytes.")
    lines = models.PositiveIntegerField(null=True, blank=True, help_text="Of a JSONL file.")
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    expires_at = models.DateTimeField(null=True, blank=True, db_index=True)

    class Meta:
        ordering = ["-id"]
        verbose_name = "API file"

    def __str__(self) -> str:
        return f"{self.filename} ({self.public_id})"

    @property
    def path(self) -> Path:
        return folder() / self.public_id[-2:] / self.public_id


def folder() -> Path:
    """Where the bytes of all files are."""
    return Path(settings.DATA_DIR) / "files"
