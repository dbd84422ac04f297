"""Replayable event streams: one Redis stream per request, kept for a while after its end.

An entry's id is `ATTEMPT-NUMBER`, chosen by the writer, and every write goes through one script that knows three rules:

* Who writes for an earlier attempt than the last entry's is refused: a worker that was given up for lost (attempt 1)
  cannot write into a stream that another one (attempt 2) has gone on with.
* A stream that has ended takes nothing more.
* An entry that is there already is passed over: what was sent twice, since the connection broke before the answer
  came, is written once.

So the id is the reader's resume point and the writer's fence. Tokens travel here and not through the channel layer,
which drops what a busy receiver does not fetch in time. See docs/design/streams.md.
"""

import hashlib
import logging
import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import redis
from redis.exceptions import NoScriptError

from workers.connections import UNREACHABLE
from workers.protocol import (
    LAST_EVENTS,
    Delta,
    Entry,
    ErrorCode,
    Failed,
    ProtocolError,
    Started,
    StreamEvent,
    decode_event,
    encode_event,
    join_deltas,
)

logger = logging.getLogger(__name__)

# A finished stream can be replayed for this long; afterwards the database has the text.
KEEP_FINISHED_SECONDS = 3600
# A stream nobody finished (broker and workers died together) goes away by itself.
KEEP_UNFINISHED_SECONDS = 24 * 3600
START = "0"
# Number of the last entry when somebody else than the attempt's worker ends it: above all that the worker may write,
# and exact in a Lua number.
OUTSIDE = 10**15
# Streams that are computed on the processor share it, so each has fewer tokens to send the more of them there are.
PER_STREAM_ON_PROCESSOR = 0.01
MOST_ON_PROCESSOR = 0.2
# Seconds between two attempts to write what the broker did not take.
RETRY_SECONDS = 0.2
STARTED_PATIENCE = 0.12
"""Seconds that the news of a request's start waits for the first delta."""

# KEYS: stream. ARGV: attempt, number of the first entry, seconds to keep, then four flat fields per entry.
# Returns 1 when all of it is in the stream, 0 when the stream has gone on or ended without this writer.
# The look at the newest entry costs more than an append, so it is taken where an attempt begins, where somebody ends
# the stream from outside, and when Redis refuses an id as not above the last one.
_APPEND = """
local attempt, first = tonumber(ARGV[1]), tonumber(ARGV[2])
local highest = first + (#ARGV - 3) / 4 - 1
local function add(call, n)
  local at = 4 + (n - first) * 4
  local id = string.format('%.0f-%.0f', attempt, n)
  return call('XADD', KEYS[1], id, ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3])
end
local number = first
if first > 1 and first < 1e15 and type(add(redis.pcall, first)) == 'string' then
  number = first + 1
else
  local newest = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)[1]
  if newest then
    local there, count = string.match(newest[1], '(%d+)-(%d+)')
    there, count = tonumber(there), tonumber(count)
    local ours = there == attempt and count >= first
    local kind = newest[2][2]
    if there > attempt or (there == attempt and count > highest) then return 0 end
    if (kind == 'finished' or kind == 'failed') and not ours then return 0 end
    if ours then number = count + 1 end
  end
end
for n = number, highest do add(redis.call, n) end
redis.call('EXPIRE', KEYS[1], ARGV[3])
return 1
"""
_APPEND_SHA = hashlib.sha1(_APPEND.encode(), usedforsecurity=False).hexdigest()


def stream_key(request_id: str) -> str:
    return f"chatsite:stream:{request_id}"


def read(
    client: redis.Redis, request_id: str, after: str = "", *, block_ms: int | None = None
) -> list[Entry]:
    """Entries behind `after`; waits up to `block_ms` for one (None does not wait; 0 would mean for ever)."""
    found: Any = client.xread({stream_key(request_id): after or START}, block=block_ms)
    return [entry for _, entries in found for entry in decode_entries(entries)]


