"""The engine host: one per worker process. Takes claimed requests to engines and their events to streams.

It knows engines and streams, not users. One thread per running request calls `work_on`; the engines batch.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import redis

from workers import ledger
from workers.engines.base import Engine, StopSignal
from workers.protocol import (
    Delta,
    ErrorCode,
    Failed,
    Finished,
    FinishReason,
    GenerationRequest,
    HostedModel,
    Report,
    Started,
    StreamEvent,
)
from workers.streams import OpenStream, StreamWriter

logger = logging.getLogger(__name__)

# Why a request was stopped; see `EngineHost._translate`.
CANCELLED, DEADLINE, LOST, SHUTDOWN = "cancelled", "deadline", "lost", "shutdown"
# How long a finished reply waits for a broker that is away, before its thread gives up.
WRITE_PATIENCE_SECONDS = 120.0
SPEED_WINDOW_SECONDS = 10.0


@dataclass
class _Job:
    request: GenerationRequest
    attempt: int
    stop: StopSignal


class EngineHost:
    """Runs requests on `engines` (by chat model name) and tells `report` of each outcome."""

    def __init__(
        self,
        *,
        worker: str,
        engines: Mapping[str, Engine],
        client: redis.Redis,
        report: Callable[[str, Report], None],
        hand_over: Callable[[str], bool],
    ):
        """`report(task name, report)` must not raise; `hand_over(request id)` gives a request to another worker."""
        self.worker = worker
        self._engines = engines
        self._client = client
        self._report = report
        self._hand_over = hand_over
        self._writer = StreamWriter(client)
        self._jobs: dict[str, _Job] = {}
        self._lock = threading.Lock()
        self._deltas: deque[float] = deque()
        self.draining = False

    @property
    def hosted(self) -> tuple[HostedModel, ...]:
        return tuple(engine.hosted for engine in self._engines.values())

    @property
    def in_flight(self) -> list[str]:
        with self._lock:
            return list(self._jobs)

    @property
    def tokens_per_second(self) -> float:
        """Deltas of all requests over the last ten seconds, per second."""
        horizon = time.monotonic() - SPEED_WINDOW_SECONDS
        with self._lock:
            while self._deltas and self._deltas[0] < horizon:
                self._deltas.popleft()
            return len(self._deltas) / SPEED_WINDOW_SECONDS

    def work_on(self, request_id: str, attempt: int) -> None:
        """Claim the request, run it to its end and report. Does nothing when somebody else has it."""
        record = ledger.claim(self._client, request_id, attempt, self.worker)
        if record is None:
            return
        job = _Job(record.request, attempt, StopSignal())
        with self._lock:
            self._jobs[request_id] = job
        try:
            if record.cancelled:
                job.stop.set(CANCELLED)
            if self.draining:
                job.stop.set(SHUTDOWN)
            self._run(job)
        finally:
            with self._lock:
                del self._jobs[request_id]

    def stop(self, request_id: str, reason: str = CANCELLED) -> None:
        """Stop a request within one step of its engine. Unknown ids are ignored."""
        with self._lock:
            job = self._jobs.get(request_id)
        if job:
            job.stop.set(reason)

    def check_wanted(self) -> None:
        """Stop what is past its deadline or was cancelled. Called once a second: the pub/sub hint may be missed."""
        with self._lock:
            jobs = list(self._jobs.values())
        now = time.time()
        for job in jobs:
            if now > job.request.deadline:
                job.stop.set(DEADLINE)
        for request_id in ledger.cancelled(self._client, [job.request.id for job in jobs]) if jobs else ():
            self.stop(request_id)

    def drain(self) -> None:
        """Take nothing new and end what runs, each request handed to another worker where there is one."""
        self.draining = True
        for request_id in self.in_flight:
            self.stop(request_id, SHUTDOWN)

    def close(self) -> None:
        self._writer.close()
        for engine in self._engines.values():
            engine.close()

    def _run(self, job: _Job) -> None:
        request = job.request
        stream = self._writer.open(request.id, job.attempt, on_lost=lambda: job.stop.set(LOST))
        self._writer.append(stream, Started(self.worker, job.attempt))
        pieces = [request.prefix]
        # In case an engine breaks its contract and just ends.
        last: Finished | Failed = Failed(
            ErrorCode.ENGINE_FAILURE, "The model ended its answer without a reason."
        )
        for event in self._events(job):
            if isinstance(event, Delta):
                pieces.append(event.text)
                self._deltas.append(time.monotonic())
                self._writer.append(stream, event)
            elif isinstance(event, Finished | Failed):
                last = self._translate(event, job)

        if job.stop.reason == LOST:
            logger.warning("Request %s went on elsewhere; this worker's part is dropped.", request.id)
            return
        if job.stop.reason == SHUTDOWN and self._flush_and_hand_over(stream, request.id):
            return
        self._writer.append(stream, last)
        self._writer.wait_ended(stream, WRITE_PATIENCE_SECONDS)
        if ledger.finish(self._client, request.id, job.attempt) and request.report_task:
            self._report(request.report_task, Report.of(request, "".join(pieces), last, self.worker))

    def _events(self, job: _Job) -> Iterator[StreamEvent]:
        """The engine's events; an exception becomes `Failed`. Its text is logged without the request's."""
        try:
            yield from self._engines[job.request.chat_model].stream(job.request, job.stop)
        except Exception as error:
            logger.error(
                "The engine of %s broke down on request %s: %s",
                job.request.chat_model,
                job.request.id,
                type(error).__name__,
            )
            yield Failed(ErrorCode.ENGINE_FAILURE, "The model broke down while it was answering.")

    def _translate(self, event: Finished | Failed, job: _Job) -> Finished | Failed:
        """A stop that was not the person's wish is a failure to them."""
        if not isinstance(event, Finished) or event.reason is not FinishReason.CANCELLED:
            return event
        if job.stop.reason == DEADLINE:
            message = "The answer took too long and was given up."
            return Failed(ErrorCode.DEADLINE, message, event.usage, event.timing)
        if job.stop.reason == SHUTDOWN:
            message = "The worker was stopped while it was answering. Please try again."
            return Failed(ErrorCode.WORKER_LOST, message, event.usage, event.timing)
        return event

    def _flush_and_hand_over(self, stream: OpenStream, request_id: str) -> bool:
        self._writer.release(stream, timeout=5.0)
        return self._hand_over(request_id)
