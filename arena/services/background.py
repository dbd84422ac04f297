"""Computes behind the leaderboard's back what no page should wait for, and keeps it until it is out of date.

* By how much the errors grow because one person's votes, and those on one prompt, hang together (`widen`): it takes
  all single votes, where the ratings take counters. The live board multiplies its own errors by these factors, which
  change slowly.
* Boards under style control of more than `AT_ONCE` votes: the page shows the last one and asks for a new one.
"""

import logging
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from typing import Any, NamedTuple

from celery import current_app
from django.db import transaction
from django.db.models import Q
from django.utils import timezone
from kombu.exceptions import OperationalError

from arena.boards import keeping, solving
from arena.boards.solving import Board
from arena.models import KeptBoard, VoterSpread
from arena.models.leaderboard import EVERYTHING
from arena.selectors import leaderboard, vote_arrays
from arena.selectors.leaderboard import Query
from arena.services import counting

logger = logging.getLogger(__name__)

SOLVE_TASK = "arena.solve_board"
AT_ONCE = 20_000
"""Votes with style that are solved while the page waits: about a tenth of a second."""
GROWN = 1.05
"""Factors are computed again when a slice has so many times the votes, or after `A_DAY` with any new one."""
A_DAY = timedelta(days=1)
PATIENCE = timedelta(minutes=2)
MOST_ASKED = 4
"""Boards that are being solved at the same time, however many are asked for."""
KEPT_FOR = timedelta(days=7)


class Answer(NamedTuple):
    board: Board | None
    """None: it is being solved, and will be there when the page asks again."""
    as_of: datetime | None = None
    """When it was solved, where votes have come in since."""


def board(query: Query) -> Answer:
    """The board a page shows. It never takes longer than solving `AT_ONCE` votes."""
    if not query.style or leaderboard.votes(query) <= AT_ONCE:
        return Answer(leaderboard.board(query))
    kept, _ = KeptBoard.objects.get_or_create(key=_key(query))
    current = kept.version == leaderboard.version()
    if not current:
        _ask(kept, query)
    if not kept.board:
        return Answer(None)
    return Answer(
        keeping.from_json(kept.board, leaderboard.meetings(query)), None if current else kept.solved_at
    )


def solve_kept(*, slice_name: str, since: str | None, until: str | None) -> None:
    """What `_ask` asked for. A second one of the same board at the same time does no harm."""
    first, last = (date.fromisoformat(day) if day else None for day in (since, until))
    query = Query(slice_name, first, last, style=True)
    version = leaderboard.version()
    solved = leaderboard.solved_now(query)
    KeptBoard.objects.update_or_create(
        key=_key(query),
        defaults={
            "version": version, "board": keeping.as_json(solved), "solved_at": timezone.now(), "asked_at": None,
        },
    )  # fmt: skip
    transaction.on_commit(counting.tell_pages, robust=True)


def widen() -> int:
    """Compute the factors of every slice that needs it; how many those were. Reads all votes if there is one."""
    KeptBoard.objects.filter(solved_at__lt=timezone.now() - KEPT_FOR).delete()
    due = list(_due())
    if not due:
        return 0
    votes = vote_arrays.read()
    for name in due:
        if name == EVERYTHING or name in votes.rows:
            _keep_spread(name, votes)
    counting.changed()
    return len(due)


def _due() -> Iterator[str]:
    known = {spread.slice: spread for spread in VoterSpread.objects.defer("factors")}
    old = timezone.now() - A_DAY
    for name, votes in leaderboard.slice_votes().items():
        spread = known.get(name)
        if (
            spread is None
            or votes > spread.votes * GROWN
            or votes < spread.votes / GROWN
            or (votes != spread.votes and spread.computed_at < old)
        ):
            yield name


def _keep_spread(name: str, votes: vote_arrays.VoteArrays) -> None:
    outcomes = votes.slice(name)
    found = solving.widening(outcomes)
    VoterSpread.objects.update_or_create(
        slice=name,
        defaults={
            "votes": len(outcomes), "voters": vote_arrays.different(outcomes.voter),
            "prompts": vote_arrays.different(outcomes.prompt),
            "factors": found.factors, "kinds": found.kinds, "problem": found.problem[:300],
            "computed_at": timezone.now(),
        },
    )  # fmt: skip


def _ask(kept: KeptBoard, query: Query) -> None:
    """Have it solved, once for all who ask meanwhile; later, when enough are being solved already."""
    now = timezone.now()
    if KeptBoard.objects.filter(asked_at__gte=now - PATIENCE).count() >= MOST_ASKED:
        return
    free = KeptBoard.objects.filter(Q(asked_at=None) | Q(asked_at__lt=now - PATIENCE), pk=kept.pk)
    if not free.update(asked_at=now):
        return
    days = {"since": query.since, "until": query.until}
    arguments: dict[str, Any] = {name: day.isoformat() if day else None for name, day in days.items()}
    try:
        current_app.send_task(
            SOLVE_TASK,
            kwargs={"slice_name": query.slice, **arguments},
            ignore_result=True,
            expires=PATIENCE.total_seconds(),
        )
    except OperationalError as error:
        # The page shows what there is, and asks again after `PATIENCE`.
        logger.warning("a board cannot be solved anew while the broker is away: %s", error)


def _key(query: Query) -> str:
    return f"{query.slice}|{query.since or ''}|{query.until or ''}"
