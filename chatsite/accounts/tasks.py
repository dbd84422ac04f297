"""The control worker's tasks for people and keys."""

from typing import Any

from celery import shared_task
from celery.signals import worker_ready, worker_shutting_down
from django.db import OperationalError

from chatsite.accounts.services import charging, passwords, usage
from workers.protocol import Report
from workers.reports import CONTROL_QUEUE
from workers.usage_log import USAGE_TASK


@worker_ready.connect
def charge_beside_control(sender: Any, **_: Any) -> None:
    """The control worker, and no other, has the database."""
    if CONTROL_QUEUE in sender.app.amqp.queues.consume_from:
        worker_shutting_down.connect(_stop_charging)
        charging.charge_beside()


def _stop_charging(**_: Any) -> None:
    charging.stop()


# Workers write reports into `workers.usage_log` today; those of an earlier version's workers come here. The service
# counts a report once, so trying again is safe; a locked or restarting database is a failure that passes by itself.
@shared_task(
    name=USAGE_TASK,
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
