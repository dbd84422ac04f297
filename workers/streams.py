"""Replayable event streams: one Redis stream per request, kept for a while after its end.

An entry's id is `ATTEMPT-NUMBER`, chosen by the writer. Redis refuses an id that is not above the last one, so a
worker that was given up for lost (attempt 1) cannot write into a stream that another one (attempt 2) has gone on
with: the id is both the reader's resume point and the writer's fence.

Tokens travel here and not through the channel layer, which drops what a busy receiver does not fetch in time. See
docs/design/streams.md.
"""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import redis

from workers.connections import UNREACHABLE
from workers.protocol import LAST_EVENTS, Delta, Entry, Started, StreamEvent, decode_event, encode_event

# A finished stream can be replayed for this long; afterwards the database has the text.
KEEP_FINISHED_SECONDS = 3600
# A stream nobody finished (broker and workers died together) goes away by itself.
KEEP_UNFINISHED_SECONDS = 24 * 3600
START = "0"


def stream_key(request_id: str) -> str:
    return f"chatsite:stream:{request_id}"


def read(
    client: redis.Redis, request_id: str, after: str = "", *, block_ms: int | None = None
) -> list[Entry]:
    """Entries behind `after`; waits up to `block_ms` for one (None does not wait; 0 would mean for ever)."""
    found: Any = client.xread({stream_key(request_id): after or START}, block=block_ms)
    return [entry for _, entries in found for entry in decode_entries(entries)]


def decode_entries(entries: list[tuple[bytes, dict[bytes, bytes]]]) -> Iterator[Entry]:
    for identifier, fields in entries:
        yield Entry(identifier.decode(), decode_event(fields))


def text_so_far(client: redis.Redis, request_id: str) -> str:
    """The deltas that have been written, joined."""
    return "".join(entry.event.text for entry in read(client, request_id) if isinstance(entry.event, Delta))


def order(seq: str) -> tuple[int, int]:
    """Sort key of a `seq`; ("" is before every entry). Raises ValueError for anything but `N-M`."""
    if not seq:
        return (0, 0)
    attempt, number = seq.split("-")
    return (int(attempt), int(number))


@dataclass
class OpenStream:
    """A stream being written by this process. Only `StreamWriter` touches the fields below the first three."""

    request_id: str
    attempt: int
    on_lost: Callable[[], None]
    """Called once when another attempt has taken the stream over: whatever is written now is refused."""
    number: int = 0
    queued: int = 0
    written: int = 0
    pending: list[StreamEvent] = field(default_factory=list)
    lost: bool = False
    ended: threading.Event = field(default_factory=threading.Event)


