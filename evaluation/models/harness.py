"""What lm-evaluation-harness measured of a chat model."""

from django.db import models
from django.utils import timezone

from evaluation.models.runs import EvaluationRun


class StoredTaskScore(models.Model):
    """One number of one task. No judge is behind it: the harness compares with right answers by itself."""

    run = models.ForeignKey(EvaluationRun, on_delete=models.CASCADE, related_name="task_scores")
    chat_model = models.CharField(max_length=200)
    task = models.CharField(max_length=200)
    metric = models.CharField(max_length=100, help_text="With the filter behind a comma, where there is one.")
    value = models.FloatField()
    stderr = models.FloatField(null=True, blank=True, help_text="Standard error; empty where there is none.")
    samples = models.PositiveIntegerField(null=True, blank=True)
    higher_is_better = models.BooleanField(null=True, blank=True)
    version = models.CharField(max_length=64, blank=True, help_text="Of the task.")
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ["id"]
        verbose_name = "task score"
        constraints = [
            models.UniqueConstraint(
                fields=["run", "chat_model", "task", "metric"], name="one_task_score_per_run_model_and_metric"
            )
        ]

    def __str__(self) -> str:
        return f"{self.chat_model}: {self.task} {self.metric}"
