"""How long the leaderboard's page and a vote take with many votes in the database."""

import logging
import random
import statistics
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.db import connection, transaction
from django.db.models import Model
from django.test import Client

from arena.models import Battle, PairCounter, Vote
from arena.services import background, counting

MODELS, DAYS, ROUNDS = 60, 365, 10
BATCH = 10_000
PAGE_MS, VOTE_MS = 200, 50
LANGUAGES = ("en", "en", "en", "de", "zh")
CATEGORIES = ("coding", "maths", "creative", "long")


def measure(votes: int, say: Callable[[str], None]) -> bool:
    """Fill the database with random votes and time what people wait for; whether both limits hold.

    "Cold" is a page right after a vote, when the board has to be solved again; "warm" one on which nobody voted since.
    """
    # No page is open that it could tell of each vote.
    logging.getLogger(counting.__name__).setLevel(logging.WARNING)
    call_command("migrate", verbosity=0)
    if not settings.DEBUG:
        call_command("collectstatic", verbosity=0, interactive=False)
    # The pages are asked for in this process, by a visitor without an account.
    settings.PUBLIC_LEADERBOARD, settings.ALLOWED_HOSTS = True, ["testserver"]
    began = time.perf_counter()
    _fill(votes)
    seconds = time.perf_counter() - began
    say(f"{votes:,} votes on {MODELS} chat models written in {seconds:.1f} s")
    began = time.perf_counter()
    counting.rebuild()
    say(f"{time.perf_counter() - began:8.1f} s   counted anew: {PairCounter.objects.count():,} counters")
    began = time.perf_counter()
    slices = background.widen()
    say(
        f"{time.perf_counter() - began:8.1f} s   in the background: how voters' votes hang together, {slices} slices"
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


def _fill(number: int) -> None:
    """Random votes straight into the tables; an import would spend most of its time in model instances."""
    draw = random.Random(1)  # noqa: S311 - the same votes in each run
    first = datetime(2026, 1, 1, tzinfo=UTC)
    for start in range(0, number, BATCH):
        battles, votes = [], []
        for _ in range(min(BATCH, number - start)):
            left, right = draw.sample(range(MODELS), 2)
            chance = 1 / (1 + 10 ** ((right - left) / 60))
            drawn = draw.random()
            moment = first + timedelta(days=draw.randrange(DAYS), seconds=draw.randrange(86400))
            battle = uuid.UUID(int=draw.getrandbits(128), version=4)
            battles.append(
                {
                    "id": battle,
                    "left_name": f"model-{left:02}",
                    "right_name": f"model-{right:02}",
                    "language": draw.choice(LANGUAGES),
                    "categories": [draw.choice(CATEGORIES)],
                    "created_at": moment,
                    "revealed_at": moment,
                }
            )
            choice = "tie" if drawn < 0.18 else "left" if (drawn - 0.18) / 0.82 < chance else "right"
            voter = f"voter-{draw.randrange(5000)}"
            votes.append({"battle_id": battle, "choice": choice, "voter_key": voter, "created_at": moment})
        with transaction.atomic():
            _insert(Battle, battles)
            _insert(Vote, votes)


def _insert(model: type[Model], rows: list[dict[str, Any]]) -> None:
    """Rows of some columns; the others get what a new instance has."""
    default = model()
    fields = [
        field for field in model._meta.concrete_fields if field.attname in rows[0] or not field.primary_key
    ]
    quote = connection.ops.quote_name
    columns = ", ".join(quote(field.column or "") for field in fields)
    marks = ", ".join(["%s"] * len(fields))
    statement = f"INSERT INTO {quote(model._meta.db_table)} ({columns}) VALUES ({marks})"  # noqa: S608 - own names
    usual = [field.get_db_prep_save(getattr(default, field.attname), connection) for field in fields]
    given = [(place, field) for place, field in enumerate(fields) if field.attname in rows[0]]
    prepared = []
    for row in rows:
        values = usual.copy()
        for place, field in given:
            values[place] = field.get_db_prep_save(row[field.attname], connection)
        prepared.append(values)
    with connection.cursor() as cursor:
        cursor.executemany(statement, prepared)


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
