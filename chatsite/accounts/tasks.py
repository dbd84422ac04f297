"""The control worker's tasks for people and keys."""

import json
from typing import Any

from celery import shared_task
from django.db import OperationalError

from chatsite.accounts.services import passwords, quotas, usage
from workers.protocol import Report


# The service counts a report once, so trying again is safe; a locked or restarting database is a failure that
# passes by itself.
@shared_task(
    name="accounts.record_usage", autoretry_for=(OperationalError,), retry_backoff=True, max_retries=8
)
def record_usage(report: dict[str, Any]) -> None:
    """Record an API generation. The report's `key` is JSON with `user`, `api_key`, `source`, `chat_model`,

    and `reserved` when its tokens were set aside."""
    parsed = Report.from_dict(report)
    key = json.loads(parsed.key)
    usage.record(
        user_id=key["user"],
        api_key_id=key["api_key"],
        source=key["source"],
        report=parsed,
        chat_model=key["chat_model"],
    )
    if key.get("reserved"):
        quotas.settle(
            request_id=parsed.request_id, tokens=parsed.usage.prompt_tokens + parsed.usage.completion_tokens
        )


@shared_task(name=passwords.SEND_RESET_MAIL_TASK)
def send_reset_mail(*, email: str, host: str, secure: bool, language: str) -> None:
    """Mail the link to set a new password, if the address has an account."""
    passwords.send_reset_mail(email=email, host=host, secure=secure, language=language)
