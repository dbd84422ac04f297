"""Where a vote meets the leaderboard's counters.

The counters follow each vote inside its own transaction, and can be counted again from all votes at any time.
"""

import logging
from collections import defaultdict
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from itertools import islice
from typing import NamedTuple, TypeAlias

import redis
from asgiref.sync import async_to_sync
from channels.layers import get_channel_layer
from django.db import connection, transaction
from django.db.models import F

from arena.models import Battle, BattleStyle, CounterVersion, PairCounter, Vote
from arena.models.leaderboard import ALL_TIME, EVERYTHING, third_of
from arena.ratings import style
from arena.ratings.style import StyleCounts
from arena.selectors import battles

logger = logging.getLogger(__name__)

BATCH = 2000
GROUP = "leaderboard"
COUNTS = ("left_wins", "right_wins", "ties", "both_bad")
SUMS = (
    "left_weight",
    "right_weight",
    "tie_weight",
    "left_squares",
    "right_squares",
    "tie_squares",
)
COLUMNS = COUNTS + SUMS
_COUNT_OF = {"left": 0, "right": 1, "tie": 2, "both_bad": 3}
_WEIGHT_OF = {"left": 4, "right": 5, "tie": 6, "both_bad": 6}


Totals: TypeAlias = dict[tuple[str, str, str, str], list[float]]
"""Sums in the order of `COLUMNS`, by slice, period, left and right."""


class Counted(NamedTuple):
    """What the counters need to know of a vote."""

    left: str
    right: str
    choice: str
    weight: float
    language: str
    categories: list[str]
    day: str


def vote_changed(vote: Vote) -> None:
    """Called inside the transaction that cast `vote`, left it out, or let it in again; after it was saved.

    It may be called once too often: what is in the counters already is not added again.
    """
    moved = Vote.objects.filter(pk=vote.pk, entered=not vote.counted).update(entered=vote.counted)
    if not moved:
        return
    vote.entered = vote.counted
    if vote.counted:
        _note_style(vote.battle)
    _add(_counted(vote), sign=1 if vote.counted else -1)
    changed()


def take_out(vote: Vote) -> None:
    """Before the labels of its battle change, inside the transaction that changes them; then `put_in`."""
    _add(_counted(vote), sign=-1)


def put_in(vote: Vote) -> None:
    """See `take_out`."""
    _add(_counted(vote), sign=1)
    changed()


@transaction.atomic
def rebuild() -> int:
    """Count all votes again, for example after the categories of battles were labelled anew; how many count."""
    totals: Totals = defaultdict(_nothing)
    number = 0
    for outcome in battles.outcomes():
        number += 1
        counted = Counted(
            outcome.left,
            outcome.right,
            outcome.choice,
            outcome.weight,
            outcome.language,
            outcome.categories,
            day_of(outcome.created_at),
        )
        _tally(totals, counted)
    _store(_with_longer_periods(totals))
    Vote.objects.filter(counted=True, entered=False).update(entered=True)
    Vote.objects.filter(counted=False, entered=True).update(entered=False)
    changed()
    return number


def changed() -> None:
    """The counters have a new version: solved boards are out of date, and open pages hear of it after the commit."""
    if not CounterVersion.objects.filter(pk=1).update(number=F("number") + 1):
        CounterVersion.objects.get_or_create(pk=1, defaults={"number": 1})
    transaction.on_commit(tell_pages, robust=True)


def style_of(battle: Battle, left: str, right: str) -> BattleStyle:
    """Not saved. `left` and `right` are all that was answered on each side."""
    return styled(battle, style.count(left), style.count(right))


def styled(battle: Battle, left: StyleCounts, right: StyleCounts) -> BattleStyle:
    """Not saved."""
    values = {
        f"{side}_{name}": number
        for side, counts in (("left", left), ("right", right))
        for name, number in counts._asdict().items()
    }
    return BattleStyle(battle=battle, **values)


def slices(counted: Counted) -> list[str]:
    """The slices a vote belongs to."""
    names = [EVERYTHING]
    if counted.language:
        names.append(f"language:{counted.language}")
    return names + [f"category:{category}" for category in counted.categories]


