"""The terms of use of the arena: accepted once per version."""

from django.utils.translation import gettext

from arena.errors import TermsNotAccepted
from arena.models import Terms, TermsAcceptance
from chatsite.accounts.models import User


def current() -> Terms | None:
    """None: the built-in sentences hold, which are version 0."""
    return Terms.objects.first()


def version() -> int:
    terms = current()
    return terms.pk if terms else 0


def accepted(user: User) -> bool:
    return TermsAcceptance.objects.filter(user=user, version=version()).exists()


def accept(*, user: User) -> TermsAcceptance:
    acceptance, _ = TermsAcceptance.objects.get_or_create(user=user, version=version())
    return acceptance


def require(user: User) -> None:
    if not accepted(user):
        raise TermsNotAccepted(gettext("Please read and accept the terms of the arena first."))
