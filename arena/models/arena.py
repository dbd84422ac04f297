"""What an operator sets up for the arena: who is drawn how often, the terms, and what moderation looks for."""

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from arena.models.battles import Battle
from workers.models import ChatModel


class Contender(models.Model):
    """How often a chat model is drawn. One without a row is drawn with weight 1."""

    chat_model = models.OneToOneField(ChatModel, on_delete=models.CASCADE, related_name="contender")
    weight = models.FloatField(
        default=1.0,
        validators=[MinValueValidator(0.0), MaxValueValidator(1000.0)],
        help_text="2 is drawn twice as often as 1; 0 is never drawn by chance, only for a pinned pair.",
    )

    class Meta:
        ordering = ["chat_model__name"]
        verbose_name = "chat model weight"

    def __str__(self) -> str:
        return f"{self.chat_model} × {self.weight:g}"


class PinnedPair(models.Model):
    """A pair that gets a share of all anonymous battles while both chat models are alive."""

    first = models.ForeignKey(ChatModel, on_delete=models.CASCADE, related_name="+")
    second = models.ForeignKey(ChatModel, on_delete=models.CASCADE, related_name="+")
    share = models.FloatField(
        default=0.2,
        validators=[MinValueValidator(0.0), MaxValueValidator(1.0)],
        help_text="Of all battles, 0 to 1. Shares that add up to more than 1 are scaled down.",
    )

    class Meta:
        constraints = [models.UniqueConstraint(fields=["first", "second"], name="pinned_once")]

    def __str__(self) -> str:
        return f"{self.first} – {self.second}"

    def clean(self) -> None:
        if self.first_id is not None and self.first_id == self.second_id:
            raise ValidationError({"second": "A battle needs two different chat models."})


class Terms(models.Model):
    """The terms of use of the arena; the newest hold. Without any, the built-in sentences hold (version 0)."""

    text = models.TextField(help_text="Plain text; an empty line starts a new paragraph.")
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ["-id"]
        verbose_name_plural = "terms"

    def __str__(self) -> str:
        return f"Version {self.pk}"


class TermsAcceptance(models.Model):
    """That a person has accepted a version of the terms."""

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="accepted_terms"
    )
    version = models.PositiveIntegerField()
    accepted_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["user", "version"], name="terms_accepted_once")]

    def __str__(self) -> str:
        return f"{self.user} accepted version {self.version}"


class BlockedPhrase(models.Model):
    """A phrase that the local word list looks for, as whole words and whatever the case."""

    class Action(models.TextChoices):
        REVIEW = "review", _("Put it into the review queue")
        REFUSE = "refuse", _("Refuse the message, or leave the vote out")

    phrase = models.CharField(max_length=200, unique=True)
    action = models.CharField(max_length=10, choices=Action.choices, default=Action.REVIEW)

    class Meta:
        ordering = ["phrase"]

    def __str__(self) -> str:
        return self.phrase


class ModerationCase(models.Model):
    """Something for an operator to look at: a person's flag, or what a moderator found."""

    class Origin(models.TextChoices):
        FLAG = "flag", _("Flagged by a person")
        PROMPT = "prompt", _("Found in a message")
        ANSWER = "answer", _("Found in an answer")

    class Status(models.TextChoices):
        OPEN = "open", _("Open")
        UPHELD = "upheld", _("Upheld")
        DISMISSED = "dismissed", _("Dismissed")

    battle = models.ForeignKey(
        Battle, on_delete=models.CASCADE, null=True, blank=True, related_name="moderation_cases"
    )
    reply = models.ForeignKey(
        "arena.Reply", on_delete=models.CASCADE, null=True, blank=True, related_name="moderation_cases"
    )
    origin = models.CharField(max_length=10, choices=Origin.choices)
    side = models.CharField(max_length=5, blank=True)
    moderator = models.CharField(max_length=100, blank=True)
    reason = models.CharField(max_length=500)
    excerpt = models.TextField(blank=True)
    severe = models.BooleanField(
        default=False, help_text="Leaves the battle's vote out while nobody dismisses it."
    )
    reported_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.OPEN)
    decided_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    decided_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ["-created_at"]
        indexes = [models.Index(fields=["status", "-created_at"], name="cases_by_status")]

    def __str__(self) -> str:
        return f"{self.get_origin_display()}: {self.reason[:60]}"
