"""Keeps account of the tokens that people use. Sees reports of generations, stores numbers only."""

import json
from collections.abc import Sequence, Set
from dataclasses import replace
from typing import Any

from chatsite.accounts.models import ApiKey, UsageRecord, User
from chatsite.accounts.services import quotas
from workers.protocol import Report


def record(
    *, user_id: int | None, api_key_id: int | None, source: str, report: Report, chat_model: str
) -> None:
    """Note what one generation used. A report that comes twice (a redelivered task) counts once.

    A user or key that was deleted in the meantime is left out: the tokens were used all the same.
    """
    row = _row(
        report,
        user_id=_those_there(User, {user_id}).get(user_id),
        api_key_id=_those_there(ApiKey, {api_key_id}).get(api_key_id),
        source=source,
        chat_model=chat_model,
    )
    UsageRecord.objects.bulk_create([row], ignore_conflicts=True)


def take_report(report: Report) -> None:
    """Charge an API generation: record it, and settle what was set aside. A report that comes twice charges once.

    The report's `key` is JSON with `user`, `api_key`, `source`, `chat_model`, and `reserved` if tokens were set aside;
    `prompt_paid` if it is one of several replies to a prompt, which counts with the first of them.
    """
    take_reports([report])


def take_reports(reports: Sequence[Report]) -> None:
    """The same for many, in one statement.

    Raises `ValueError` or `KeyError` when one's key is none; nothing is written then.
    """
    keys = [json.loads(report.key) for report in reports]
    charged = [_charged(report, key) for report, key in zip(reports, keys, strict=True)]
    users = _those_there(User, {key["user"] for key in keys})
    api_keys = _those_there(ApiKey, {key["api_key"] for key in keys})
    rows = [
        _row(
            report,
            user_id=users.get(key["user"]),
            api_key_id=api_keys.get(key["api_key"]),
            source=key["source"],
            chat_model=key["chat_model"],
        )
        for report, key in zip(charged, keys, strict=True)
    ]
    UsageRecord.objects.bulk_create(rows, ignore_conflicts=True)
    for report, key in zip(charged, keys, strict=True):
        if key.get("reserved"):
            tokens = report.usage.prompt_tokens + report.usage.completion_tokens
            quotas.settle(request_id=report.request_id, tokens=tokens)


def disclose(*, request_ids: list[str], chat_model: str) -> None:
    """Put the chat model's name to generations that were recorded without it, while it was a secret."""
    UsageRecord.objects.filter(request_id__in=request_ids).update(chat_model=chat_model)


def _row(
    report: Report, *, user_id: int | None, api_key_id: int | None, source: str, chat_model: str
) -> UsageRecord:
    return UsageRecord(
        request_id=report.request_id,
        user_id=user_id,
        api_key_id=api_key_id,
        source=UsageRecord.Source(source),
        chat_model=chat_model,
        prompt_tokens=report.usage.prompt_tokens,
        completion_tokens=report.usage.completion_tokens,
        outcome=report.outcome,
    )


def _charged(report: Report, key: dict[str, Any]) -> Report:
    if not key.get("prompt_paid"):
        return report
    return replace(report, usage=replace(report.usage, prompt_tokens=0, cached_tokens=0))


def _those_there(model: type[User | ApiKey], wanted: Set[int | None]) -> dict[int | None, int]:
    """Those of the primary keys `wanted` that have a row, each by itself."""
    given = [pk for pk in wanted if pk is not None]
    if not given:
        return {}
    return {pk: pk for pk in model._default_manager.filter(pk__in=given).values_list("pk", flat=True)}
