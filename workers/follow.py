"""Following streams: one blocking reader per event loop for all of its followers, and a plain one for threads.

A reader of its own for each follower would cost a connection and a wake-up per token and follower. The hub reads the
streams of all followers with one XREAD and hands the entries out in order.
"""

import asyncio
import contextlib
import logging
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

import redis.asyncio

from workers import fleet, ledger, streams
from workers.connections import UNREACHABLE, broker, new_async_broker
from workers.protocol import LAST_EVENTS, Entry, ErrorCode, Failed, Finished

logger = logging.getLogger(__name__)

# Silence after which a follower asks whether anybody still works on the request.
CHECK_SECONDS = 5.0
# An id that nobody knows is told from a slow start after this long.
FIRST_CHECK_SECONDS = 0.25
# Checks in a row that must find the request abandoned before a follower gives up by itself. The control worker
# normally ends an abandoned stream within 8 seconds; this is for when that one is down as well.
CHECKS_BEFORE_GIVING_UP = 3
BLOCK_MS = 5000


def unknown(request_id: str) -> Failed | None:
    """Why there is nothing to follow: neither the ledger nor a stream knows the request. None when one does."""
    if ledger.state(broker(), request_id) is None and streams.last_event(broker(), request_id) is None:
        return Failed(ErrorCode.EXPIRED, "This answer is no longer kept by the server.")
    return None


def abandoned(request_id: str) -> Finished | Failed | None:
    """How a silent stream ends, when nobody will write to it any more; None while somebody may.

    A follower that asks for what comes behind the last event gets that event again.
    """
    written = streams.last_event(broker(), request_id)
    if isinstance(written, LAST_EVENTS):
        return written
    record = ledger.look_up(broker(), request_id)
    if record is None:
        return Failed(ErrorCode.EXPIRED, "This answer is no longer kept by the server.")
    if time.time() > record.request.deadline + 2 * CHECK_SECONDS:
        return Failed(ErrorCode.DEADLINE, "The answer took too long and was given up.")
    if record.state == ledger.RUNNING and not fleet.is_alive(broker(), record.worker):
        return Failed(
            ErrorCode.WORKER_LOST, "The worker that wrote this answer has stopped. Please try again."
        )
    return None


def follow(request_id: str, after: str = "") -> Iterator[Entry]:
    """See `workers.client.follow`."""
    client = broker()
    silence = Silence(request_id)
    while True:
        entries = streams.read(client, request_id, after, block_ms=int(silence.patience * 1000))
        for entry in entries:
            silence.broken()
            after = entry.seq
            yield entry
            if isinstance(entry.event, LAST_EVENTS):
                return
        if not entries and (ending := silence.ending()):
            yield Entry(after, ending)
            return


class Silence:
    """Decides when a follower that hears nothing has waited enough."""

    def __init__(self, request_id: str):
        self._request_id = request_id
        self._first = True
        self._suspicions = 0

    @property
    def patience(self) -> float:
        """Seconds to wait for an entry before `ending` is asked."""
        return FIRST_CHECK_SECONDS if self._first else CHECK_SECONDS

    def broken(self) -> None:
        """An entry came."""
        self._first, self._suspicions = False, 0

    def ending(self) -> Finished | Failed | None:
        """The event to end with, or None to wait on. Asks the broker; call it from a thread."""
        if self._first:
            self._first = False
            return unknown(self._request_id)
        ending = abandoned(self._request_id)
        self._suspicions = self._suspicions + 1 if ending else 0
        certain = isinstance(ending, Finished) or (ending and ending.code is not ErrorCode.WORKER_LOST)
        return ending if certain or self._suspicions >= CHECKS_BEFORE_GIVING_UP else None


@dataclass(eq=False)
class _Follower:
    request_id: str
    after: str
    entries: asyncio.Queue[Entry] = field(default_factory=asyncio.Queue)


