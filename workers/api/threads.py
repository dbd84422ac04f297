"""Where the API's blocking work runs: key check, catalog, submit, cancel.

Django's own choice under ASGI is a new thread for every request, and with it a new database connection: measured here
1.3 ms for one look-up in SQLite (more with PostgreSQL), against 0.1 to 0.7 ms on a thread that stays.
"""

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar, copy_context
from functools import partial
from typing import ParamSpec, TypeVar

from asgiref.sync import sync_to_async
from django.db import connections

P = ParamSpec("P")
T = TypeVar("T")

# Work of a few milliseconds each, most of it under the GIL: more threads would only hold more connections.
_pool = ThreadPoolExecutor(max_workers=8, thread_name_prefix="api")

_caller_waits: ContextVar[bool] = ContextVar("caller_waits", default=False)


@contextmanager
def for_caller(*, waits: bool) -> Iterator[None]:
    """Say whether a synchronous caller waits above (Django's test client, WSGI).

    Its own thread then does the work, because that is the thread whose transaction the caller sees.
    """
    token = _caller_waits.set(waits)
    try:
        yield
    finally:
        _caller_waits.reset(token)


async def run(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call `function` in a thread that may use the database.

    It is never abandoned half-way: cancelled, this raises `CancelledError` only when the call has ended, so that what
    it began can be taken back.
    """
    if _caller_waits.get():
        return await sync_to_async(function)(*args, **kwargs)
    call = partial(_with_fresh_connection, partial(function, *args, **kwargs))
    future = asyncio.get_running_loop().run_in_executor(_pool, copy_context().run, call)
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        await asyncio.wait([future])
        future.exception()  # marks it as seen
        raise


def _with_fresh_connection(function: Callable[[], T]) -> T:
    # Django does this when a request starts, but in that request's own thread.
    for connection in connections.all(initialized_only=True):
        # A file does not go away by itself, and opening it anew costs 0.6 ms. A server's connection may have an age.
        if connection.vendor != "sqlite" or connection.errors_occurred:
            connection.close_if_unusable_or_obsolete()
    return function()
