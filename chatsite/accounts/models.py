"""People, their API keys and what they used."""

from django.conf import settings
from django.contrib.auth.models import AbstractUser
from django.db import models
from django.db.models.functions import Lower
from django.utils import timezone


class User(AbstractUser):
    """A person. `email` may be empty (an operator's choice), but two people never share one."""

    class Meta(AbstractUser.Meta):
        constraints = [
            models.UniqueConstraint(Lower("username"), name="username_unique_ignoring_case"),
            models.UniqueConstraint(
                Lower("email"), condition=~models.Q(email=""), name="email_unique_ignoring_case"
            ),
        ]


class ApiKeyQuerySet(models.QuerySet["ApiKey"]):
    def usable(self) -> "ApiKeyQuerySet":
        now = timezone.now()
        return self.filter(revoked_at=None, owner__is_active=True).exclude(expires_at__lte=now)


class ApiKey(models.Model):
    """A Bearer key. The key itself is shown once and never stored: only its SHA-256 digest is.

    A plain digest is enough here: a key holds 256 random bits, so there is nothing to guess, and the look-up stays
    one indexed query.
    """

    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="api_keys")
    name = models.CharField(max_length=100)
    prefix = models.CharField(max_length=16, editable=False, help_text="The first characters, to recognise a key by.")
    digest = models.CharField(max_length=64, unique=True, editable=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    last_used_at = models.DateTimeField(null=True, blank=True, editable=False)
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True, editable=False)

    objects = ApiKeyQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at"]
        verbose_name = "API key"

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}…)"


class UsageRecord(models.Model):
    """Tokens of one finished, stopped or failed generation. Holds no text."""

    class Source(models.TextChoices):
        CHAT = "chat", "Chat page"
        API = "api", "API"

    request_id = models.CharField(max_length=32, unique=True)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="usage")
    api_key = models.ForeignKey(ApiKey, on_delete=models.SET_NULL, null=True, blank=True, related_name="usage")
    source = models.CharField(max_length=8, choices=Source.choices)
    chat_model = models.CharField(max_length=200)
    prompt_tokens = models.PositiveIntegerField(default=0)
    completion_tokens = models.PositiveIntegerField(default=0)
    outcome = models.CharField(max_length=32, help_text="A finish reason or an error code.")
    created_at = models.DateTimeField(default=timezone.now, db_index=True)

    class Meta:
        ordering = ["-created_at"]

    def __str__(self) -> str:
        return f"{self.chat_model}: {self.prompt_tokens} + {self.completion_tokens} tokens"
