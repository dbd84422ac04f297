"""Following streams: one blocking reader per event loop for all of its followers, and a plain one for threads.

A reader of its own for each follower would cost a connection and a wake-up per token and follower. The hub reads the
streams of all followers with one XREAD and hands the entries out in order.
"""

import asyncio
import contextlib
import logging
import time
import uuid
from collections.abc import AsyncGenerator, Iterator
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

import redis
import redis.asyncio

from workers import fleet, ledger, streams
from workers.connections import (
    LONGEST_BLOCK_SECONDS,
    SOCKET_TIMEOUT_SECONDS,
    UNREACHABLE,
    broker,
    new_async_broker,
)
from workers.protocol import LAST_EVENTS, Entry, ErrorCode, Failed, Finished, Waiting

logger = logging.getLogger(__name__)

# Silence after which a follower asks whether anybody still works on the request.
CHECK_SECONDS = LONGEST_BLOCK_SECONDS
# An id that nobody knows is told from a slow start after this long.
FIRST_CHECK_SECONDS = 0.25
# How often a follower near the front of the queue asks for its place; further behind it asks as if it heard nothing.
PLACE_SECONDS = 2.0
NEAR = 20
# Checks in a row that must find the request abandoned before a follower gives up by itself. The control worker
# normally ends an abandoned stream within 8 seconds; this is for when that one is down as well.
CHECKS_BEFORE_GIVING_UP = 3
# How long a follower waits for a broker that cannot be reached.
BROKER_PATIENCE_SECONDS = 60.0
# How long the reader of an event loop keeps its connection when nobody follows any more.
LINGER_SECONDS = 30.0
BLOCK_MS = int(LONGEST_BLOCK_SECONDS * 1000)
_WAKE = "redis.call('XADD', KEYS[1], 'MAXLEN', 1, '*', 'w', ''); redis.call('EXPIRE', KEYS[1], 60)"
EXPIRED = Failed(ErrorCode.EXPIRED, "This answer is no longer kept by the server.")
GIVEN_UP = Failed(ErrorCode.DEADLINE, "The answer took too long and was given up.")
LOST = Failed(ErrorCode.WORKER_LOST, "The worker that wrote this answer has stopped. Please try again.")
CUT_OFF = Failed(
    ErrorCode.WORKER_LOST, "The server has lost its connection to the workers. Please try again."
)


def look(request_id: str, after: str) -> Waiting | Finished | Failed | None:
    """How a stream ends that is silent behind `after`, when nobody will write to it any more; else what it waits for.

    A follower that asks for what comes behind the last event gets that event again.
    """
    newest = streams.last_entry(broker(), request_id)
    if newest is not None and streams.order(newest.seq) > streams.order(after):
        return None  # not silent at all: the entry came in this moment
    if newest is not None and isinstance(newest.event, LAST_EVENTS):
        return newest.event
    stands = ledger.glance(broker(), [request_id]).get(request_id)
    if stands is None:
        return EXPIRED
    if time.time() > stands.deadline + 2 * CHECK_SECONDS:
        return GIVEN_UP
    if stands.state == ledger.RUNNING and not fleet.is_alive(broker(), stands.worker, stands.since):
        return LOST
    return _place(stands) if stands.state == ledger.QUEUED else None


def _place(stands: ledger.Glance) -> Waiting | None:
    """None for a request that another worker is to go on with: it does not stand in the queue."""
    position = ledger.position(broker(), stands.chat_model, stands.id)
    if position is None:
        return None
    statuses = fleet.statuses(broker())
    asleep = any(status.serves(stands.chat_model) for status in statuses) and not any(
        status.has_ready(stands.chat_model) for status in statuses
    )
    return Waiting(position, loading=asleep)


