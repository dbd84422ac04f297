"""Settings of a conversation that a person has given a name."""

from django.conf import settings
from django.core.validators import MaxLengthValidator, MaxValueValidator, MinValueValidator
from django.db import models
from django.utils.translation import gettext_lazy as _


class Preset(models.Model):
    """A system prompt and parameters to begin a conversation with. None is the chat model's own default."""

    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="presets")
    name = models.CharField(max_length=60)
    system_prompt = models.TextField(blank=True, max_length=20_000, validators=[MaxLengthValidator(20_000)])
    temperature = models.FloatField(
        null=True, blank=True, validators=[MinValueValidator(0.0), MaxValueValidator(2.0)]
    )
    top_p = models.FloatField(
        null=True, blank=True, validators=[MinValueValidator(0.0), MaxValueValidator(1.0)]
    )
    max_tokens = models.PositiveIntegerField(
        null=True, blank=True, validators=[MinValueValidator(1), MaxValueValidator(1_000_000)]
    )
    # What each new conversation begins with.
    default = models.BooleanField(default=False)

    class Meta:
        ordering = ["name"]
        constraints = [
            models.UniqueConstraint(
                fields=["owner", "name"],
                name="one_preset_per_name",
                violation_error_message=_("There is a preset of this name already."),
            ),
            models.UniqueConstraint(
                fields=["owner"], condition=models.Q(default=True), name="one_default_preset"
            ),
        ]

    def __str__(self) -> str:
        return self.name
