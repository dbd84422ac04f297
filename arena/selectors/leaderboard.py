"""Reading the leaderboard: which slices there are, and the board of one, solved from the counters of this moment.

A solved board is kept per process under the counters' version, so that a page on which nobody voted costs one small
query.
"""

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from django.db.models import F, Q, Sum
from django.utils.translation import gettext

from arena.battle_files.rows import SCORES
from arena.boards import solving
from arena.boards.solving import Board, Counter, Meeting, Styled, Widening
from arena.errors import InvalidValue
from arena.models import (
    Category,
    CounterVersion,
    Listing,
    ListingChange,
    PairCounter,
    Snapshot,
    Vote,
    VoterSpread,
)
from arena.models.leaderboard import ALL_TIME, EVERYTHING, third_of
from arena.ratings.pairs import Outcomes
from arena.ratings.style import FEATURES
from workers.models import ChatModel

COLUMNS = tuple(name for name in Counter._fields if name not in ("left", "right"))
MONTHS_SHOWN = 24
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")


class Query(NamedTuple):
    """Which board: a slice, and the days it covers (both included; None: no limit)."""

    slice: str = EVERYTHING
    since: date | None = None
    until: date | None = None
    style: bool = False
    """Whether the style of the answers is taken out of the ratings."""

    @property
    def dated(self) -> bool:
        return self.since is not None or self.until is not None


class Shown(NamedTuple):
    """One line of the table."""

    name: str
    standing: solving.Standing
    organisation: str
    licence: str
    link: str
    alike: tuple[str, ...]
    """The public ones it cannot be told apart from."""


class Choice(NamedTuple):
    name: str
    title: str
    votes: int


class Slices(NamedTuple):
    """What the switches offer, each with the number of its votes."""

    languages: list[Choice]
    categories: list[Choice]
    votes: int
    first_day: date | None
    last_day: date | None


def query_from(wishes: Mapping[str, str]) -> Query:
    """The board that a page's address asks for. Raises `InvalidValue`, which names the parameter."""
    language, category = wishes.get("language", ""), wishes.get("category", "")
    if language and category:
        raise InvalidValue(gettext("Choose a language or a category, not both."), field="category")
    name = f"language:{language}" if language else f"category:{category}" if category else EVERYTHING
    if len(name) > 80:
        raise InvalidValue(gettext("There is no such slice. Choose one of the lists."), field="category")
    since, until = _date(wishes, "since"), _date(wishes, "until")
    if since and until and since > until:
        raise InvalidValue(gettext("The first day comes after the last one. Swap them."), field="since")
    style = wishes.get("style", "")
    if style not in ("", "controlled"):
        raise InvalidValue(gettext("style must be “controlled” or left out."), field="style")
    return Query(name, since, until, bool(style))


def version() -> int:
    """Goes up with every change of the counters."""
    return CounterVersion.objects.filter(pk=1).values_list("number", flat=True).first() or 0


def board(query: Query) -> Board:
    """The board of this moment, with all chat models, the hidden ones too: see `shown`."""
    return _solved(version(), query)


def shown(solved: Board) -> list[Shown]:
    """The lines that everybody may see. A hidden chat model's votes still inform the others' ratings."""
    about = {listing.name: listing for listing in Listing.objects.all()}
    licences = dict(ChatModel.objects.exclude(licence="").values_list("name", "licence"))
    hidden = {name for name, listing in about.items() if listing.visibility != Listing.Visibility.PUBLIC}
    lines = []
    for standing in solved.standings:
        listing = about.get(standing.name) or Listing(name=standing.name)
        if standing.name not in hidden:
            alike = tuple(name for name in standing.alike if name not in hidden)
            licence = listing.licence or licences.get(standing.name, "")
            lines.append(Shown(standing.name, standing, listing.organisation, licence, listing.link, alike))
    return lines


def hidden_names() -> frozenset[str]:
    hidden = Listing.objects.exclude(visibility=Listing.Visibility.PUBLIC)
    return frozenset(hidden.values_list("name", flat=True))


def organisations() -> dict[str, str]:
    """Of the chat models that have a leaderboard entry."""
    return dict(Listing.objects.exclude(organisation="").values_list("name", "organisation"))


def by_month() -> dict[str, dict[str, list[Counter]]]:
    """All counters, by slice and month: what a board of any slice and any months is solved from."""
    found: dict[str, dict[str, list[Counter]]] = {}
    known = slices()
    if known.first_day is None or known.last_day is None:
        return found
    rows = PairCounter.objects.filter(period__in=_months(known.first_day, known.last_day))
    for name, month, *values in rows.values_list("slice", "period", "left", "right", *COLUMNS):
        found.setdefault(name, {}).setdefault(month, []).append(Counter(*values))
    return found


