"""Keeps account of the tokens that people use. Sees reports of generations, stores numbers only."""

from chatsite.accounts.models import ApiKey, UsageRecord, User
from workers.protocol import Report


def record(
    *, user_id: int | None, api_key_id: int | None, source: str, report: Report, chat_model: str
) -> None:
    """Note what one generation used. A report that comes twice (a redelivered task) counts once.

    A user or key that was deleted in the meantime is left out: the tokens were used all the same.
    """
    UsageRecord.objects.get_or_create(
        request_id=report.request_id,
        defaults={
            "user": None if user_id is None else User.objects.filter(pk=user_id).first(),
            "api_key": None if api_key_id is None else ApiKey.objects.filter(pk=api_key_id).first(),
            "source": UsageRecord.Source(source),
            "chat_model": chat_model,
            "prompt_tokens": report.usage.prompt_tokens,
            "completion_tokens": report.usage.completion_tokens,
            "outcome": report.outcome,
        },
    )
