"""What judges said: one row is one game, that is one call to a judge or one person's choice."""

from django.conf import settings
from django.db import models
from django.utils import timezone

from evaluation.models.runs import EvaluationRun


class Winner(models.TextChoices):
    """FastChat's words, in the order of `model_1` and `model_2`, whichever was shown first."""

    MODEL_1 = "model_1", "Model 1"
    MODEL_2 = "model_2", "Model 2"
    TIE = "tie", "Tie"
    ERROR = "error", "No verdict"


class StoredVerdict(models.Model):
    """One call to a judge. An error has neither score nor winner of its own, and is never counted as one."""

    class Kind(models.TextChoices):
        SINGLE = "single", "Single"
        PAIR = "pair", "Pair"

    run = models.ForeignKey(EvaluationRun, on_delete=models.CASCADE, related_name="verdicts")
    kind = models.CharField(max_length=6, choices=Kind.choices)
    question_id = models.CharField(max_length=200)
    turn = models.PositiveSmallIntegerField(help_text="From 1.")
    judge = models.CharField(max_length=200)
    model_1 = models.CharField(max_length=200)
    model_2 = models.CharField(max_length=200, blank=True, help_text="Empty for a single verdict.")
    game = models.PositiveSmallIntegerField(default=1, help_text="2 when model 2 was shown first.")
    content_key = models.CharField(max_length=64, db_index=True, help_text="Of judge, prompt and settings.")
    score = models.FloatField(null=True, blank=True, help_text="1 to 10; of a single verdict.")
    winner = models.CharField(
        max_length=8, choices=Winner.choices, blank=True, help_text="Of a pair, mapped back if swapped."
    )
    prompt_name = models.CharField(max_length=64, blank=True)
    user_prompt = models.TextField(blank=True)
    judgment = models.TextField(blank=True, help_text="The judge's own words.")
    failed = models.BooleanField(default=False)
    error_message = models.CharField(max_length=500, blank=True)
    attempts = models.PositiveSmallIntegerField(default=0, help_text="Calls that gave no verdict.")
    cached = models.BooleanField(default=False, help_text="Taken from the cache: it cost nothing.")
    prompt_tokens = models.PositiveIntegerField(default=0)
    completion_tokens = models.PositiveIntegerField(default=0)
    seconds = models.FloatField(default=0.0)
    extra = models.JSONField(
        default=dict, blank=True, editable=False, help_text="What an imported file said beyond our fields."
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ["id"]
        verbose_name = "verdict"
        constraints = [
            models.UniqueConstraint(
                fields=["run", "judge", "question_id", "turn", "model_1", "model_2", "game"],
                name="one_verdict_per_game",
            )
        ]

    def __str__(self) -> str:
        return f"{self.judge} on {self.question_id}, turn {self.turn}"


class HumanVerdict(models.Model):
    """One person's choice between two answers, made without knowing whose they are."""

    run = models.ForeignKey(EvaluationRun, on_delete=models.CASCADE, related_name="human_verdicts")
    person = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="evaluation_verdicts"
    )
    question_id = models.CharField(max_length=200)
    turn = models.PositiveSmallIntegerField(help_text="From 1.")
    model_1 = models.CharField(max_length=200)
    model_2 = models.CharField(max_length=200)
    winner = models.CharField(max_length=8, choices=Winner.choices)
    swapped = models.BooleanField(default=False, help_text="Model 2 was shown on the left.")
    seconds = models.FloatField(null=True, blank=True, help_text="From showing to choosing.")
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(
                fields=["run", "person", "question_id", "turn", "model_1", "model_2"],
                name="one_human_verdict_per_pair_and_person",
            )
        ]

    def __str__(self) -> str:
        return f"{self.person} on {self.question_id}, turn {self.turn}"