class StreamWriter:
    """Writes the events of all of a process's streams through one thread and one pipeline.

    The first event of a stream leaves at once. Later deltas wait for the next flush, which joins the deltas of a stream
    into one entry and sends all streams together: at 16 streams a write costs one round trip instead of 16, and under
    load the interval grows (`interval`) so that the cost per second stays flat. Nothing is dropped while the broker is
    away: events wait in memory and the flush is tried again.
    """

    def __init__(
        self, client: redis.Redis, *, floor: float = 0.02, per_stream: float = 0.0004, cap: float = 0.09
    ):
        self._client = client
        self._floor, self._per_stream, self._cap = floor, per_stream, cap
        self._lock = threading.Lock()
        self._dirty: dict[str, OpenStream] = {}
        self._open = 0
        self._work = threading.Event()
        self._urgent = threading.Event()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="stream-writer", daemon=True)
        self._thread.start()

    @property
    def interval(self) -> float:
        """Seconds between two flushes: 20 ms for one stream, 90 ms from about 175 on.

        95 % of the gaps a reader sees must stay under 150 ms, so the cap leaves room for the way to the page.
        """
        return min(self._cap, self._floor + self._per_stream * self._open)

    def open(self, request_id: str, attempt: int, on_lost: Callable[[], None]) -> OpenStream:
        with self._lock:
            self._open += 1
        return OpenStream(request_id, attempt, on_lost)

    def append(self, stream: OpenStream, event: StreamEvent) -> None:
        """Queue `event`. Returns at once; a last event (`Finished`, `Failed`) must come once and last."""
        last = isinstance(event, LAST_EVENTS)
        with self._lock:
            # Two entries make a first token quick: `started`, then the first delta.
            urgent = last or stream.queued < 2
            stream.queued += 1
            stream.pending.append(event)
            self._dirty[stream.request_id] = stream
            if last:
                self._open -= 1
        self._work.set()
        if urgent:
            self._urgent.set()

    def wait_ended(self, stream: OpenStream, timeout: float) -> bool:
        """Wait until the last event is written (or the stream is lost). False when the broker is away for too long."""
        return stream.ended.wait(timeout)

    def release(self, stream: OpenStream, timeout: float) -> None:
        """Write what is pending and leave the stream without a last event, for another attempt to go on with."""
        with self._lock:
            self._open -= 1
        self._work.set()
        self._urgent.set()
        until = time.monotonic() + timeout
        while stream.written < stream.queued and not stream.lost and time.monotonic() < until:
            time.sleep(0.005)

    def close(self, timeout: float = 5.0) -> None:
        """Write what is pending and stop the thread."""
        self._closed = True
        self._work.set()
        self._urgent.set()
        self._thread.join(timeout)

    def _run(self) -> None:
        while True:
            self._work.wait()
            self._work.clear()
            self._urgent.clear()
            self._flush()
            if self._closed and not self._dirty:
                return
            if not self._closed:
                self._urgent.wait(self.interval)

    def _flush(self) -> None:
        with self._lock:
            batch = [(stream, stream.pending) for stream in self._dirty.values()]
            self._dirty = {}
            for stream, _ in batch:
                stream.pending = []
        joined = [(stream, join_deltas(events)) for stream, events in batch if not stream.lost]
        while joined:
            try:
                self._write(joined)
                for stream, events in batch:
                    stream.written += len(events)
                return
            except UNREACHABLE:
                if self._closed:
                    return
                time.sleep(0.2)

    def _write(self, batch: list[tuple[OpenStream, list[StreamEvent]]]) -> None:
        pipeline = self._client.pipeline(transaction=False)
        for stream, events in batch:
            key = stream_key(stream.request_id)
            for number, event in enumerate(events, start=stream.number + 1):
                pipeline.xadd(key, encode_event(event), id=f"{stream.attempt}-{number}")  # type: ignore[arg-type]
            if stream.number == 0:
                pipeline.expire(key, KEEP_UNFINISHED_SECONDS)
            if isinstance(events[-1], LAST_EVENTS):
                pipeline.expire(key, KEEP_FINISHED_SECONDS)
        answers = iter(pipeline.execute(raise_on_error=False))
        for stream, events in batch:
            refused = [answer for answer in (next(answers) for _ in events) if isinstance(answer, Exception)]
            if stream.number == 0:
                next(answers)
            if isinstance(events[-1], LAST_EVENTS):
                next(answers)
            stream.number += len(events)
            if refused and self._taken_over(stream):
                stream.lost = True
                stream.on_lost()
            if stream.lost or isinstance(events[-1], LAST_EVENTS):
                stream.ended.set()

    def _taken_over(self, stream: OpenStream) -> bool:
        """Whether a refused entry means a newer attempt, and not our own entry sent again after a broken connection."""
        info: Any = self._client.xinfo_stream(stream_key(stream.request_id))
        attempt, _ = order(info["last-generated-id"].decode())
        return attempt > stream.attempt


def join_deltas(events: list[StreamEvent]) -> list[StreamEvent]:
    """Neighbouring deltas as one, everything else as it is."""
    joined: list[StreamEvent] = []
    for event in events:
        if isinstance(event, Delta) and joined and isinstance(joined[-1], Delta):
            joined[-1] = Delta(joined[-1].text + event.text)
        else:
            joined.append(event)
    return joined


def append_last(client: redis.Redis, request_id: str, attempt: int, event: StreamEvent) -> bool:
    """End a stream from outside its worker (a lost one's). False when the stream has gone on already."""
    return _append(client, request_id, f"{attempt}-1", event, KEEP_FINISHED_SECONDS)


def take_over(client: redis.Redis, request_id: str, attempt: int) -> bool:
    """Fence off every earlier attempt before its text is read, so that none of it is written twice."""
    return _append(
        client, request_id, f"{attempt}-0", Started(worker="", attempt=attempt), KEEP_UNFINISHED_SECONDS
    )


def last_event(client: redis.Redis, request_id: str) -> StreamEvent | None:
    """The newest event; None for an empty stream."""
    entries: Any = client.xrevrange(stream_key(request_id), count=1)
    return decode_event(entries[0][1]) if entries else None


def _append(client: redis.Redis, request_id: str, identifier: str, event: StreamEvent, keep: int) -> bool:
    key = stream_key(request_id)
    try:
        client.xadd(key, encode_event(event), id=identifier)  # type: ignore[arg-type]
    except redis.ResponseError:  # not above the last id
        return False
    client.expire(key, keep)
    return True
