"""Keeps account of the tokens that people use. Sees reports of generations, stores numbers only."""

import json
from dataclasses import replace

from chatsite.accounts.models import ApiKey, UsageRecord, User
from chatsite.accounts.services import quotas
from workers.protocol import Report


def record(
    *, user_id: int | None, api_key_id: int | None, source: str, report: Report, chat_model: str
) -> None:
    """Note what one generation used. A report that comes twice (a redelivered task) counts once.

    A user or key that was deleted in the meantime is left out: the tokens were used all the same.
    """
    # Every answer of the API ends here, beside the model's own threads: three short statements, no row is read.
    UsageRecord.objects.bulk_create(
        [
            UsageRecord(
                request_id=report.request_id,
                user_id=_if_there(User, user_id),
                api_key_id=_if_there(ApiKey, api_key_id),
                source=UsageRecord.Source(source),
                chat_model=chat_model,
                prompt_tokens=report.usage.prompt_tokens,
                completion_tokens=report.usage.completion_tokens,
                outcome=report.outcome,
            )
        ],
        ignore_conflicts=True,
    )


def take_report(report: Report) -> None:
    """Charge an API generation: record it, and settle what was set aside. A report that comes twice charges once.

    The report's `key` is JSON with `user`, `api_key`, `source`, `chat_model`, and `reserved` if tokens were set aside;
    `prompt_paid` if it is one of several replies to a prompt, which counts with the first of them.
    """
    key = json.loads(report.key)
    if key.get("prompt_paid"):
        report = replace(report, usage=replace(report.usage, prompt_tokens=0, cached_tokens=0))
    record(
        user_id=key["user"],
        api_key_id=key["api_key"],
        source=key["source"],
        report=report,
        chat_model=key["chat_model"],
    )
    if key.get("reserved"):
        tokens = report.usage.prompt_tokens + report.usage.completion_tokens
        quotas.settle(request_id=report.request_id, tokens=tokens)


def disclose(*, request_ids: list[str], chat_model: str) -> None:
    """Put the chat model's name to generations that were recorded without it, while it was a secret."""
    UsageRecord.objects.filter(request_id__in=request_ids).update(chat_model=chat_model)


def _if_there(model: type[User | ApiKey], pk: int | None) -> int | None:
    return pk if pk is not None and model._default_manager.filter(pk=pk).exists() else None
