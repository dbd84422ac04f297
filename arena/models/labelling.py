"""What prompts are about: names for the categories, and topics that were found in the prompts themselves."""

from django.core.validators import RegexValidator
from django.db import models
from django.utils.translation import gettext_lazy as _


class Category(models.Model):
    """How the leaderboard names a category. One without a row goes by its own name."""

    slug = models.CharField(
        max_length=60,
        unique=True,
        validators=[RegexValidator(r"^[a-z0-9_-]+\Z", _("Small letters, digits, - and _ only."))],
        help_text="As it stands in the battles, for example instruction_following.",
    )
    title = models.CharField(max_length=100, help_text="As people read it.")
    description = models.CharField(max_length=300, blank=True)
    offered = models.BooleanField(default=True, help_text="Whether the leaderboard offers it.")

    class Meta:
        ordering = ["slug"]
        verbose_name_plural = "categories"

    def __str__(self) -> str:
        return self.title


class Topic(models.Model):
    """A group of prompts that share words. All rows are of the newest search."""

    words = models.JSONField(help_text="That set it apart, the strongest first.")
    prompts = models.PositiveIntegerField()
    share = models.FloatField(help_text="Of all prompts that were looked at, 0 to 1.")
    examples = models.JSONField(help_text="The prompts nearest to its middle.")
    searched_at = models.DateTimeField()

    class Meta:
        ordering = ["-prompts", "id"]
        default_permissions = ("view",)

    def __str__(self) -> str:
        return " · ".join(self.words[:5])
