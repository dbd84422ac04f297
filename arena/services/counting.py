"""Where a vote meets the leaderboard's counters.

The counters follow each vote inside its own transaction, and can be counted again from all votes at any time.
"""

import logging
import time
import uuid
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
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
from arena.selectors.snapshots import one_moment

logger = logging.getLogger(__name__)

PORTION = 5000
"""Counters written in one transaction: a fraction of a second, in which a site on SQLite can write nothing else."""
MARKED_AT_ONCE = 500
PAUSE = 0.05
ROUNDING = 1e-9
"""What a sum of weights may differ by, depending on the order in which the votes came."""
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


class Superseded(Exception):  # noqa: N818 - reads as what it is
    """Another recount has begun, and does what this one was about to do."""


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
    changed()
    _add(_counted(vote), sign=1 if vote.counted else -1)


def take_out(vote: Vote) -> None:
    """Before the labels of its battle change, inside the transaction that changes them; then `put_in`."""
    _new_version()
    _add(_counted(vote), sign=-1)


def put_in(vote: Vote) -> None:
    """See `take_out`."""
    changed()
    _add(_counted(vote), sign=1)


def enter(votes: Iterable[Vote]) -> None:
    """Add many new votes, inside the transaction that wrote them with `entered` as `counted`; battles at hand.

    About as quick for a batch as for one: a statement for each counter, not for each vote.
    """
    totals: Totals = defaultdict(_nothing)
    for vote in votes:
        if vote.counted:
            _tally(totals, _counted(vote))
    if totals:
        changed()
        _upsert(sorted(_with_longer_periods(totals).items()))


def rebuild() -> int:
    """Count all votes again and put right what differs; how many count.

    Nobody is kept from voting: votes and counters are read as of one moment, and the differences between them *added*
    in portions, beside whatever is cast meanwhile. Killed half-way, it leaves counters that are wrong in places, as
    they were before, and is to be run again. Raises `Superseded` when another one began meanwhile.
    """
    ticket = uuid.uuid4().hex
    with transaction.atomic():
        _new_version()
        CounterVersion.objects.filter(pk=1).update(recount=ticket)
    _follow_decisions()
    with one_moment():
        totals, number = _count()
        _subtract_counters(totals)
    wrong = [(key, values) for key, values in totals.items() if max(map(abs, values)) > ROUNDING]
    wrong.sort()
    for start in range(0, len(wrong), PORTION):
        with transaction.atomic():
            _claim(ticket)
            _upsert(wrong[start : start + PORTION])
        let_others_write()
    _drop_empty()
    return number


def changed() -> None:
    """The counters have a new version: solved boards are out of date, and open pages hear of it after the commit.

    To be called in front of the change, which nobody else makes at the same time then: see `_new_version`.
    """
    _new_version()
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


def _new_version() -> None:
    """Also the lock on all counters, until the transaction ends: two who lock their rows in different order would
    wait for each other."""
    if not CounterVersion.objects.filter(pk=1).update(number=F("number") + 1):
        CounterVersion.objects.get_or_create(pk=1, defaults={"number": 1})
        CounterVersion.objects.select_for_update().get(pk=1)


def _claim(ticket: str) -> None:
    """Raises `Superseded`. What a later recount has read must not be put right a second time."""
    changed()
    if not CounterVersion.objects.filter(pk=1, recount=ticket).exists():
        raise Superseded


def _follow_decisions() -> None:
    """Mark the votes that were let in or left out behind the counters' back; in portions, by id."""
    for counted in (True, False):
        waiting = Vote.objects.filter(counted=counted, entered=not counted)
        while ids := list(waiting.order_by("id").values_list("id", flat=True)[:MARKED_AT_ONCE]):
            waiting.filter(id__gte=ids[0], id__lte=ids[-1]).update(entered=counted)
            let_others_write()


def _count() -> tuple[Totals, int]:
    """What the counters should be: of the votes that have entered them."""
    totals: Totals = defaultdict(_nothing)
    number = 0
    for outcome in battles.outcomes(Vote.objects.filter(entered=True)):
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
    return _with_longer_periods(totals), number


def _subtract_counters(totals: Totals) -> None:
    """Leaves what has to be added to the counters. In place: a million votes make millions of rows."""
    rows = PairCounter.objects.order_by().values_list("slice", "period", "left", "right", *COLUMNS)
    for row in rows.iterator(chunk_size=5000):
        sums = totals.get(row[:4])
        if sums is None:
            sums = totals[row[:4]] = _nothing()
        for index, value in enumerate(row[4:]):
            sums[index] -= value


def _upsert(rows: Sequence[tuple[tuple[str, str, str, str], list[float]]]) -> None:
    """Add to counters, which begin at 0. In plain SQL: through model instances it takes ten times as long."""
    quote = connection.ops.quote_name
    table, key = quote(PairCounter._meta.db_table), ("slice", "period", "left", "right")
    sums = ", ".join(f"{quote(name)} = {table}.{quote(name)} + excluded.{quote(name)}" for name in COLUMNS)
    names = (*key, *COLUMNS)
    statement = (
        f"INSERT INTO {table} ({', '.join(map(quote, names))}) "  # noqa: S608 - own names
        f"VALUES ({', '.join(['%s'] * len(names))}) "
        f"ON CONFLICT ({', '.join(map(quote, key))}) DO UPDATE SET {sums}"
    )
    counts = len(COUNTS)
    with connection.cursor() as cursor:
        cursor.executemany(
            statement,
            [
                (*place, *(round(value) for value in values[:counts]), *values[counts:])
                for place, values in rows
            ],
        )


def _drop_empty() -> None:
    """Counters that count nothing any more; in portions."""
    empty = PairCounter.objects.filter(left_wins=0, right_wins=0, ties=0, both_bad=0)
    ids = list(empty.order_by().values_list("id", flat=True))
    for start in range(0, len(ids), MARKED_AT_ONCE):
        with transaction.atomic():
            changed()
            empty.filter(id__in=ids[start : start + MARKED_AT_ONCE]).delete()
        let_others_write()


def let_others_write() -> None:
    """Between two of many transactions. SQLite gives its one lock to whoever asks while it is free, and those who wait
    ask ten times a second."""
    if connection.vendor == "sqlite" and not connection.in_atomic_block:
        time.sleep(PAUSE)


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
