"""Who judges, and what they have said already."""

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models
from django.utils import timezone


class Judge(models.Model):
    """A chat model of the catalog, or one behind an OpenAI-compatible API elsewhere.

    The key of a remote judge is never stored: `key_variable` names the environment variable that holds it.
    """

    name = models.CharField(
        max_length=200,
        unique=True,
        validators=[
            RegexValidator(r"^[A-Za-z0-9][A-Za-z0-9._:/-]*$", "Use letters, digits and . _ : / - only.")
        ],
    )
    model = models.CharField(
        max_length=200, help_text="The name in the catalog, or the one the remote API knows."
    )
    base_url = models.URLField(
        max_length=500,
        blank=True,
        help_text="For example https://api.openai.com/v1; empty for a chat model of the catalog.",
    )
    key_variable = models.CharField(
        max_length=100,
        blank=True,
        validators=[
            RegexValidator(r"^[A-Z_][A-Z0-9_]*$", "Name an environment variable, not the key itself.")
        ],
        help_text="The environment variable that holds the API key.",
    )
    structured = models.BooleanField(default=False, help_text="It honours a JSON schema (response_format).")
    temperature = models.FloatField(default=0.0, validators=[MinValueValidator(0.0), MaxValueValidator(2.0)])
    max_tokens = models.PositiveIntegerField(default=2048, validators=[MinValueValidator(1)])
    concurrency = models.PositiveSmallIntegerField(
        default=8, validators=[MinValueValidator(1), MaxValueValidator(256)], help_text="Calls at once."
    )
    prompt_price = models.FloatField(
        default=0.0, validators=[MinValueValidator(0.0)], help_text="Per million tokens."
    )
    completion_price = models.FloatField(
        default=0.0, validators=[MinValueValidator(0.0)], help_text="Per million tokens."
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    @property
    def remote(self) -> bool:
        return bool(self.base_url)

    def clean(self) -> None:
        if self.key_variable and not self.base_url:
            raise ValidationError(
                {"key_variable": "A chat model of the catalog needs no key. Leave this empty."}
            )


class CachedJudgment(models.Model):
    """What a judge said to a prompt, under its content key: asked again with the same settings, it costs nothing.

    Only judgments with a verdict in them are kept; the verdict itself is parsed anew on each use.
    """

    content_key = models.CharField(max_length=64, unique=True)
    judge = models.CharField(max_length=200)
    text = models.TextField()
    prompt_tokens = models.PositiveIntegerField(default=0)
    completion_tokens = models.PositiveIntegerField(default=0)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ["-created_at"]

    def __str__(self) -> str:
        return f"{self.judge}: {self.content_key[:12]}"