class FollowHub:
    """All followers of one event loop. Runs while there are any."""

    def __init__(self) -> None:
        self._followers: dict[str, set[_Follower]] = {}
        self._wake_key = f"chatsite:wake:{uuid.uuid4().hex}"
        self._wake_seq = streams.START
        self._reader: asyncio.Task[None] | None = None
        self._reader_client: redis.asyncio.Redis | None = None
        self._client: redis.asyncio.Redis | None = None

    async def follow(self, request_id: str, after: str = "") -> AsyncIterator[Entry]:
        """See `workers.client.afollow`."""
        streams.order(
            after
        )  # a malformed resume point is the caller's mistake: ValueError, before anything else
        follower = _Follower(request_id, after)
        await self._add(follower)
        silence = Silence(request_id)
        try:
            while True:
                try:
                    async with asyncio.timeout(silence.patience):
                        entry = await follower.entries.get()
                except TimeoutError:
                    if ending := await asyncio.to_thread(silence.ending):
                        yield Entry(follower.after, ending)
                        return
                    continue
                silence.broken()
                yield entry
                if isinstance(entry.event, LAST_EVENTS):
                    return
        finally:
            self._remove(follower)

    async def _add(self, follower: _Follower) -> None:
        self._followers.setdefault(follower.request_id, set()).add(follower)
        if self._reader is None or self._reader.done():
            self._reader = asyncio.create_task(self._read_all(), name="stream-follow-hub")
        else:
            await self._wake()

    def _remove(self, follower: _Follower) -> None:
        group = self._followers.get(follower.request_id)
        if group is not None:
            group.discard(follower)
            if not group:
                del self._followers[follower.request_id]

    async def _wake(self) -> None:
        """Make a blocked XREAD return, so that it is asked again with the new follower's stream in it."""
        if self._client is None:
            self._client = new_async_broker()
        with contextlib.suppress(
            *UNREACHABLE
        ):  # the reader is reconnecting as well, and then reads all streams anew
            await self._client.xadd(self._wake_key, {"w": ""}, maxlen=1)
            await self._client.expire(self._wake_key, 60)

    async def _read_all(self) -> None:
        client = self._reader_client = new_async_broker()
        try:
            while self._followers:
                try:
                    await self._read_once(client)
                except UNREACHABLE as error:
                    logger.warning(
                        "The broker cannot be reached (%s); following goes on when it is back.", error
                    )
                    await asyncio.sleep(0.3)
                # Under load a short pause lets entries gather, so that one round trip serves many followers.
                count = len(self._followers)
                if count > 8:
                    await asyncio.sleep(min(0.025, count * 0.0002))
        finally:
            self._reader = None
            await client.aclose()
            if self._client is not None and not self._followers:
                spare, self._client = self._client, None
                await spare.aclose()

    async def _read_once(self, client: redis.asyncio.Redis) -> None:
        wanted: dict[Any, Any] = {self._wake_key: self._wake_seq}
        for request_id, group in self._followers.items():
            wanted[streams.stream_key(request_id)] = (
                min((follower.after for follower in group), key=streams.order) or streams.START
            )
        answer: Any = await client.xread(wanted, block=BLOCK_MS)
        for key, entries in answer:
            name = key.decode()
            if name == self._wake_key:
                self._wake_seq = entries[-1][0].decode()
                continue
            group = self._followers.get(name.removeprefix(streams.stream_key("")), set())
            for entry in streams.decode_entries(entries):
                position = streams.order(entry.seq)
                for follower in group:
                    if position > streams.order(follower.after):
                        follower.after = entry.seq
                        follower.entries.put_nowait(entry)


_hubs: WeakKeyDictionary[asyncio.AbstractEventLoop, FollowHub] = WeakKeyDictionary()


def hub() -> FollowHub:
    """The running event loop's hub."""
    loop = asyncio.get_running_loop()
    if loop not in _hubs:
        _hubs[loop] = FollowHub()
    return _hubs[loop]


async def afollow(request_id: str, after: str = "") -> AsyncIterator[Entry]:
    async with contextlib.aclosing(hub().follow(request_id, after)) as entries:  # type: ignore[type-var]
        async for entry in entries:
            yield entry
