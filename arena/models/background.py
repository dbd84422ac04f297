"""What is computed behind the leaderboard's back, so that no page waits for it. All of it can be thrown away."""

from django.db import models


class VoterSpread(models.Model):
    """By how much the errors of a slice's ratings grow because votes of one person, or on one prompt, hang together."""

    slice = models.CharField(max_length=80, unique=True)
    votes = models.PositiveIntegerField(help_text="That it was computed from.")
    voters = models.PositiveIntegerField(
        help_text="Different people among them; unknown ones count one each."
    )
    prompts = models.PositiveIntegerField(
        default=0, help_text="Different first messages among them; unknown ones count one each."
    )
    kinds = models.JSONField(
        default=list, help_text="What holds votes together here: voter, prompt, or both."
    )
    factors = models.JSONField(default=dict, help_text="For each chat model, 1 or more.")
    problem = models.CharField(max_length=300, blank=True, help_text="Why a kind is missing.")
    computed_at = models.DateTimeField()

    class Meta:
        ordering = ["slice"]

    def __str__(self) -> str:
        return self.slice


class KeptBoard(models.Model):
    """A board that takes too long to be solved while a page waits: that of many single votes with their style."""

    key = models.CharField(max_length=200, unique=True)
    version = models.BigIntegerField(default=-1, help_text="Of the counters when it was solved; -1: never.")
    board = models.JSONField(default=dict)
    asked_at = models.DateTimeField(null=True, help_text="When somebody last had it solved anew.")
    solved_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return self.key