class Silence:
    """Decides when a follower that hears nothing has waited enough."""

    def __init__(self, request_id: str):
        self._request_id = request_id
        self._first = True
        self._suspicions = 0
        self._cut_off_since: float | None = None
        self._place: Waiting | None = None

    @property
    def patience(self) -> float:
        """Seconds to wait for an entry before `news` is asked for."""
        if self._first:
            return FIRST_CHECK_SECONDS
        near = self._place is not None and self._place.position <= NEAR
        return min(PLACE_SECONDS, CHECK_SECONDS) if near else CHECK_SECONDS

    def broken(self) -> None:
        """An entry came."""
        self._first, self._suspicions, self._cut_off_since, self._place = False, 0, None, None

    def news(self, after: str) -> Waiting | Finished | Failed | None:
        """The event to end with, another place in the queue, or None to wait on.

        Asks the broker; call it from a thread.
        """
        self._first = False
        try:
            seen = look(self._request_id, after)
        except (redis.RedisError, ConnectionError):
            return self._cut_off()
        self._cut_off_since = None
        if isinstance(seen, Waiting):
            before, self._place = self._place, seen
            return None if seen == before else seen
        return self._ending(seen)

    def _ending(self, ending: Finished | Failed | None) -> Finished | Failed | None:
        # A heartbeat may be late, and the control worker may give the request to another worker: ask again. That
        # nothing is known of a request is certain at once, but for the moment in which it ends.
        self._suspicions = self._suspicions + 1 if ending is LOST else 0
        return ending if ending is not LOST or self._suspicions >= CHECKS_BEFORE_GIVING_UP else None

    def _cut_off(self) -> Failed | None:
        now = time.monotonic()
        if self._cut_off_since is None:
            self._cut_off_since = now
        return CUT_OFF if now - self._cut_off_since > BROKER_PATIENCE_SECONDS else None


def follow(request_id: str, after: str = "") -> Iterator[Entry]:
    """See `workers.client.follow`."""
    streams.order(after)  # a malformed resume point is the caller's mistake: ValueError, before anything else
    return _follow(request_id, after)


def _follow(request_id: str, after: str) -> Iterator[Entry]:
    client = broker()
    silence = Silence(request_id)
    while True:
        try:
            entries = streams.read(client, request_id, after, block_ms=int(silence.patience * 1000))
        except UNREACHABLE:
            entries = []
            time.sleep(0.1)  # the client has tried a few times already
        for entry in entries:
            silence.broken()
            after = entry.seq
            yield entry
            if isinstance(entry.event, LAST_EVENTS):
                return
        if not entries and (news := silence.news(after)):
            yield Entry(after, news)
            if isinstance(news, LAST_EVENTS):
                return


@dataclass(eq=False)
class _Follower:
    request_id: str
    after: str
    """Position up to which the hub has put entries into `entries`."""
    entries: asyncio.Queue[Entry] = field(default_factory=asyncio.Queue)

    async def next(self, patience: float) -> Entry | None:
        """The next entry; None when none comes for `patience` seconds."""
        with contextlib.suppress(asyncio.QueueEmpty):
            return self.entries.get_nowait()  # a timer for each entry would cost more than the entry
        try:
            async with asyncio.timeout(patience):
                return await self.entries.get()
        except TimeoutError:
            return None


