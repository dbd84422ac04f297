"""Fine-tuning jobs: what was asked for, how far it is, and what came of it."""

import secrets

from django.conf import settings
from django.db import models
from django.utils import timezone

from chatsite.accounts.models import ApiKey
from workers.models import ApiFile


def new_job_id() -> str:
    return f"ftjob-{secrets.token_hex(12)}"


def new_checkpoint_id() -> str:
    return f"ftckpt-{secrets.token_hex(12)}"


class Job(models.Model):
    """One run. Its status changes by the conditional updates in `services.jobs` alone."""

    class Status(models.TextChoices):
        QUEUED = "queued"
        RUNNING = "running"
        PAUSED = "paused"
        SUCCEEDED = "succeeded"
        FAILED = "failed"
        CANCELLED = "cancelled"

    class Method(models.TextChoices):
        SUPERVISED = "supervised"
        DPO = "dpo"

    class Smoke(models.TextChoices):
        """The evaluation beside the parent, after success."""

        WAITING = "waiting", "Waits for workers of both"
        RUNNING = "running", "Running"
        DONE = "done", "Done"
        FAILED = "failed", "Failed"

    OPEN = (Status.QUEUED, Status.RUNNING, Status.PAUSED)

    public_id = models.CharField(max_length=40, unique=True, default=new_job_id, editable=False)
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="training_jobs"
    )
    api_key = models.ForeignKey(ApiKey, on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    base_model = models.CharField(max_length=200, help_text="Name of the chat model that is taught.")
    method = models.CharField(max_length=12, choices=Method.choices, default=Method.SUPERVISED)
    hyperparameters = models.JSONField(
        default=dict, blank=True, help_text="As asked for; “auto” leaves the choice."
    )
    training_file = models.ForeignKey(
        ApiFile, on_delete=models.SET_NULL, null=True, blank=True, related_name="training_jobs"
    )
    training_file_name = models.CharField(
        max_length=40, help_text="Its id, which outlives it; “arena” without one."
    )
    validation_file = models.ForeignKey(
        ApiFile, on_delete=models.SET_NULL, null=True, blank=True, related_name="validating_jobs"
    )
    validation_file_name = models.CharField(max_length=40, blank=True)
    source = models.JSONField(
        default=dict,
        blank=True,
        help_text="What is drawn from the arena when the job begins; empty with a file.",
    )
    held_out = models.PositiveSmallIntegerField(
        default=0, help_text="Percent of the training data that is measured on and not learnt."
    )
    sample_prompts = models.JSONField(
        default=list, blank=True, help_text="What the chat model answers on the way."
    )
    suffix = models.CharField(max_length=64, blank=True)
    seed = models.PositiveIntegerField()
    metadata = models.JSONField(default=dict, blank=True)
    status = models.CharField(max_length=12, choices=Status.choices, default=Status.QUEUED, db_index=True)
    error = models.JSONField(null=True, blank=True, help_text="code, message and param of what went wrong.")
    fine_tuned_model = models.CharField(
        max_length=200, blank=True, help_text="Name of the chat model it made."
    )
    trained_tokens = models.PositiveBigIntegerField(null=True, blank=True)
    smoke = models.CharField(max_length=8, choices=Smoke.choices, blank=True)
    smoke_judges = models.JSONField(default=list, blank=True)
    smoke_run = models.ForeignKey(
        "evaluation.EvaluationRun", on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    smoke_passed = models.BooleanField(null=True, blank=True)
    smoke_message = models.CharField(max_length=500, blank=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    started_at = models.DateTimeField(null=True, blank=True)
    estimated_finish = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-id"]
        verbose_name = "fine-tuning job"
        indexes = [
            models.Index(
                fields=["smoke"],
                condition=models.Q(smoke__in=["waiting", "running"]),
                name="open_smoke_evaluations",
            )
        ]

    def __str__(self) -> str:
        return self.public_id

    @property
    def open(self) -> bool:
        return self.status in self.OPEN

    @property
    def result_name(self) -> str:
        """What the chat model it makes will be called."""
        parts = ["ft", self.base_model, self.suffix, self.public_id.removeprefix("ftjob-")[:8]]
        return ":".join(part for part in parts if part)[:200]

    @classmethod
    def needs_files(cls) -> "models.QuerySet[Job]":
        """Those whose files may not be deleted."""
        return cls.objects.filter(status__in=cls.OPEN)


class JobEvent(models.Model):
    """Something to tell about a job, in the order of the rows."""

    class Level(models.TextChoices):
        INFO = "info"
        WARN = "warn"
        ERROR = "error"

    public_id = models.CharField(max_length=40, unique=True, editable=False)
    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="events")
    level = models.CharField(max_length=5, choices=Level.choices, default=Level.INFO)
    kind = models.CharField(max_length=10, default="message", help_text="“message” or “metrics”.")
    message = models.CharField(max_length=1000)
    data = models.JSONField(default=dict, blank=True)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return self.message


class Checkpoint(models.Model):
    """A state of the weights that can be gone on from, or served."""

    public_id = models.CharField(max_length=40, unique=True, default=new_checkpoint_id, editable=False)
    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="checkpoints")
    step = models.PositiveIntegerField()
    path = models.CharField(max_length=500, blank=True, help_text="On the training machine.")
    metrics = models.JSONField(default=dict, blank=True)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["-step"]
        constraints = [models.UniqueConstraint(fields=["job", "step"], name="one_checkpoint_per_step")]

    def __str__(self) -> str:
        return f"{self.job} at step {self.step}"
