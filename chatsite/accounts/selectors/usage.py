"""What people used, summed up for pages."""

from datetime import date, timedelta
from typing import Final, NamedTuple

from django.db.models import Count, F, QuerySet, Sum
from django.db.models.functions import TruncDate
from django.utils import timezone

from chatsite.accounts.models import UsageRecord, User

DAYS: Final = 30
MOST_SHARES: Final = 200


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


class Share(NamedTuple):
    """What one key, chat model or person used of the whole."""

    name: str
    requests: int
    prompt_tokens: int
    completion_tokens: int

    @property
    def total_tokens(self) -> int:
        return self.prompt_tokens + self.completion_tokens


def per_model(*, user: User | None = None, days: int = DAYS) -> list[Share]:
    """By chat model, the most tokens first; of everybody without a `user`."""
    return _shares(_records(user, days), "chat_model")


def per_key(*, user: User | None = None, days: int = DAYS) -> list[Share]:
    """By API key, what was used without one as one share with an empty name."""
    return _shares(_records(user, days), "api_key__name", "api_key_id")


def per_person(*, days: int = DAYS) -> list[Share]:
    """By person; those who are gone are one share with an empty name."""
    return _shares(_records(None, days), "user__username", "user_id")


def per_day_totals(*, user: User | None = None, days: int = DAYS) -> list[tuple[date, int]]:
    """Tokens of each of the last `days`, oldest first, those without any included."""
    sums = dict(
        _records(user, days)
        .annotate(day=TruncDate("created_at"))
        .values("day")
        .annotate(tokens=Sum(F("prompt_tokens") + F("completion_tokens")))
        .order_by("day")
        .values_list("day", "tokens")
    )
    today = timezone.localdate()
    dates = [today - timedelta(days=days - 1 - number) for number in range(days)]
    return [(day, sums.get(day, 0)) for day in dates]


def _records(user: User | None, days: int) -> QuerySet[UsageRecord]:
    midnight = timezone.localtime().replace(hour=0, minute=0, second=0, microsecond=0)
    records = UsageRecord.objects.filter(created_at__gte=midnight - timedelta(days=days - 1))
    return records if user is None else records.filter(user=user)


def _shares(records: QuerySet[UsageRecord], name: str, *group: str) -> list[Share]:
    rows = (
        records.values(name, *group)
        .annotate(requests=Count("id"), prompt=Sum("prompt_tokens"), completion=Sum("completion_tokens"))
        .order_by(-(F("prompt") + F("completion")))
        .values_list(name, "requests", "prompt", "completion")
    )
    return [Share(row[0] or "", *row[1:]) for row in rows[:MOST_SHARES]]


def of_user(*, user: User) -> Totals:
    """Everything the user ever used, for the admin."""
    sums = UsageRecord.objects.filter(user=user).aggregate(
        requests=Count("id"), prompt_tokens=Sum("prompt_tokens"), completion_tokens=Sum("completion_tokens")
    )
    return Totals(sums["requests"], sums["prompt_tokens"] or 0, sums["completion_tokens"] or 0)