def decode_entries(entries: list[tuple[bytes, dict[bytes, bytes]]]) -> Iterator[Entry]:
    """The entries of redis-py's answer. One that cannot be read (a newer writer's) ends the stream for its reader."""
    for identifier, fields in entries:
        try:
            event = decode_event(fields)
        except ProtocolError as error:
            logger.error("An entry of a stream cannot be read: %s", error)
            event = Failed(ErrorCode.ENGINE_FAILURE, "The server could not read a part of the answer.")
        yield Entry(identifier.decode(), event)


def anything_said(client: redis.Redis, request_id: str) -> bool:
    """Whether a part of the answer has been written."""
    return any(not isinstance(entry.event, Started) for entry in read(client, request_id))


def text_so_far(client: redis.Redis, request_id: str) -> str:
    """The deltas that have been written, joined."""
    return "".join(entry.event.text for entry in read(client, request_id) if isinstance(entry.event, Delta))


_SEQ = re.compile(r"([0-9]{1,19})-([0-9]{1,19})")  # 19 digits always fit into Redis's 64 bits


def order(seq: str) -> tuple[int, int]:
    """Sort key of a `seq` ("" is before every entry). Raises ValueError for anything but `N-M`."""
    if not seq:
        return (0, 0)
    found = _SEQ.fullmatch(seq)
    if found is None:
        raise ValueError("a resume point looks like 1-42")
    return (int(found[1]), int(found[2]))


@dataclass(eq=False)
class OpenStream:
    """A stream being written by this process. Only `StreamWriter` touches the fields below the first four."""

    request_id: str
    attempt: int
    on_lost: Callable[[], None]
    """Called once when the stream has gone on or ended without this writer: whatever is written now is refused."""
    on_processor: bool = False
    """Its text is computed on the cores of this machine."""
    spoken: bool = False
    """More than `Started` was given to `append`."""
    pending: list[StreamEvent] = field(default_factory=list)
    """Not numbered yet."""
    number: int = 0
    """Of the last entry that the broker is known to have."""
    outbox: list[StreamEvent] = field(default_factory=list)
    """The entries behind `number`, perhaps sent already: what they hold and their numbers stay as they are."""
    lost: bool = False
    ended: threading.Event = field(default_factory=threading.Event)

    @property
    def settled(self) -> bool:
        return self.lost or not (self.pending or self.outbox)


