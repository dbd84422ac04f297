"""Makes, checks and revokes API keys. The key itself exists only in the return value of `create`."""

import hashlib
import re
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Q
from django.utils import timezone
from django.utils.crypto import constant_time_compare
from django.utils.translation import gettext as _

from chatsite.accounts.models import ApiKey, AuditEvent, User
from chatsite.accounts.services import access, audit

PREFIX_LENGTH: Final = 10
LAST_USED_RESOLUTION: Final = timedelta(minutes=1)
# Far more than a person uses; stops a script that makes a key for each of its runs.
KEYS_PER_PERSON: Final = 100

LIMIT_FIELDS: Final = ("requests_per_minute", "requests_per_day", "tokens_per_minute", "tokens_per_day")
RESTRICTING_FIELDS: Final = ("allowed_models", "allowed_families", "allowed_addresses", *LIMIT_FIELDS)

# "sk-" is what OpenAI's clients and secret scanners know; 32 bytes are 43 characters of URL-safe base64.
_SHAPE: Final = re.compile(r"sk-[A-Za-z0-9_-]{43}", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Restrictions:
    """What a key may do less than its owner. An empty list and None restrict nothing."""

    models: Sequence[str] = ()
    families: Sequence[str] = ()
    addresses: Sequence[str] = ()
    requests_per_minute: int | None = None
    requests_per_day: int | None = None
    tokens_per_minute: int | None = None
    tokens_per_day: int | None = None


NO_RESTRICTIONS: Final = Restrictions()


@transaction.atomic
def create(
    *,
    owner: User,
    name: str,
    expires_at: datetime | None = None,
    address: str = "",
    restrictions: Restrictions = NO_RESTRICTIONS,
) -> tuple[ApiKey, str]:
    """Make a key and return its row and the key, which nobody can read again.

    Raises `ValidationError` for an empty or too long name, for an expiry that has passed, and when `owner`
    has `KEYS_PER_PERSON` usable keys.
    """
    if expires_at is not None and expires_at <= timezone.now():
        raise ValidationError({"expires_at": _("This time has passed. Choose a later one, or none.")})
    if ApiKey.objects.usable().filter(owner=owner).count() >= KEYS_PER_PERSON:
        raise ValidationError(
            {
                "name": _("You have %(count)d keys, the most there can be. Revoke one first.")
                % {"count": KEYS_PER_PERSON}
            }
        )
    key = "sk-" + secrets.token_urlsafe(32)
    api_key = ApiKey(
        owner=owner, name=name.strip(), prefix=key[:PREFIX_LENGTH], digest=_digest(key), expires_at=expires_at
    )
    _restrict(api_key, restrictions)
    api_key.full_clean()
    api_key.save()
    audit.record(kind=AuditEvent.Kind.KEY_CREATED, user=owner, address=address, detail=str(api_key))
    return api_key, key


@transaction.atomic
def change(
    *,
    api_key: ApiKey,
    name: str,
    restrictions: Restrictions,
    by: User | None = None,
    address: str = "",
) -> None:
    """Give the key another name and other restrictions. Raises `ValidationError`."""
    changed = ApiKey.objects.select_for_update().get(pk=api_key.pk)
    changed.name = name.strip()
    _restrict(changed, restrictions)
    changed.full_clean()
    changed.save(update_fields=["name", *RESTRICTING_FIELDS])
    audit.record(
        kind=AuditEvent.Kind.KEY_CHANGED, user=changed.owner, by=by, address=address, detail=str(changed)
    )


def restrictions_of(api_key: ApiKey) -> Restrictions:
    return Restrictions(
        models=api_key.allowed_models,
        families=api_key.allowed_families,
        addresses=api_key.allowed_addresses,
        **{name: getattr(api_key, name) for name in LIMIT_FIELDS},
    )


def authenticate(key: str) -> ApiKey | None:
    """The usable key that `key` is, with its owner loaded; None for anything else.

    Costs one indexed query, and one more at most once a minute to note the use.
    """
    if not _SHAPE.fullmatch(key):
        return None
    digest = _digest(key)
    api_key = ApiKey.objects.usable().select_related("owner").filter(digest=digest).first()
    # The look-up is by the digest of the guess, so its timing tells nothing about a stored key.
    # Comparing once more guards against a database that matches loosely (a case-insensitive collation).
    if api_key is None or not constant_time_compare(api_key.digest, digest):
        return None
    _note_use(api_key)
    return api_key


@transaction.atomic
def revoke(*, api_key: ApiKey, by: User | None = None, address: str = "") -> None:
    """Make the key useless from now on. Revoking it again changes nothing."""
    now = timezone.now()
    if ApiKey.objects.filter(pk=api_key.pk, revoked_at=None).update(revoked_at=now) == 1:
        audit.record(
            kind=AuditEvent.Kind.KEY_REVOKED, user=api_key.owner, by=by, address=address, detail=str(api_key)
        )
        api_key.revoked_at = now


def _restrict(api_key: ApiKey, restrictions: Restrictions) -> None:
    cleaners: list[tuple[str, Callable[[Sequence[str]], list[str]], Sequence[str]]] = [
        ("allowed_models", access.clean_models, restrictions.models),
        ("allowed_families", access.clean_families, restrictions.families),
        ("allowed_addresses", access.clean_networks, restrictions.addresses),
    ]
    for field, clean, values in cleaners:
        try:
            setattr(api_key, field, clean(values))
        except ValidationError as error:
            raise ValidationError({field: error.messages}) from None
    for name in LIMIT_FIELDS:
        setattr(api_key, name, getattr(restrictions, name))


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


def _note_use(api_key: ApiKey) -> None:
    now = timezone.now()
    if api_key.last_used_at is not None and now - api_key.last_used_at < LAST_USED_RESOLUTION:
        return
    # Conditional, so that of many requests at the same moment one writes.
    stale = Q(last_used_at=None) | Q(last_used_at__lte=now - LAST_USED_RESOLUTION)
    if ApiKey.objects.filter(stale, pk=api_key.pk).update(last_used_at=now):
        api_key.last_used_at = now
