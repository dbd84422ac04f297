"""Health for load balancers and supervisors: is the process alive, and would a request be answered?"""

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from django.db import connection
from django.http import HttpRequest, JsonResponse
from django.views.decorators.http import require_safe

from workers import client
from workers.api import threads

logger = logging.getLogger(__name__)

CHECK_TIMEOUT: Final = 2.0  # seconds; a probe that hangs tells an operator less than one that fails


@require_safe
async def healthz(request: HttpRequest) -> JsonResponse:
    """The event loop runs. Looks at nothing else: a broken database is no reason to restart this process."""
    return JsonResponse({"status": "ok"})


@require_safe
async def readyz(request: HttpRequest) -> JsonResponse:
    """200 when the database, the broker and at least one worker are there, else 503. Says which one is not, not why."""
    database, (broker, worker) = await asyncio.gather(_state(_database), _broker_and_worker())
    parts = {"database": database, "broker": broker, "worker": worker}
    ready = all(state == "ok" for state in parts.values())
    response = JsonResponse(
        {"status": "ok" if ready else "unavailable", **parts}, status=200 if ready else 503
    )
    # A 503 is this page's ordinary answer while the site starts, asked for several times a second: no error in the log.
    response._has_been_logged = True  # type: ignore[attr-defined]
    return response


def _database() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    return True


def _worker() -> bool:
    return any(not status.draining for status in client.statuses())


async def _broker_and_worker() -> tuple[str, str]:
    state = await _state(_worker)
    # The list of workers comes from the broker: when it cannot be read, nothing is known about them.
    return ("failed", "unknown") if state == "failed" else ("ok", "ok" if state == "ok" else "missing")


async def _state(check: Callable[[], bool]) -> str:
    try:
        return "ok" if await _within_timeout(check) else "missing"
    except Exception as error:
        logger.warning("Readiness: %s failed: %s", check.__name__, type(error).__name__)
        return "failed"


async def _within_timeout(check: Callable[[], bool]) -> bool:
    # Not asyncio.timeout: that cancels, and a cancelled call in a thread is waited for.
    call = asyncio.ensure_future(threads.run(check))
    done, _ = await asyncio.wait([call], timeout=CHECK_TIMEOUT)
    if not done:
        call.add_done_callback(lambda late: late.cancelled() or late.exception())
        raise TimeoutError
    return call.result()
