"""What people used, summed up for pages."""

from datetime import date, timedelta
from typing import Final, NamedTuple

from django.db.models import Count, Sum
from django.db.models.functions import TruncDate
from django.utils import timezone

from chatsite.accounts.models import UsageRecord, User

DAYS: Final = 30


class UsageOfDay(NamedTuple):
    day: date
    chat_model: str
    requests: int
    prompt_tokens: int
    completion_tokens: int

    @property
    def total_tokens(self) -> int:
        return self.prompt_tokens + self.completion_tokens


class Totals(NamedTuple):
    requests: int
    prompt_tokens: int
    completion_tokens: int

    @property
    def total_tokens(self) -> int:
        return self.prompt_tokens + self.completion_tokens


def per_day(*, user: User, days: int = DAYS) -> list[UsageOfDay]:
    """The user's tokens by day and chat model, newest day first; today counts as one of the `days`.

    Days are those of the current time zone.
    """
    midnight = timezone.localtime().replace(hour=0, minute=0, second=0, microsecond=0)
    rows = (
        UsageRecord.objects.filter(user=user, created_at__gte=midnight - timedelta(days=days - 1))
        .annotate(day=TruncDate("created_at"))
        .values_list("day", "chat_model")
        .annotate(requests=Count("id"), prompt=Sum("prompt_tokens"), completion=Sum("completion_tokens"))
        .order_by("-day", "chat_model")
    )
    return [UsageOfDay(*row) for row in rows]


def totals(rows: list[UsageOfDay]) -> Totals:
    return Totals(
        requests=sum(row.requests for row in rows),
        prompt_tokens=sum(row.prompt_tokens for row in rows),
        completion_tokens=sum(row.completion_tokens for row in rows),
    )


def of_user(*, user: User) -> Totals:
    """Everything the user ever used, for the admin."""
    sums = UsageRecord.objects.filter(user=user).aggregate(
        requests=Count("id"), prompt_tokens=Sum("prompt_tokens"), completion_tokens=Sum("completion_tokens")
    )
    return Totals(sums["requests"], sums["prompt_tokens"] or 0, sums["completion_tokens"] or 0)
