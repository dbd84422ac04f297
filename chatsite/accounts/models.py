"""People, their API keys and what they used."""

from typing import TYPE_CHECKING, ClassVar

from asgiref.sync import sync_to_async
from django.conf import settings
from django.contrib.auth import models as auth_models
from django.core.validators import MinValueValidator
from django.db import models
from django.db.models.functions import Lower
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

if TYPE_CHECKING:
    UserManagerBase = auth_models.UserManager["User"]
else:  # not subscriptable at run time
    UserManagerBase = auth_models.UserManager


class UserManager(UserManagerBase):
    def get_by_natural_key(self, username: str | None) -> "User":
        """The person who logs in as `username`: an e-mail address or a username, in any case.

        The address comes first, so that nobody can stand in another's way with a username that looks like it.
        Called by Django's authentication for every way in, the admin's and the async one included.
        """
        # LOWER() is the expression of the unique indexes; `iexact` would be UPPER() and read every row.
        name = Lower(models.Value(username or ""))
        if "@" in (username or ""):
            # Leaving out the empty ones is the condition of the index, which is not used without it.
            owners = self.alias(lower_email=Lower("email")).filter(lower_email=name).exclude(email="")
            if owner := owners.first():
                return owner
        return self.alias(lower_username=Lower("username")).get(lower_username=name)

    async def aget_by_natural_key(self, username: str | None) -> "User":
        return await sync_to_async(self.get_by_natural_key)(username)


class ApiLimits(models.Model):
    """How much may be asked for through the API. An empty field sets no limit of its own."""

    requests_per_minute = models.PositiveIntegerField(
        _("requests per minute"), null=True, blank=True, validators=[MinValueValidator(1)]
    )
    requests_per_day = models.PositiveIntegerField(
        _("requests per day"), null=True, blank=True, validators=[MinValueValidator(1)]
    )
    tokens_per_minute = models.PositiveIntegerField(
        _("tokens per minute"), null=True, blank=True, validators=[MinValueValidator(1)]
    )
    tokens_per_day = models.PositiveIntegerField(
        _("tokens per day"), null=True, blank=True, validators=[MinValueValidator(1)]
    )

    class Meta:
        abstract = True


class User(ApiLimits, auth_models.AbstractUser):  # noqa: DJ008 - the second one's
    """A person. `email` may be empty (an operator's choice), but two people never share one."""

    objects: ClassVar[UserManager] = UserManager()

    class Meta(auth_models.AbstractUser.Meta):
        constraints = [
            models.UniqueConstraint(
                Lower("username"),
                name="username_unique_ignoring_case",
                violation_error_message=_("Another account has this username. Choose a different one."),
            ),
            models.UniqueConstraint(
                Lower("email"),
                condition=~models.Q(email=""),
                name="email_unique_ignoring_case",
                violation_error_message=_(
                    "Another account has this e-mail address. Log in to it, or use another."
                ),
            ),
        ]


class ApiKeyQuerySet(models.QuerySet["ApiKey"]):
    def usable(self) -> "ApiKeyQuerySet":
        now = timezone.now()
        return self.filter(revoked_at=None, owner__is_active=True).exclude(expires_at__lte=now)


class ApiKey(ApiLimits):
    """A Bearer key. The key itself is shown once and never stored: only its SHA-256 digest is.

    A plain digest is enough here: a key holds 256 random bits, so there is nothing to guess, and the look-up
    stays one indexed query.
    """

    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="api_keys")
    name = models.CharField(max_length=100)
    prefix = models.CharField(
        max_length=16, editable=False, help_text="The first characters, to recognise a key by."
    )
    digest = models.CharField(max_length=64, unique=True, editable=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    last_used_at = models.DateTimeField(null=True, blank=True, editable=False)
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True, editable=False)
    # Three lists, each of them empty for "all": a key without restrictions needs no upkeep when a model is added.
    allowed_models = models.JSONField(
        default=list, blank=True, help_text=_("Names of chat models; none means all.")
    )
    allowed_families = models.JSONField(
        default=list, blank=True, help_text=_("Groups of endpoints; none means all.")
    )
    allowed_addresses = models.JSONField(
        default=list,
        blank=True,
        help_text=_("Networks it may be used from, as 192.0.2.0/24; none means all."),
    )

    objects = ApiKeyQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at"]
        verbose_name = "API key"

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}…)"

    @property
    def restricted(self) -> bool:
        """Whether it may do less than its owner."""
        return bool(self.allowed_models or self.allowed_families or self.allowed_addresses)

    @property
    def good(self) -> bool:
        """Whether it lets anybody in at this moment; as `usable` says it of rows."""
        return self.revoked_at is None and not self.expired and self.owner.is_active

    @property
    def expired(self) -> bool:
        return self.expires_at is not None and self.expires_at <= timezone.now()


class UsageRecord(models.Model):
    """Tokens of one finished, stopped or failed generation. Holds no text."""

    class Source(models.TextChoices):
        CHAT = "chat", "Chat page"
        API = "api", "API"

    request_id = models.CharField(max_length=32, unique=True)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="usage"
    )
    api_key = models.ForeignKey(
        ApiKey, on_delete=models.SET_NULL, null=True, blank=True, related_name="usage"
    )
    source = models.CharField(max_length=8, choices=Source.choices)
    chat_model = models.CharField(max_length=200)
    prompt_tokens = models.PositiveIntegerField(default=0)
    completion_tokens = models.PositiveIntegerField(default=0)
    outcome = models.CharField(max_length=32, help_text="A finish reason or an error code.")
    created_at = models.DateTimeField(default=timezone.now, db_index=True)

    class Meta:
        ordering = ["-created_at"]
        indexes = [models.Index(fields=["user", "created_at"], name="usage_of_person")]

    def __str__(self) -> str:
        return f"{self.chat_model}: {self.prompt_tokens} + {self.completion_tokens} tokens"


class AuditEvent(models.Model):
    """Something that mattered for the safety of an account. Written once, never edited; holds no secret.

    A failed log-in to an unknown name has no `user`, and the name is not kept: people type passwords there.
    """

    class Kind(models.TextChoices):
        SIGNED_UP = "signed_up", _("Signed up")
        LOGGED_IN = "logged_in", _("Logged in")
        LOGIN_FAILED = "login_failed", _("Failed log-in")
        PASSWORD_CHANGED = "password_changed", _("Password changed")
        PASSWORD_RESET = "password_reset", _("Password reset by mail")
        EMAIL_CHANGED = "email_changed", _("E-mail address changed")
        KEY_CREATED = "key_created", _("API key created")
        KEY_CHANGED = "key_changed", _("API key changed")
        KEY_REVOKED = "key_revoked", _("API key revoked")

    kind = models.CharField(max_length=20, choices=Kind.choices)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.SET_NULL,
        null=True,
        related_name="audit_events",
        help_text="The account that it happened to.",
    )
    by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.SET_NULL,
        null=True,
        related_name="+",
        help_text="Who did it, when somebody else (an administrator) did.",
    )
    address = models.CharField(max_length=45, blank=True, help_text="The client's network address.")
    detail = models.CharField(max_length=200, blank=True)
    created_at = models.DateTimeField(default=timezone.now, db_index=True)

    class Meta:
        ordering = ["-created_at", "-id"]

    def __str__(self) -> str:
        return f"{self.get_kind_display()}: {self.user or '-'}"
