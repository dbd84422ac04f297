"""The last known state of each worker, written from its heartbeats by the control worker."""

from datetime import timedelta

from django.db import models
from django.utils import timezone

# A heartbeat comes every second and its key lives for five; the control worker copies them every five.
STALE_AFTER = timedelta(seconds=10)


class Worker(models.Model):
    """A process that hosts chat models. Rows are records: nothing is steered by editing them."""

    name = models.CharField(max_length=200, unique=True)
    host = models.CharField(max_length=255)
    pid = models.PositiveIntegerField()
    version = models.CharField(max_length=50)
    hosted = models.JSONField(default=list, help_text="The chat models it hosts, as it describes them.")
    slots = models.PositiveIntegerField(default=0)
    in_flight = models.PositiveIntegerField(default=0)
    tokens_per_second = models.FloatField(default=0.0)
    memory_bytes = models.PositiveBigIntegerField(default=0)
    draining = models.BooleanField(default=False)
    started_at = models.DateTimeField()
    last_seen_at = models.DateTimeField(db_index=True)

    class Meta:
        ordering = ["-last_seen_at"]

    def __str__(self) -> str:
        return self.name

    @property
    def alive(self) -> bool:
        return timezone.now() - self.last_seen_at < STALE_AFTER
