"""Mails a link to set a new password. Never tells the one who asks whether an account exists."""

import logging

from celery import current_app
from django.contrib.auth.forms import PasswordResetForm
from django.utils import translation
from kombu.exceptions import OperationalError

logger = logging.getLogger(__name__)

SEND_RESET_MAIL_TASK = "accounts.send_reset_mail"


class MailDelayed(Exception):  # noqa: N818 - reads as what happened
    """The request for a mail could not be queued."""


def request_reset(*, email: str, host: str, secure: bool, language: str) -> None:
    """Have the control worker send the mail, if there is an account to send it for.

    Not sent from here: talking to a mail server takes so long that the time of the answer would give away whether
    the address is known. Raises `MailDelayed` when the broker cannot be reached.
    """
    try:
        current_app.send_task(
            SEND_RESET_MAIL_TASK,
            kwargs={"email": email, "host": host, "secure": secure, "language": language},
            ignore_result=True,
        )
    except OperationalError as error:
        logger.error("A password reset mail could not be queued: %s", error)
        raise MailDelayed from None


def send_reset_mail(*, email: str, host: str, secure: bool, language: str) -> None:
    """Send the link to every active account with this address (there is at most one).

    Django's form does the work: it makes the token and compares addresses so that a look-alike (Unicode) address
    never gets another's link.
    """
    form = PasswordResetForm({"email": email})
    if not form.is_valid():
        return
    with translation.override(language):
        form.save(
            domain_override=host,
            use_https=secure,
            subject_template_name="accounts/mail/password_reset_subject.txt",
            email_template_name="accounts/mail/password_reset.txt",
        )
