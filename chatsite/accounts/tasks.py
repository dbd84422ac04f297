"""The control worker's tasks for people and keys."""

from typing import Any

from celery import shared_task
from django.db import OperationalError

from chatsite.accounts.services import passwords, usage
from workers.protocol import Report


# The service counts a report once, so trying again is safe; a locked or restarting database is a failure that
# passes by itself.
@shared_task(
    name="accounts.record_usage",
    # Acknowledged when it is done: a control worker that is killed here must not take the account along. A report that
    # comes twice counts once.
    acks_late=True,
    autoretry_for=(OperationalError,),
    retry_backoff=True,
    max_retries=8,
)
def record_usage(report: dict[str, Any]) -> None:
    """Charge an API generation."""
    usage.take_report(Report.from_dict(report))


@shared_task(name=passwords.SEND_RESET_MAIL_TASK)
def send_reset_mail(*, email: str, host: str, secure: bool, language: str) -> None:
    """Mail the link to set a new password, if the address has an account."""
    passwords.send_reset_mail(email=email, host=host, secure=secure, language=language)