class StreamWriter:
    """Writes the events of all of a process's streams through one thread and one pipeline.

    The first delta of a stream leaves at once. `Started` waits a moment for it: alone it would cost a flush just when
    the prompt is computed. Later deltas wait for the next flush, which joins the deltas of a stream
    into one entry and sends all streams together: at 16 streams a write costs one round trip instead of 16, and under
    load the interval grows (`interval`) so that the cost per second stays flat. Nothing is dropped while the broker is
    away: events wait in memory and the flush is tried again.
    """

    def __init__(
        self,
        client: redis.Redis,
        *,
        floor: float = 0.08,
        per_stream: float = 0.0001,
        cap: float = 0.09,
        on_processor: float = 0.12,
    ):
        self._client = client
        self._floor, self._per_stream, self._cap, self._on_processor = floor, per_stream, cap, on_processor
        self._open: set[OpenStream] = set()
        self._dirty: set[OpenStream] = set()
        self._flushed = threading.Condition()  # guards the two sets and every stream's `pending`
        self._work = threading.Event()
        self._urgent = threading.Event()
        self._closed = False
        self._give_up_at = float("inf")
        self._complained = False
        self._thread = threading.Thread(target=self._run, name="stream-writer", daemon=True)
        self._thread.start()

    @property
    def interval(self) -> float:
        """Seconds between two flushes: 80 ms for one stream, 90 ms from 100 on; 120 to 200 ms on the processor.

        A flush takes about 2 ms of processor time on its way to a reader, which a model that computes on all cores
        lacks twice: while one of its threads waits for a core, the others wait for that thread.

        95 % of the gaps a reader sees must stay under 150 ms, so the cap leaves room for the way to the page.
        """
        with self._flushed:  # others open streams meanwhile
            count, computing = len(self._open), sum(stream.on_processor for stream in self._open)
        if computing:
            return min(MOST_ON_PROCESSOR, self._on_processor + PER_STREAM_ON_PROCESSOR * (computing - 1))
        return min(self._cap, self._floor + self._per_stream * count)

    def open(
        self, request_id: str, attempt: int, on_lost: Callable[[], None], *, on_processor: bool = False
    ) -> OpenStream:
        stream = OpenStream(request_id, attempt, on_lost, on_processor)
        with self._flushed:
            self._open.add(stream)
        return stream

    def append(self, stream: OpenStream, event: StreamEvent) -> None:
        """Queue `event`. Returns at once; a last event (`Finished`, `Failed`) must come once and last."""
        last = isinstance(event, LAST_EVENTS)
        with self._flushed:
            if stream.lost:
                return
            urgent = last or (not stream.spoken and not isinstance(event, Started))
            stream.spoken = stream.spoken or urgent
            stream.pending.append(event)
            self._dirty.add(stream)
        self._wake(urgent=urgent)

    def wait_ended(self, stream: OpenStream, timeout: float) -> bool:
        """Wait until the last event is written (or the stream is lost). False when the broker is away for too long."""
        return stream.ended.wait(timeout)

    def release(self, stream: OpenStream, timeout: float) -> bool:
        """Write what is pending and leave the stream without a last event, for another attempt to go on with.

        False when it could not be written in time; the stream is still open then.
        """
        self._wake(urgent=True)
        with self._flushed:
            written = self._flushed.wait_for(lambda: stream.settled, timeout)
            if written:
                self._forget(stream)
        return written

    def close(self, timeout: float = 5.0) -> None:
        """Write what is pending and stop the thread. Idempotent."""
        self._give_up_at = time.monotonic() + timeout
        self._closed = True
        self._wake(urgent=True)
        self._thread.join(timeout + 1)

    def _wake(self, *, urgent: bool) -> None:
        self._work.set()
        if urgent:
            self._urgent.set()

    def _run(self) -> None:
        while True:
            self._work.wait()
            self._work.clear()
            if self._is_patient():
                self._urgent.wait(STARTED_PATIENCE)
            self._urgent.clear()
            whole = self._flush()
            if self._closed and ((whole and not self._dirty) or time.monotonic() > self._give_up_at):
                return
            if not whole:
                time.sleep(RETRY_SECONDS)
                self._work.set()
            elif not self._closed:
                self._urgent.wait(self.interval)

    def _is_patient(self) -> bool:
        """Nothing waits but the news that requests were taken."""
        with self._flushed:
            return bool(self._dirty) and all(
                not stream.outbox and all(isinstance(event, Started) for event in stream.pending)
                for stream in self._dirty
            )

    def _flush(self) -> bool:
        """Write everything that waits. False when some of it must be tried again."""
        with self._flushed:
            batch, self._dirty = list(self._dirty), set()
            for stream in batch:
                stream.outbox += join_neighbours(stream.pending)
                stream.pending = []
        batch = [stream for stream in batch if stream.outbox and not stream.lost]
        failed: set[OpenStream] = set()
        try:
            failed = self._write(batch) if batch else set()
        except Exception as error:  # whatever it is: this thread must outlive it, or no answer would ever end
            failed = set(batch)
            self._complain(error)
        with self._flushed:
            self._dirty |= {stream for stream in failed if not stream.lost}
            self._flushed.notify_all()
        self._complained = bool(failed)
        return not failed

    def _write(self, batch: list[OpenStream]) -> set[OpenStream]:
        """Send the streams' outboxes; the streams whose outbox the broker did not take."""
        failed = set()
        for stream, answer in zip(batch, self._send(batch), strict=True):
            if isinstance(answer, Exception):
                failed.add(stream)
                self._complain(answer)
            elif answer:
                self._written(stream)
            else:
                self._lose(stream)
        return failed

    def _send(self, batch: list[OpenStream]) -> list[Any]:
        pipeline = self._client.pipeline(transaction=False)
        for stream in batch:
            pipeline.evalsha(
                *_append_arguments(stream.request_id, stream.attempt, stream.number + 1, stream.outbox)
            )
        answers: list[Any] = pipeline.execute(raise_on_error=False)
        if any(isinstance(answer, NoScriptError) for answer in answers):
            self._client.script_load(_APPEND)  # the broker is new, or has restarted
            return self._send(batch)
        return answers

    def _written(self, stream: OpenStream) -> None:
        last = isinstance(stream.outbox[-1], LAST_EVENTS)
        stream.number += len(stream.outbox)
        stream.outbox = []
        if last:
            with self._flushed:
                self._forget(stream)
            stream.ended.set()

    def _lose(self, stream: OpenStream) -> None:
        with self._flushed:
            stream.lost = True
            stream.pending, stream.outbox = [], []
            self._forget(stream)
        stream.ended.set()
        stream.on_lost()

    def _forget(self, stream: OpenStream) -> None:
        self._open.discard(stream)
        self._dirty.discard(stream)

    def _complain(self, error: Exception) -> None:
        """Log the first of a row of failures. The kind only: the text may hold the command, and so the reply."""
        if not self._complained:
            level = logging.WARNING if isinstance(error, UNREACHABLE) else logging.ERROR
            logger.log(level, "The broker did not take events (%s); trying again.", type(error).__name__)
            self._complained = True