class FollowHub:
    """All followers of one event loop. Reads while there are any, with one blocking connection."""

    def __init__(self) -> None:
        self._followers: dict[str, set[_Follower]] = {}
        self._wake_key = f"chatsite:wake:{uuid.uuid4().hex}"
        self._wake_seq = streams.START
        self._reader: asyncio.Task[None] | None = None
        self._client: redis.asyncio.Redis | None = None
        """The reader's, while it runs."""
        self._arrived: asyncio.Event | None = None
        """What the reader waits for while there is nobody to read for. Not kept: it refers to the event loop, whose
        end is the hub's."""

    async def follow(self, request_id: str, after: str = "") -> AsyncGenerator[Entry, None]:
        """See `workers.client.afollow`."""
        streams.order(after)  # before anything else
        follower = _Follower(request_id, after)
        silence = Silence(request_id)
        try:
            await self._add(follower)
            while True:
                entry = await follower.next(silence.patience)
                if entry is None:
                    news = await asyncio.to_thread(silence.news, follower.after)
                    if news is None or not follower.entries.empty():  # or something came while we asked
                        continue
                    entry = Entry(follower.after, news)
                else:
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
        elif self._arrived is not None:
            self._arrived.set()
        else:
            await self._wake()

    def _remove(self, follower: _Follower) -> None:
        group = self._followers.get(follower.request_id, set())
        group.discard(follower)
        if not group:
            self._followers.pop(follower.request_id, None)

    async def _wake(self) -> None:
        """Make a blocked XREAD return, so that it is asked again with the new follower's stream in it."""
        if self._client is None:
            return  # the reader has not begun yet
        # The reader is reconnecting as well when this fails, and then reads all streams anew.
        with contextlib.suppress(redis.RedisError, *UNREACHABLE):
            await self._client.eval(_WAKE, 1, self._wake_key)

    async def _read_all(self) -> None:
        client = self._client = new_async_broker()
        well = True
        try:
            while await self._anybody():
                try:
                    await self._read_once(client)
                    well = True
                except (
                    Exception
                ) as error:  # whatever it is: without this task every follower would wait for ever
                    if well:
                        logger.warning("Streams cannot be read (%s); trying again.", type(error).__name__)
                    well = False
                    await asyncio.sleep(0.3)
                # Under load a short pause lets entries gather, so that one round trip serves many followers.
                count = len(self._followers)
                if count > 8:
                    await asyncio.sleep(min(0.025, count * 0.0002))
        finally:
            self._reader = self._client = None
            await client.aclose()

    async def _anybody(self) -> bool:
        """Whether somebody follows. Waits a while for the next one, whose request need not open a connection then."""
        if not self._followers:
            arrived = self._arrived = asyncio.Event()
            try:
                async with asyncio.timeout(LINGER_SECONDS):
                    await arrived.wait()
            except TimeoutError:
                pass
            finally:
                self._arrived = None
        return bool(self._followers)

    async def _read_once(self, client: redis.asyncio.Redis) -> None:
        # Who comes while this waits is not answered by it: the entries are from behind the places of these ones.
        asking = {request_id: list(group) for request_id, group in self._followers.items()}
        wanted: dict[Any, Any] = {self._wake_key: self._wake_seq}
        for request_id, followers in asking.items():
            first = min((follower.after for follower in followers), key=streams.order)
            wanted[streams.stream_key(request_id)] = first or streams.START
        async with asyncio.timeout(SOCKET_TIMEOUT_SECONDS):
            answer: Any = await client.xread(wanted, block=BLOCK_MS)
        for key, entries in answer:
            name = key.decode()
            if name == self._wake_key:
                self._wake_seq = entries[-1][0].decode()
            else:
                hand_out(asking[name.removeprefix(streams.stream_key(""))], entries)


def hand_out(followers: list[_Follower], entries: list[Any]) -> None:
    """Give each of the `followers` of one stream those of the `entries` that are behind its place."""
    for entry in streams.decode_entries(entries):
        position = streams.order(entry.seq)
        for follower in followers:
            if position > streams.order(follower.after):
                follower.after = entry.seq
                follower.entries.put_nowait(entry)


_hubs: WeakKeyDictionary[asyncio.AbstractEventLoop, FollowHub] = WeakKeyDictionary()


def hub() -> FollowHub:
    """The running event loop's hub."""
    return _hubs.setdefault(asyncio.get_running_loop(), FollowHub())


async def afollow(request_id: str, after: str = "") -> AsyncGenerator[Entry, None]:
    async with contextlib.aclosing(hub().follow(request_id, after)) as entries:
        async for entry in entries:
            yield entry
