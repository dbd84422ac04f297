"""What the leaderboard is solved from, what it says of a chat model, and the boards that were published.

Counters repeat what the votes say, so that a board of any slice needs a few thousand rows and not all votes. They can
be thrown away and counted again (`arena.services.counting.rebuild`).
"""

from typing import Any

from django.conf import settings
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from arena.models.battles import Battle, Vote

EVERYTHING = "all"
ALL_TIME = ""


def third_of(day: str) -> str:
    """The ten days or so that a day is in: 2026-11-0x until the 10th, 2026-11-1x until the 20th, then 2026-11-2x."""
    return f"{day[:8]}{min(2, (int(day[8:]) - 1) // 10)}x"


class PairCounter(models.Model):
    """The votes of one slice and one period on two chat models, the first of which stood on the left.

    Counts are votes; `…_weight` are sums of the votes' weights and `…_squares` sums of their squares, which the
    intervals need. A vote that finds both bad is a tie for the ratings and counted apart for people.
    """

    slice = models.CharField(max_length=80, help_text="“all”, “language:de”, “category:coding”, …")
    period = models.CharField(
        max_length=10,
        blank=True,
        help_text="A day (2026-11-24), a third of a month (2026-11-2x: from the 21st), a month, or empty: since ever.",
    )
    left = models.CharField(max_length=200)
    right = models.CharField(max_length=200)
    left_wins = models.IntegerField(default=0)
    right_wins = models.IntegerField(default=0)
    ties = models.IntegerField(default=0)
    both_bad = models.IntegerField(default=0)
    left_weight = models.FloatField(default=0.0)
    right_weight = models.FloatField(default=0.0)
    tie_weight = models.FloatField(default=0.0)
    left_squares = models.FloatField(default=0.0)
    right_squares = models.FloatField(default=0.0)
    tie_squares = models.FloatField(default=0.0)

    class Meta:
        constraints = [
            # In this order: a board reads one slice and one period, or a range of periods.
            models.UniqueConstraint(fields=["slice", "period", "left", "right"], name="one_counter_per_pair")
        ]
        # For the list of slices, which reads those of all time only: a thousandth of the rows where days are many.
        indexes = [models.Index(fields=["period", "slice"], name="counters_by_period")]

    def __str__(self) -> str:
        return f"{self.left} – {self.right} ({self.slice} {self.period})"


class CounterVersion(models.Model):
    """One row: goes up with every change of the counters, so that a solved board is known to be of today."""

    number = models.BigIntegerField(default=0)
    recount = models.CharField(
        max_length=32,
        blank=True,
        default="",
        help_text="The latest recount; an earlier one stops at its next portion.",
    )

    def __str__(self) -> str:
        return str(self.number)


class BattleStyle(models.Model):
    """How long and how decorated the two answers of a battle were. Counts; the ratings make differences of them."""

    battle = models.OneToOneField(Battle, on_delete=models.CASCADE, primary_key=True, related_name="style")
    left_length = models.PositiveIntegerField(help_text="Tokens, about.")
    right_length = models.PositiveIntegerField()
    left_headers = models.PositiveIntegerField()
    right_headers = models.PositiveIntegerField()
    left_lists = models.PositiveIntegerField()
    right_lists = models.PositiveIntegerField()
    left_bold = models.PositiveIntegerField()
    right_bold = models.PositiveIntegerField()

    def __str__(self) -> str:
        return str(self.battle_id)


class Listing(models.Model):
    """What the leaderboard says of a chat model beside its rating. One without a row is public."""

    class Visibility(models.TextChoices):
        PUBLIC = "public", _("Public")
        PRIVATE = "private", _("Private: rated, not shown")
        WITHDRAWN = "withdrawn", _("Withdrawn: no longer shown")

    name = models.CharField(max_length=200, unique=True, help_text="As it stands in the battles.")
    organisation = models.CharField(max_length=200, blank=True)
    licence = models.CharField(max_length=100, blank=True)
    link = models.URLField(blank=True)
    visibility = models.CharField(max_length=10, choices=Visibility.choices, default=Visibility.PUBLIC)

    class Meta:
        ordering = ["name"]
        verbose_name = "leaderboard entry"
        verbose_name_plural = "leaderboard entries"

    def __str__(self) -> str:
        return self.name


class ListingChange(models.Model):
    """The public log of what was hidden and shown again. Rows are only ever added."""

    name = models.CharField(max_length=200)
    visibility = models.CharField(max_length=10, choices=Listing.Visibility.choices)
    reason = models.CharField(max_length=300, blank=True)
    changed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ["-created_at", "-id"]

    def __str__(self) -> str:
        return f"{self.name}: {self.get_visibility_display()}"


class Immutable(Exception):  # noqa: N818 - reads as what it is
    """A published board was to be changed."""


class Snapshot(models.Model):
    """A published board with all that is needed to solve it again. Never changed, never deleted by the site."""

    slice = models.CharField(max_length=80, default=EVERYTHING)
    votes = models.PositiveIntegerField(editable=False)
    vote_ranges = models.JSONField(
        editable=False, help_text="The ids of the votes that counted: [[first, last], …], both included."
    )
    votes_hash = models.CharField(max_length=64, editable=False, help_text="SHA-256 of those votes.")
    code_version = models.CharField(max_length=200, editable=False)
    rows = models.JSONField(editable=False)
    spread = models.JSONField(
        default=dict,
        editable=False,
        help_text="How votes hang together: kinds (voter, prompt), voters, prompts. Empty: taken as independent.",
    )
    rows_hash = models.CharField(max_length=64, editable=False, help_text="SHA-256 of `rows`.")
    published_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ["-created_at", "-id"]
        verbose_name = "published board"

    def __str__(self) -> str:
        return f"#{self.pk} of {self.created_at:%Y-%m-%d %H:%M}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        if self.pk is not None:
            raise Immutable("A published board cannot be changed. Publish a new one.")
        super().save(*args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        raise Immutable("A published board cannot be deleted.")


class DailyStatistics(Vote):
    """No table of its own: the admin's page of what happened day by day."""

    class Meta:
        proxy = True
        default_permissions = ("view",)
        verbose_name = "daily statistics"
        verbose_name_plural = "daily statistics"