def join_neighbours(events: list[StreamEvent]) -> list[StreamEvent]:
    """Neighbouring deltas as one (as far as they bring the same kind of news), everything else as it is."""
    joined: list[StreamEvent] = []
    deltas: list[Delta] = []
    for event in events:
        if isinstance(event, Delta):
            deltas.append(event)
            continue
        joined += [*join_deltas(deltas), event]
        deltas = []
    return joined + join_deltas(deltas)


def append_last(client: redis.Redis, request_id: str, attempt: int, event: StreamEvent) -> StreamEvent | None:
    """End a stream in place of the worker that holds `attempt`, which can write no more then.

    Returns the event that the stream has ended with, which is an earlier one if there was one; None when a later
    attempt has gone on with it.
    """
    if _append(client, request_id, attempt, OUTSIDE, event):
        return last_event(client, request_id) or event
    written = last_event(client, request_id)
    return written if isinstance(written, LAST_EVENTS) else None


def take_over(client: redis.Redis, request_id: str, attempt: int) -> bool:
    """Fence off every earlier attempt before its text is read, so that none of it is written twice.

    False when the stream has ended, or a later attempt has it. Doing it again does no harm.
    """
    return _append(client, request_id, attempt, 0, Started(worker="", attempt=attempt))


def last_event(client: redis.Redis, request_id: str) -> StreamEvent | None:
    """The newest event; None for an empty stream."""
    entry = last_entry(client, request_id)
    return entry.event if entry else None


def last_entry(client: redis.Redis, request_id: str) -> Entry | None:
    entries: Any = client.xrevrange(stream_key(request_id), count=1)
    return next(decode_entries(entries), None)


def _append(client: redis.Redis, request_id: str, attempt: int, number: int, event: StreamEvent) -> bool:
    _, *arguments = _append_arguments(request_id, attempt, number, [event])
    return bool(client.eval(_APPEND, *arguments))


def _append_arguments(
    request_id: str, attempt: int, number: int, events: Sequence[StreamEvent]
) -> tuple[Any, ...]:
    """Of EVALSHA: the digest, the number of keys, the keys, the rest."""
    keep = KEEP_FINISHED_SECONDS if isinstance(events[-1], LAST_EVENTS) else KEEP_UNFINISHED_SECONDS
    fields = [value for event in events for value in encode_event(event)]
    return (_APPEND_SHA, 1, stream_key(request_id), attempt, number, keep, *fields)
