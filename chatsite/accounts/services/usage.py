"""Keeps account of the tokens that people use. Sees reports of generations, stores numbers only."""

import json
from collections.abc import Sequence, Set
from dataclasses import replace
from typing import Any, TypeAlias

from chatsite.accounts.models import ApiKey, UsageRecord, User
from chatsite.accounts.services import quotas
from workers.protocol import Report

Key: TypeAlias = dict[str, Any]
"""A report's `key`, read; see `take_report`."""


def record(
    *, user_id: int | None, api_key_id: int | None, source: str, report: Report, chat_model: str
) -> None:
    """Note what one generation used. A report that comes twice (a redelivered task) counts once.

    A user or key that was deleted in the meantime is left out: the tokens were used all the same.
    """
    key = {"user": user_id, "api_key": api_key_id, "source": source, "chat_model": chat_model}
    _write([(report, key)])


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
    charged = [_charged(report, json.loads(report.key)) for report in reports]
    _write(charged)
    for report, key in charged:
        if key.get("reserved"):
            tokens = report.usage.prompt_tokens + report.usage.completion_tokens
            quotas.settle(request_id=report.request_id, tokens=tokens)


def disclose(*, request_ids: list[str], chat_model: str) -> None:
    """Put the chat model's name to generations that were recorded without it, while it was a secret."""
    UsageRecord.objects.filter(request_id__in=request_ids).update(chat_model=chat_model)


def _charged(report: Report, key: Key) -> tuple[Report, Key]:
    if key.get("prompt_paid"):
        report = replace(report, usage=replace(report.usage, prompt_tokens=0, cached_tokens=0))
    return report, key


def _write(charged: Sequence[tuple[Report, Key]]) -> None:
    """A row for each, in one statement, but for those that are there. Raises `ValueError` or `KeyError`."""
    users = _those_there(User, {key["user"] for _, key in charged})
    api_keys = _those_there(ApiKey, {key["api_key"] for _, key in charged})
    rows = [
        UsageRecord(
            request_id=report.request_id,
            user_id=users.get(key["user"]),
            api_key_id=api_keys.get(key["api_key"]),
            source=UsageRecord.Source(key["source"]),
            chat_model=key["chat_model"],
            prompt_tokens=report.usage.prompt_tokens,
            completion_tokens=report.usage.completion_tokens,
            outcome=report.outcome,
        )
        for report, key in charged
    ]
    UsageRecord.objects.bulk_create(rows, ignore_conflicts=True)


def _those_there(model: type[User | ApiKey], wanted: Set[int | None]) -> dict[int | None, int]:
    """Those of the primary keys `wanted` that have a row, each by itself."""
    given = [pk for pk in wanted if pk is not None]
    if not given:
        return {}
    return {pk: pk for pk in model._default_manager.filter(pk__in=given).values_list("pk", flat=True)}
