"""What is known of an answer besides its text."""

from django.db import models
from django.utils import timezone

from arena.models.conversations import Reply


class Feedback(models.Model):
    """A thumb up or down for an answer, with reasons if the person likes."""

    reply = models.OneToOneField(Reply, on_delete=models.CASCADE, related_name="feedback")
    good = models.BooleanField()
    reasons = models.JSONField(default=list, blank=True)
    comment = models.CharField(max_length=500, blank=True)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["-created_at"]
        verbose_name_plural = "feedback"

    def __str__(self) -> str:
        return f"{'good' if self.good else 'bad'}: {self.reply_id}"


class TokenProbabilities(models.Model):
    """How sure the chat model was of each token of an answer. A table of its own, since it is long and seldom read."""

    reply = models.OneToOneField(Reply, on_delete=models.CASCADE, related_name="probabilities")
    # One list per token: its text, its logarithmic probability, and [text, logarithm] of the likeliest alternatives.
    tokens = models.JSONField()

    class Meta:
        verbose_name_plural = "token probabilities"

    def __str__(self) -> str:
        return f"probabilities of {self.reply_id}"
