"""What the chat models answered."""

from django.db import models
from django.utils import timezone

from evaluation.models.runs import EvaluationRun


class StoredAnswer(models.Model):
    """All turns of one chat model to one question. Written after every turn, so that none is asked twice."""

    run = models.ForeignKey(EvaluationRun, on_delete=models.CASCADE, related_name="answers")
    question_id = models.CharField(max_length=200)
    chat_model = models.CharField(max_length=200)
    turns = models.JSONField(default=list, help_text="The texts so far.")
    complete = models.BooleanField(default=False)
    outcome = models.CharField(
        max_length=32, blank=True, help_text="A finish reason or an error code, of the last turn."
    )
    error_message = models.CharField(max_length=500, blank=True)
    attempts = models.PositiveSmallIntegerField(default=0, help_text="Calls that failed.")
    prompt_tokens = models.PositiveIntegerField(default=0)
    completion_tokens = models.PositiveIntegerField(default=0)
    seconds = models.FloatField(default=0.0, help_text="Of waiting and generating, all turns together.")
    extra = models.JSONField(
        default=dict, blank=True, editable=False, help_text="What an imported file said beyond our fields."
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ["id"]
        verbose_name = "answer"
        constraints = [
            models.UniqueConstraint(
                fields=["run", "chat_model", "question_id"], name="one_answer_per_run_model_and_question"
            )
        ]

    def __str__(self) -> str:
        return f"{self.chat_model}: {self.question_id}"