def slices() -> Slices:
    """With the operators' names for categories, and without those they do not offer."""
    found = _slices(version())
    named = {category.slug: category for category in Category.objects.all()}
    return found._replace(
        categories=[
            choice._replace(title=named[choice.name].title if choice.name in named else _title(choice.name))
            for choice in found.categories
            if choice.name not in named or named[choice.name].offered
        ]
    )


def over_time(query: Query, *, most: int = 8) -> tuple[list[str], dict[str, list[float | None]]]:
    """The rating that each of the first `most` public chat models had at the end of each month: (months, ratings)."""
    hidden = hidden_names()
    # Without style, which the months' boards do not have either.
    leaders = [s.name for s in board(query._replace(style=False)).standings if s.name not in hidden][:most]
    months, standings = _monthly(version(), query.slice)
    return months, {name: [ratings.get(name) for ratings in standings] for name in leaders}


def log() -> list[ListingChange]:
    """What was hidden and shown again, newest first."""
    return list(ListingChange.objects.all()[:200])


def snapshots() -> list[Snapshot]:
    return list(Snapshot.objects.defer("rows", "vote_ranges")[:200])


def pair_rows(query: Query) -> list[Counter]:
    """The counters of a slice, one row for each ordered pair; of a range of dates, added up."""
    counters = PairCounter.objects.filter(slice=query.slice)
    if not query.dated:
        rows = counters.filter(period=ALL_TIME).values_list("left", "right", *COLUMNS)
        return [Counter(*row) for row in rows.order_by("left", "right")]
    days = days_of(query)
    if days is None:
        return []
    grouped = counters.filter(_periods(*days)).order_by("left", "right").values_list("left", "right")
    return [Counter(*row) for row in grouped.annotate(*(Sum(column) for column in COLUMNS))]


def days_of(query: Query) -> tuple[date, date] | None:
    """The first and the last day of the query on which anybody voted at all; None without votes."""
    known = slices()
    if known.first_day is None or known.last_day is None:
        return None
    first = max(query.since or known.first_day, known.first_day)
    last = min(query.until or known.last_day, known.last_day)
    return (first, last) if first <= last else None


def spans(first: date, last: date) -> list[str]:
    """The fewest whole months, thirds of months and single days that make up the range, both ends included."""
    found, day = [], first
    one = timedelta(days=1)
    while day <= last:
        month_end = (day.replace(day=1) + timedelta(days=32)).replace(day=1) - one
        third_end = day.replace(day=day.day + 9) if day.day in (1, 11) else month_end
        if day.day == 1 and month_end <= last:
            found.append(f"{day:%Y-%m}")
            day = month_end + one
        elif day.day in (1, 11, 21) and third_end <= last:
            found.append(third_of(f"{day:%Y-%m-%d}"))
            day = third_end + one
        else:
            found.append(f"{day:%Y-%m-%d}")
            day += one
    return found


def _periods(first: date, last: date) -> Q:
    return Q(period__in=spans(first, last))


@lru_cache(maxsize=64)
def _solved(number: int, query: Query) -> Board:
    return solved_now(query)


def solved_now(query: Query) -> Board:
    """Like `board`, without looking at what was solved before."""
    found = spread(query)
    styled = _styled(query) if query.style else None
    return solving.solve(pair_rows(query), styled, widened=found.factors if found else None)


def spread(query: Query) -> VoterSpread | None:
    """How people's votes hang together in the slice, in all its days; None where that is not known (yet)."""
    return VoterSpread.objects.filter(slice=query.slice).first()


def widenings() -> dict[str, Widening]:
    """How votes hang together in every slice of which it is known."""
    return {
        one.slice: Widening(one.factors, tuple(one.kinds), one.problem) for one in VoterSpread.objects.all()
    }


def meetings(query: Query) -> dict[tuple[str, str], Meeting]:
    """Who fared how against whom."""
    return solving.meetings_of(pair_rows(query))


def votes(query: Query) -> int:
    """How many there are on a board."""
    return sum(row.votes for row in pair_rows(query)) if query.dated else slice_votes().get(query.slice, 0)


def slice_votes() -> dict[str, int]:
    """By the name of the slice."""
    return _slice_votes(version())


