"""What happened on the site day by day, for operators."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta

from django.db.models import Count, QuerySet
from django.db.models.functions import TruncDate
from django.utils import timezone

from arena.models import Conversation, Message, Reply, Vote

MOST_DAYS = 366


@dataclass(frozen=True)
class Daily:
    """Numbers by day, oldest first; days are those of the site's time zone."""

    days: Sequence[date]
    chats: Sequence[int]
    """New conversations, the sides of battles left out."""
    votes: Sequence[int]
    active_users: Sequence[int]
    """People who wrote a message or voted."""
    models: Sequence[tuple[str, int, int]]
    """(chat model, replies, votes on it) in all these days, most replies first."""


def daily(*, days: int, today: date | None = None) -> Daily:
    """Of the last `days` days, today among them."""
    today = today or timezone.localdate()
    span = [today - timedelta(days=back) for back in reversed(range(min(days, MOST_DAYS)))]
    since = timezone.make_aware(datetime.combine(span[0], time.min))
    conversations = Conversation.objects.filter(created_at__gte=since, battle=None)
    votes = Vote.objects.filter(created_at__gte=since)
    return Daily(
        span,
        _by_day(conversations, span),
        _by_day(votes, span),
        _active(since, span),
        _models(since),
    )


def _by_day(rows: QuerySet[Conversation] | QuerySet[Vote], span: Sequence[date]) -> list[int]:
    counted = rows.order_by().annotate(day=TruncDate("created_at")).values("day").annotate(number=Count("pk"))
    found = dict(counted.values_list("day", "number"))
    return [found.get(day, 0) for day in span]


def _active(since: datetime, span: Sequence[date]) -> list[int]:
    wrote = Message.objects.filter(created_at__gte=since).order_by()
    voted = Vote.objects.filter(created_at__gte=since, voter__isnull=False).order_by()
    pairs = set(
        wrote.annotate(day=TruncDate("created_at")).values_list("day", "conversation__owner").distinct()
    )
    pairs |= set(voted.annotate(day=TruncDate("created_at")).values_list("day", "voter").distinct())
    found: dict[date, int] = {}
    for day, _ in pairs:
        found[day] = found.get(day, 0) + 1
    return [found.get(day, 0) for day in span]


def _models(since: datetime) -> list[tuple[str, int, int]]:
    replies = Reply.objects.filter(created_at__gte=since).order_by().values("chat_model_name")
    numbers = {
        name: [number, 0]
        for name, number in replies.annotate(n=Count("pk")).values_list("chat_model_name", "n")
    }
    votes = Vote.objects.filter(created_at__gte=since).order_by()
    for side in ("battle__left_name", "battle__right_name"):
        for name, number in votes.values(side).annotate(n=Count("pk")).values_list(side, "n"):
            numbers.setdefault(name, [0, 0])[1] += number
    rows = [(name, replied, voted) for name, (replied, voted) in numbers.items()]
    return sorted(rows, key=lambda row: (-row[1], -row[2], row[0]))
