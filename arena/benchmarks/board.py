"""How long the leaderboard's page and a vote take with many votes in the database."""

import random
import statistics
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

from django.conf import settings
from django.core.management import call_command
from django.db import transaction
from django.test import Client

from arena.battle_files.rows import BattleRow
from arena.models import Battle, Vote
from arena.services import counting, importing

MODELS, DAYS, ROUNDS = 60, 365, 10
PAGE_MS, VOTE_MS = 200, 50
LANGUAGES = ("en", "en", "en", "de", "zh")
CATEGORIES = ("coding", "maths", "creative", "long")


def measure(votes: int, say: Callable[[str], None]) -> bool:
    """Fill the database with random votes and time what people wait for; whether both limits hold.

    "Cold" is a page right after a vote, when the board has to be solved again; "warm" one on which nobody voted since.
    """
    call_command("migrate", verbosity=0)
    if not settings.DEBUG:
        call_command("collectstatic", verbosity=0, interactive=False)
    # The pages are asked for in this process, by a visitor without an account.
    settings.PUBLIC_LEADERBOARD, settings.ALLOWED_HOSTS = True, ["testserver"]
    began = time.perf_counter()
    importing.import_votes(votes=_votes(votes), source="benchmark")
    seconds = time.perf_counter() - began
    say(
        f"{votes} votes on {MODELS} chat models imported and counted in {seconds:.1f} s, {votes / seconds:.0f} a second"
    )
    client = Client()
    began = time.perf_counter()
    client.get("/leaderboard/")
    say(f"{(time.perf_counter() - began) * 1000:8.1f} ms  the first page, with templates compiled")
    vote_ms, cold_ms, warm_ms, slice_ms, dates_ms = [], [], [], [], []
    for number in range(ROUNDS):
        vote_ms.append(_timed(lambda number=number: _cast(number)))  # type: ignore[misc]
        cold_ms.append(_timed(lambda: client.get("/leaderboard/")))
        warm_ms.append(_timed(lambda: client.get("/leaderboard/")))
        slice_ms.append(_timed(lambda: client.get("/leaderboard/?category=coding")))
        dates_ms.append(_timed(lambda: client.get("/leaderboard/?since=2026-01-16&until=2026-05-20")))
    rows = (
        (vote_ms, "a vote", VOTE_MS),
        (cold_ms, "the page, cold", PAGE_MS),
        (warm_ms, "the page, warm", PAGE_MS),
        (slice_ms, "a category, cold", PAGE_MS),
        (dates_ms, "a range of days, cold", PAGE_MS),
    )
    for times, what, limit in rows:
        wall, processor = (statistics.median(values) for values in zip(*times, strict=True))
        say(f"{wall:8.1f} ms  {what}, of which {processor:.1f} ms on the processor (limit {limit})")
    return all(statistics.median(wall for wall, _ in times) < limit for times, _, limit in rows)


def _timed(work: Callable[[], object]) -> tuple[float, float]:
    """(by the clock, on the processor), in ms. On a busy machine the two differ."""
    began, used = time.perf_counter(), time.process_time()
    work()
    return (time.perf_counter() - began) * 1000, (time.process_time() - used) * 1000


def _votes(number: int) -> Iterator[BattleRow]:
    draw = random.Random(1)  # noqa: S311 - the same votes in each run
    first = datetime(2026, 1, 1, tzinfo=UTC)
    for index in range(number):
        left, right = draw.sample(range(MODELS), 2)
        chance = 1 / (1 + 10 ** ((right - left) / 60))
        drawn = draw.random()
        choice = "tie" if drawn < 0.18 else "left" if (drawn - 0.18) / 0.82 < chance else "right"
        yield BattleRow(
            external_id=str(index),
            left=f"model-{left:02}",
            right=f"model-{right:02}",
            winner=choice,
            voter=str(draw.randrange(5000)),
            language=draw.choice(LANGUAGES),
            categories=(draw.choice(CATEGORIES),),
            when=(first + timedelta(days=draw.randrange(DAYS), seconds=draw.randrange(86400))).timestamp(),
        )


@transaction.atomic
def _cast(number: int) -> None:
    """A vote with all that the counters do, in one transaction."""
    battle = Battle.objects.create(
        left_name=f"model-{number % MODELS:02}",
        right_name=f"model-{(number * 7 + 1) % MODELS:02}",
        language="en",
        categories=["coding", "long"],
    )
    counting.vote_changed(Vote.objects.create(battle=battle, choice="left"))
