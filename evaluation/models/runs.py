"""An evaluation: which questions, which chat models, which judges, and how far it has come."""

import uuid

from django.conf import settings
from django.db import models
from django.urls import reverse
from django.utils import timezone


class SuiteSnapshot(models.Model):
    """The questions as they were when a run began. Content-addressed: runs on the same questions share one row."""

    content_hash = models.CharField(max_length=64, unique=True, help_text="SHA-256 of the questions.")
    name = models.CharField(max_length=200)
    version = models.CharField(max_length=64, blank=True)
    questions = models.JSONField(help_text="`evaluation.records.Question`, one object each.")
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ["-created_at"]

    def __str__(self) -> str:
        return f"{self.name} {self.version}".strip()


class EvaluationRun(models.Model):
    """One job. Whoever works on it holds a lease (`runner`, `lease_until`); a lease that ran out may be taken over."""

    class Mode(models.TextChoices):
        SINGLE = "single", "Single: each answer gets a score"
        PAIRWISE_BASELINE = "pairwise-baseline", "Pairwise: each chat model against the baseline"
        PAIRWISE_ALL = "pairwise-all", "Pairwise: each chat model against each"
        HARNESS = "harness", "Tasks of lm-evaluation-harness, without judges"

    class Status(models.TextChoices):
        QUEUED = "queued", "Queued"
        RUNNING = "running", "Running"
        FINISHED = "finished", "Finished"
        FAILED = "failed", "Failed"
        CANCELLED = "cancelled", "Cancelled"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    suite = models.ForeignKey(SuiteSnapshot, on_delete=models.PROTECT, related_name="runs")
    suite_source = models.CharField(max_length=500, help_text="The name, path or URL that was asked for.")
    chat_models = models.JSONField(help_text="Names, kept when a chat model is deleted.")
    judges = models.JSONField(default=list, blank=True, help_text="Names; empty for answers only.")
    mode = models.CharField(max_length=20, choices=Mode.choices, default=Mode.SINGLE)
    baseline = models.CharField(max_length=200, blank=True)
    parameters = models.JSONField(
        default=dict, blank=True, help_text="limit, concurrency, max_tokens, seed, swap …"
    )
    estimate = models.JSONField(
        default=dict, blank=True, help_text="Calls, tokens, seconds and cost foreseen."
    )
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.QUEUED)
    cancel_requested = models.BooleanField(default=False, editable=False)
    error_message = models.CharField(max_length=500, blank=True)
    # One unit is one call to a chat model: one turn of an answer, or one judgment.
    answers_total = models.PositiveIntegerField(default=0)
    answers_done = models.PositiveIntegerField(default=0)
    verdicts_total = models.PositiveIntegerField(default=0)
    verdicts_done = models.PositiveIntegerField(default=0)
    errors = models.PositiveIntegerField(default=0, help_text="Calls that were given up, retries included.")
    runner = models.CharField(max_length=64, blank=True, editable=False)
    lease_until = models.DateTimeField(null=True, blank=True, editable=False)
    claims = models.PositiveSmallIntegerField(
        default=0,
        editable=False,
        help_text="How often somebody began to work on it without finishing a call.",
    )
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="evaluations"
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    started_at = models.DateTimeField(null=True, blank=True, editable=False)
    finished_at = models.DateTimeField(null=True, blank=True, editable=False)

    class Meta:
        ordering = ["-created_at"]
        verbose_name = "evaluation"
        indexes = [
            models.Index(
                fields=["lease_until"],
                condition=models.Q(status__in=["queued", "running"]),
                name="open_evaluations",
            )
        ]

    def __str__(self) -> str:
        return f"{self.suite.name}: {', '.join(self.chat_models)}"

    def get_absolute_url(self) -> str:
        """Its report; the admin links to it as "View on site"."""
        return reverse("evaluation:run", args=[self.pk])

    @property
    def open(self) -> bool:
        return self.status in (self.Status.QUEUED, self.Status.RUNNING)

    @property
    def progress(self) -> float:
        """From 0 to 1."""
        total = self.answers_total + self.verdicts_total
        return min(1.0, (self.answers_done + self.verdicts_done) / total) if total else float(not self.open)