def _styled(query: Query) -> Styled | None:
    """The single votes of a slice with the style of their answers; None where no answers are known.

    Unlike counters, this reads every vote of the slice that has answers.
    """
    votes = Vote.objects.filter(counted=True, battle__style__isnull=False)
    kind, _, wanted = query.slice.partition(":")
    if kind == "language":
        votes = votes.filter(battle__language=wanted)
    if query.since:
        votes = votes.filter(created_at__gte=datetime.combine(query.since, time.min, UTC))
    if query.until:
        votes = votes.filter(created_at__lt=datetime.combine(query.until + timedelta(days=1), time.min, UTC))
    columns = [f"battle__style__{side}_{name}" for side in ("left", "right") for name in FEATURES]
    rows = votes.order_by("id").values_list(
        "battle__left_name", "battle__right_name", "choice", "weight", "battle__categories", *columns
    )
    chosen = [
        row
        for row in rows.iterator(chunk_size=5000)
        if row[0] != row[1] and (kind != "category" or wanted in row[4])
    ]
    if not chosen:
        return None
    left, right, choices, weights, _, *style = zip(*chosen, strict=True)
    counts = np.array(style, dtype=np.float64).T  # (n, 8)
    outcomes = Outcomes.of(left, right, [SCORES[choice] for choice in choices], weight=weights)
    return Styled(outcomes, counts[:, : len(FEATURES)], counts[:, len(FEATURES) :])


@lru_cache(maxsize=4)
def _slice_votes(number: int) -> dict[str, int]:
    ever = PairCounter.objects.filter(period=ALL_TIME).order_by().values("slice")
    votes = Sum(F("left_wins") + F("right_wins") + F("ties") + F("both_bad"))
    return dict(ever.annotate(votes=votes).values_list("slice", "votes"))


@lru_cache(maxsize=4)
def _slices(number: int) -> Slices:
    counts = _slice_votes(number)
    # Two queries, since each takes one end of the index; a single one would read all votes.
    days = Vote.objects.filter(counted=True).values_list("created_at", flat=True)
    first, last = days.order_by("created_at").first(), days.order_by("-created_at").first()
    return Slices(
        _offered(counts, "language:"),
        _offered(counts, "category:"),
        counts.get(EVERYTHING, 0),
        first.astimezone(UTC).date() if first else None,
        last.astimezone(UTC).date() if last else None,
    )


def _offered(counts: dict[str, int], prefix: str) -> list[Choice]:
    found = [(name.removeprefix(prefix), votes) for name, votes in counts.items() if name.startswith(prefix)]
    kept = [Choice(name, name, votes) for name, votes in found if votes]
    return sorted(kept, key=lambda one: (-one.votes, one.name))


@lru_cache(maxsize=8)
def _monthly(number: int, name: str) -> tuple[list[str], list[dict[str, float]]]:
    """The months with votes, at most the last `MONTHS_SHOWN`, and the ratings of all votes up to each one's end."""
    known = slices()
    if known.first_day is None or known.last_day is None:
        return [], []
    months = _months(known.first_day, known.last_day)
    by_month: dict[str, list[Counter]] = {month: [] for month in months}
    rows = PairCounter.objects.filter(slice=name, period__in=months)
    for period, *values in rows.values_list("period", "left", "right", *COLUMNS):
        by_month[period].append(Counter(*values))
    gathered: dict[tuple[str, str], Counter] = {}
    standings = []
    for month in months:
        for row in by_month[month]:
            gathered[row.left, row.right] = _together(gathered.get((row.left, row.right)), row)
        standings.append(solving.ratings([gathered[key] for key in sorted(gathered)]))
    return months[-MONTHS_SHOWN:], standings[-MONTHS_SHOWN:]


def _together(first: Counter | None, second: Counter) -> Counter:
    if first is None:
        return second
    sums: list[Any] = [a + b for a, b in zip(first[2:], second[2:], strict=True)]
    return Counter(first.left, first.right, *sums)


def _months(first: date, last: date) -> list[str]:
    count = (last.year - first.year) * 12 + last.month - first.month + 1
    return [
        f"{first.year + (first.month - 1 + n) // 12}-{(first.month - 1 + n) % 12 + 1:02}"
        for n in range(count)
    ]


def _title(name: str) -> str:
    """Of a category that no operator has named."""
    titles = {
        "coding": gettext("Coding"),
        "maths": gettext("Maths"),
        "long": gettext("Long prompts"),
        "hard": gettext("Hard prompts"),
        "instruction_following": gettext("Instruction following"),
        "creative": gettext("Creative writing"),
        "multi_turn": gettext("Several turns"),
        "refusal": gettext("Refusals"),
    }
    return titles.get(name, name.replace("_", " "))


def _date(wishes: Mapping[str, str], name: str) -> date | None:
    text = wishes.get(name, "")
    if not text:
        return None
    try:
        if _DAY.fullmatch(text):
            return date.fromisoformat(text)
    except ValueError:
        pass
    raise InvalidValue(f"{name} must be a day such as 2026-11-24.", field=name)
