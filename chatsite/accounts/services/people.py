"""Brings people in: sign-up, the first administrator, and passwords that an operator sets."""

import secrets
from typing import Final

from django.conf import settings
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.utils.translation import gettext as _

from chatsite.accounts.models import AuditEvent, User
from chatsite.accounts.services import audit

# Names that a visitor would take for the operator's. `ensure_administrator` uses the first one.
RESERVED_USERNAMES: Final = frozenset({"admin", "administrator", "root", "system", "support", "chatsite"})

# Without the characters that look like others: a password that is read from a terminal is typed by hand.
_READABLE: Final = "abcdefghjkmnpqrstuvwxyz23456789"

_FIELD_OF_CONSTRAINT: Final = {
    "username_unique_ignoring_case": "username",
    "email_unique_ignoring_case": "email",
}


class SignUpClosed(Exception):  # noqa: N818 - reads as what happened
    """The operator makes the accounts here."""


class UsernameTaken(Exception):  # noqa: N818
    """The name belongs to somebody who is not an administrator."""


def sign_up(*, username: str, email: str, password: str, address: str = "") -> User:
    """Make the account of a visitor.

    Raises `SignUpClosed` when the operator does not want any, and `ValidationError` by field otherwise.
    """
    if not settings.SIGNUP_OPEN:
        raise SignUpClosed
    user = User(username=User.normalize_username(username), email=User.objects.normalize_email(email))
    user.set_password(password)
    _refuse_unfit(user, password)
    try:
        with transaction.atomic():
            user.save()
            audit.record(kind=AuditEvent.Kind.SIGNED_UP, user=user, address=address)
    except IntegrityError:
        # Somebody took the name or the address since the check above, which now finds out which one.
        _refuse_taken(user)
        raise
    return user


@transaction.atomic
def change_profile(*, user: User, name: str, email: str, address: str = "") -> None:
    """Set the name a person goes by and their e-mail address.

    Raises `ValidationError` by field, with `name` for the name.
    """
    email_before = user.email
    changed = User.objects.get(pk=user.pk)
    changed.first_name = name.strip()
    changed.email = User.objects.normalize_email(email)
    try:
        changed.full_clean(
            exclude=["username", "password"], validate_unique=False, validate_constraints=False
        )
    except ValidationError as error:
        errors = error.error_dict
        if "first_name" in errors:
            errors["name"] = errors.pop("first_name")
        raise ValidationError(errors) from None
    _refuse_taken(changed)
    try:
        with transaction.atomic():
            changed.save(update_fields=["first_name", "email"])
    except IntegrityError:
        _refuse_taken(changed)
        raise
    if changed.email != email_before:
        audit.record(kind=AuditEvent.Kind.EMAIL_CHANGED, user=user, address=address)
    user.first_name, user.email = changed.first_name, changed.email


def find(*, login: str) -> User | None:
    """The person who would log in as `login`, a username or an e-mail address."""
    try:
        return User.objects.get_by_natural_key(login)
    except User.DoesNotExist:
        return None


def ensure_administrator(*, username: str = "admin") -> str | None:
    """Make the first administrator and return the password; None when there is one already.

    Of two processes that start together one makes the account and the other gets None. Raises `UsernameTaken`
    when the name belongs to a person without those rights (nobody is promoted by it), and `ValidationError` when
    it cannot be a username.
    """
    if User.objects.filter(is_superuser=True).exists():
        return None
    User._meta.get_field("username").clean(username, None)
    password = readable_password()
    try:
        with transaction.atomic():
            User.objects.create_superuser(username, password=password)
    except IntegrityError:
        if User.objects.filter(is_superuser=True).exists():
            return None
        raise UsernameTaken(username) from None
    return password


def reset_administrator(*, username: str) -> str:
    """Give an administrator a new password and return it: the operator's way back in, so it reactivates, too.

    Raises `User.DoesNotExist` when there is no administrator of that name.
    """
    user = User.objects.filter(is_superuser=True).get(username__iexact=username)
    password = readable_password()
    user.set_password(password)
    user.is_active = True
    with transaction.atomic():
        user.save(update_fields=["password", "is_active"])
        audit.record(
            kind=AuditEvent.Kind.PASSWORD_CHANGED, user=user, detail="manage.py create_admin --reset"
        )
    return password


def readable_password() -> str:
    """Four groups of five characters, 99 random bits."""
    return "-".join("".join(secrets.choice(_READABLE) for __ in range(5)) for __ in range(4))


def _refuse_unfit(user: User, password: str) -> None:
    errors: dict[str, list[str]] = {}
    try:
        user.full_clean(validate_unique=False, validate_constraints=False)
    except ValidationError as error:
        errors.update(error.message_dict)
    if "@" in user.username:
        # Would be taken for an e-mail address at log-in.
        errors.setdefault("username", []).append(_("Leave out the @: use letters, digits and . + - _ only."))
    elif user.username.lower() in RESERVED_USERNAMES:
        errors.setdefault("username", []).append(_("This username is reserved. Choose a different one."))
    if not user.email:
        errors.setdefault("email", []).append(_("Enter an e-mail address: it is how you get back in."))
    try:
        validate_password(password, user)
    except ValidationError as error:
        errors["password"] = error.messages
    if errors:
        raise ValidationError(errors)
    _refuse_taken(user)


def _refuse_taken(user: User) -> None:
    """Check the database's constraints one by one, to name the field that breaks one."""
    errors = {}
    for constraint in User._meta.constraints:
        try:
            constraint.validate(User, user)
        except ValidationError as error:
            errors[_FIELD_OF_CONSTRAINT[constraint.name]] = error.messages
    if errors:
        raise ValidationError(errors)