def periods(day: str) -> tuple[str, str, str, str]:
    """Since ever, its month, its third of the month, its day: a range of dates is put together of few of them."""
    return ALL_TIME, day[:7], third_of(day), day


def day_of(moment: datetime) -> str:
    """In UTC, so that the counters do not depend on a setting."""
    return moment.astimezone(UTC).strftime("%Y-%m-%d")


def steps(choice: str, weight: float) -> list[tuple[int, float]]:
    """What a vote adds: (index into `COLUMNS`, value)."""
    place = _WEIGHT_OF[choice]
    return [(_COUNT_OF[choice], 1), (place, weight), (place + 3, weight**2)]


def _counted(vote: Vote) -> Counted:
    battle = vote.battle
    return Counted(
        left=battle.left_name,
        right=battle.right_name,
        choice=vote.choice,
        weight=vote.weight,
        language=battle.language,
        categories=battle.categories,
        day=day_of(vote.created_at),
    )


def _note_style(battle: Battle) -> None:
    """Of the answers the vote was on: the newest of each turn."""
    if BattleStyle.objects.filter(battle=battle).exists():
        return
    turns = battles.turns(battle)
    left, right = ("\n\n".join(getattr(turn, side).text for turn in turns) for side in ("left", "right"))
    if left or right:
        style_of(battle, left, right).save()


def _add(counted: Counted, *, sign: int) -> None:
    """One statement for all slices and periods of the vote; a second and third only where a counter is new."""
    names, spans = slices(counted), periods(counted.day)
    rows = PairCounter.objects.filter(
        slice__in=names, period__in=spans, left=counted.left, right=counted.right
    )
    changes = {
        COLUMNS[index]: F(COLUMNS[index]) + sign * value
        for index, value in steps(counted.choice, counted.weight)
    }
    if rows.count() < len(set(names)) * len(spans):
        missing = [
            PairCounter(slice=name, period=span, left=counted.left, right=counted.right)
            for name in names
            for span in spans
        ]
        PairCounter.objects.bulk_create(missing, ignore_conflicts=True)
    rows.update(**changes)


def _tally(totals: Totals, counted: Counted) -> None:
    """By days."""
    added = steps(counted.choice, counted.weight)
    for name in slices(counted):
        row = totals[name, counted.day, counted.left, counted.right]
        for index, value in added:
            row[index] += value


def _with_longer_periods(days: Totals) -> Totals:
    """The same by days, thirds of months, months, and since ever."""
    found, finer = dict(days), days
    for widen in (third_of, lambda third: third[: len("2026-11")], lambda month: ALL_TIME):
        longer: Totals = defaultdict(_nothing)
        for (name, span, left, right), values in finer.items():
            row = longer[name, widen(span), left, right]
            for index, value in enumerate(values):
                row[index] += value
        found |= longer
        finer = longer
    return found


def _nothing() -> list[float]:
    return [0.0] * len(COLUMNS)


def _store(totals: Mapping[tuple[str, str, str, str], list[float]]) -> None:
    """In plain SQL: a million votes make millions of rows, and ten times as many seconds through model instances."""
    PairCounter.objects.all().delete()
    names = ("slice", "period", "left", "right", *COLUMNS)
    quote = connection.ops.quote_name
    insert = (
        f"INSERT INTO {quote(PairCounter._meta.db_table)} ({', '.join(map(quote, names))}) "  # noqa: S608 - own names
        f"VALUES ({', '.join(['%s'] * len(names))})"
    )
    counts = len(COUNTS)
    rows: Iterator[tuple[str | float, ...]] = (
        (*key, *map(int, values[:counts]), *values[counts:]) for key, values in totals.items()
    )
    with connection.cursor() as cursor:
        while batch := list(islice(rows, BATCH)):
            cursor.executemany(insert, batch)


def tell_pages() -> None:
    """That the board changed: news that one may miss. A page that does not hear it keeps the board it has."""
    layer = get_channel_layer()
    if layer is None:
        return
    try:
        async_to_sync(layer.group_send)(GROUP, {"type": "leaderboard.changed"})
    except (redis.RedisError, OSError) as error:
        # A command such as an import also runs while the site is stopped.
        logger.info("no open page was told that the leaderboard changed: %s", error)
