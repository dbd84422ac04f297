"""Battles and votes. The names of a battle's chat models are text: results outlive the catalog.

A battle fought here keeps what was said in two conversations (`sides`); an imported one keeps it in `turns`.
"""

import hashlib
import uuid

from django.conf import settings
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

SITE = "site"


class Labeller(models.TextChoices):
    """From the least trusted to the most."""

    RULES = "rules", _("Rules")
    JUDGE = "judge", _("A judge model")
    OPERATOR = "operator", _("An operator")


class Battle(models.Model):
    """Two chat models answer the same prompts, on the left and on the right."""

    class Mode(models.TextChoices):
        ANONYMOUS = "anonymous", _("Anonymous battle")
        SIDE_BY_SIDE = "side_by_side", _("Side by side")

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    mode = models.CharField(max_length=16, choices=Mode.choices, default=Mode.ANONYMOUS)
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="battles",
        help_text="Who wrote the prompts; none for an imported battle, or when the account is gone.",
    )
    left_name = models.CharField(max_length=200)
    right_name = models.CharField(max_length=200)
    propensity = models.FloatField(
        null=True, blank=True, help_text="How probable it was that this pair was drawn, in either order."
    )
    nonce = models.CharField(max_length=64, blank=True, help_text="Opened together with the names.")
    commitment = models.CharField(max_length=64, blank=True, help_text="Shown before the vote.")
    revealed_at = models.DateTimeField(null=True, blank=True)
    share_key = models.CharField(max_length=43, blank=True, help_text="Empty: nobody else can read it.")

    prompt_fingerprint = models.CharField(
        max_length=64,
        blank=True,
        db_index=True,
        help_text="The same for prompts that differ in case and blanks only.",
    )
    language = models.CharField(max_length=16, blank=True)
    categories = models.JSONField(default=list, blank=True)
    labelled_by = models.CharField(
        max_length=10,
        choices=Labeller.choices,
        default=Labeller.RULES,
        help_text="Who chose language and categories; nobody undoes what an operator chose.",
    )

    source = models.CharField(max_length=100, default=SITE, help_text="“site”, or what it was imported from.")
    external_id = models.CharField(max_length=200, blank=True, help_text="Its id where it came from.")
    turns = models.JSONField(
        default=list, blank=True, help_text='Imported text: a list of {"prompt", "left", "right"}.'
    )
    created_at = models.DateTimeField(default=timezone.now, db_index=True)

    class Meta:
        ordering = ["-created_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["source", "external_id"],
                condition=~models.Q(external_id=""),
                name="imported_once",
            ),
            models.UniqueConstraint(
                fields=["share_key"], condition=~models.Q(share_key=""), name="one_battle_per_share_key"
            ),
        ]
        indexes = [models.Index(fields=["owner", "-created_at"], name="battles_of_owner")]

    def __str__(self) -> str:
        return f"{self.get_mode_display()} {str(self.pk)[:8]}"

    @property
    def revealed(self) -> bool:
        """Whether the names may be seen."""
        return self.mode == self.Mode.SIDE_BY_SIDE or self.revealed_at is not None


class Vote(models.Model):
    """One verdict on one battle. Kept for ever; whether it counts is a decision that can be taken back."""

    class Choice(models.TextChoices):
        LEFT = "left", _("Left is better")
        RIGHT = "right", _("Right is better")
        TIE = "tie", _("Tie")
        BOTH_BAD = "both_bad", _("Both are bad")

    class Exclusion(models.TextChoices):
        NAMED = "named", _("The chat models were named from the start")
        IDENTITY = "identity", _("An answer gave away who wrote it")
        REPEATED = "repeated", _("The same person voted on the same prompt and pair before")
        USER_LIMIT = "user_limit", _("The person votes too often")
        ADDRESS_LIMIT = "address_limit", _("Too many votes come from the same address")
        OUTLIER = "outlier", _("The person's votes do not look like those of others")
        MODERATION = "moderation", _("Moderation found fault with it")
        MANUAL = "manual", _("An operator's decision")

    battle = models.ForeignKey(Battle, on_delete=models.CASCADE, related_name="votes")
    voter = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="votes"
    )
    voter_key = models.CharField(
        max_length=100, blank=True, db_index=True, help_text="The same for all votes of one person; no name."
    )
    choice = models.CharField(max_length=10, choices=Choice.choices)
    turn = models.PositiveIntegerField(default=1, help_text="How many turns the battle had.")
    reasons = models.JSONField(default=list, blank=True)
    weight = models.FloatField(default=1.0)
    counted = models.BooleanField(default=True)
    entered = models.BooleanField(
        default=False, editable=False, help_text="Whether it is in the leaderboard's counters."
    )
    exclusion = models.CharField(max_length=20, choices=Exclusion.choices, blank=True)
    evidence = models.JSONField(default=dict, blank=True)
    address_hash = models.CharField(
        max_length=64, blank=True, help_text="Keyed: no address can be read from it."
    )
    created_at = models.DateTimeField(default=timezone.now, db_index=True)

    class Meta:
        ordering = ["-created_at"]
        constraints = [models.UniqueConstraint(fields=["battle"], name="one_vote_per_battle")]
        indexes = [
            models.Index(fields=["voter", "-created_at"], name="votes_of_voter"),
            models.Index(fields=["address_hash", "-created_at"], name="votes_of_address"),
        ]

    def __str__(self) -> str:
        return f"{self.get_choice_display()} ({self.battle_id})"


class VoteDecision(models.Model):
    """Why a vote was left out or let in again, and who decided it. Rows are only ever added."""

    vote = models.ForeignKey(Vote, on_delete=models.CASCADE, related_name="decisions")
    counted = models.BooleanField()
    exclusion = models.CharField(max_length=20, choices=Vote.Exclusion.choices, blank=True)
    note = models.CharField(max_length=500, blank=True)
    evidence = models.JSONField(default=dict, blank=True)
    decided_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
        help_text="None: a rule.",
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ["created_at"]

    def __str__(self) -> str:
        return f"{'counted' if self.counted else 'left out'}: {self.get_exclusion_display() or self.note}"


def fingerprint(prompt: str) -> str:
    """Names a prompt whatever its case and blanks."""
    return hashlib.sha256(" ".join(prompt.casefold().split()).encode()).hexdigest()
