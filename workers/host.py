"""The engine host: one per worker process. Takes claimed requests to engines and their events to streams.

It knows engines and streams, not users. One thread per running request calls `work_on`; the engines batch.
"""

import logging
import threading
import time
import traceback
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, replace

import redis

from workers import ledger, rescue, streams
from workers.connections import UNREACHABLE
from workers.engines.base import Engine, StopSignal, run
from workers.protocol import (
    Delta,
    ErrorCode,
    Failed,
    Finished,
    FinishReason,
    Gathering,
    GenerationRequest,
    HostedModel,
    Report,
    Started,
    StreamEvent,
    WorkerRequest,
)
from workers.streams import OpenStream, StreamWriter

logger = logging.getLogger(__name__)

# Why a request was stopped; see `EngineHost._translate`.
CANCELLED, DEADLINE, LOST, SHUTDOWN = "cancelled", "deadline", "lost", "shutdown"
# How long a finished reply waits for a broker that is away, before its thread gives up.
WRITE_PATIENCE_SECONDS = 120.0
RETRY_SECONDS = 0.5
SPEED_WINDOW_SECONDS = 10.0
# How long a message waits in this worker for a slot of its chat model, before it goes back into the queue.
SLOT_PATIENCE_SECONDS = 1.0


@dataclass(eq=False)
class _Job:
    """One attempt at a request. A worker that was taken for dead may have two of the same request for a moment."""

    request: WorkerRequest
    attempt: int
    stop: StopSignal


class EngineHost:
    """Runs requests on engines (by chat model name) and tells `report` of each outcome.

    Engines may come and go while it runs. Who takes one away closes its queue, lets `depart` keep out what was taken
    from the queue before that, waits for `running` to reach 0, and then calls `remove` or `lay_down`.
    """

    def __init__(
        self,
        *,
        worker: str,
        engines: Mapping[str, Engine],
        client: redis.Redis,
        report: Callable[[str, Report], None],
        hand_over: Callable[[str], bool],
        put_back: Callable[[str, int, str], None] | None = None,
    ):
        """`report(task name, report)` must not raise; `hand_over(request id)` gives a request to another worker.

        `put_back(request id, attempt, chat model)` puts a message back into its queue, for a chat model that is not
        here any more, or has no slot free.
        """
        self.worker = worker
        self._engines = dict(engines)
        self._asleep: dict[str, HostedModel] = {}
        self._departing: set[str] = set()
        self._entering: Counter[str] = Counter()
        """Messages by chat model that have been let in and are no job yet."""
        self._used_at: dict[str, float] = dict.fromkeys(engines, time.monotonic())
        self._put_back = put_back
        self._client = client
        self._report = report
        self._hand_over = hand_over
        self._writer = StreamWriter(client)
        self._jobs: set[_Job] = set()
        self._lock = threading.Lock()
        self._room = threading.Condition(self._lock)
        """Told when a request ends, and when a chat model goes."""
        self._deltas: deque[float] = deque()
        self.draining = False

    @property
    def hosted(self) -> tuple[HostedModel, ...]:
        """What is in memory, then what sleeps."""
        with self._lock:
            ready = [replace(e.hosted, draining=name in self._departing) for name, e in self._engines.items()]
            return (*ready, *self._asleep.values())

    @property
    def engines(self) -> dict[str, Engine]:
        """Those in memory."""
        with self._lock:
            return dict(self._engines)

    def add(self, engines: Mapping[str, Engine]) -> None:
        """From now on they are served, also if they slept."""
        with self._lock:
            for name, engine in engines.items():
                self._engines[name] = engine
                self._asleep.pop(name, None)
                self._departing.discard(name)
                self._used_at[name] = time.monotonic()

    def depart(self, names: Collection[str]) -> None:
        """Let nothing new to these chat models."""
        with self._room:
            self._departing.update(names)
            self._room.notify_all()

    def stay(self, names: Collection[str]) -> None:
        """Take `depart` back."""
        with self._lock:
            self._departing.difference_update(names)

    def running(self, names: Collection[str]) -> int:
        """How many requests for these chat models run or are about to."""
        with self._lock:
            return self._count(names)

    def _count(self, names: Collection[str]) -> int:
        jobs = sum(job.request.chat_model in names for job in self._jobs)
        return jobs + sum(self._entering[name] for name in names)

    def idle_seconds(self, names: Collection[str]) -> float:
        """Since the last request for one of them ended, or it was loaded; 0 while one runs."""
        if self.running(names):
            return 0.0
        with self._lock:
            return time.monotonic() - max(self._used_at.get(name, 0.0) for name in names)

    def hand_over_all(self, names: Collection[str]) -> None:
        """End what runs for these chat models, each request handed to another worker where there is one."""
        for job in self._running():
            if job.request.chat_model in names:
                job.stop.set(SHUTDOWN)

    def remove(self, names: Collection[str]) -> None:
        """They are not served any more. Nothing runs for them; the engines are the caller's to close."""
        with self._lock:
            for name in names:
                self._engines.pop(name, None)
                self._asleep.pop(name, None)
                self._departing.discard(name)

    def lay_down(self, names: Collection[str]) -> None:
        """As `remove`, but they stay among the `hosted`, as those that a request wakes."""
        with self._lock:
            for name in names:
                self._asleep[name] = replace(self._engines.pop(name).hosted, asleep=True)
                self._departing.discard(name)

    @property
    def in_flight(self) -> list[str]:
        with self._lock:
            return [job.request.id for job in self._jobs]

    @property
    def tokens_per_second(self) -> float:
        """Deltas of all requests over the last ten seconds, per second."""
        horizon = time.monotonic() - SPEED_WINDOW_SECONDS
        with self._lock:
            while self._deltas and self._deltas[0] < horizon:
                self._deltas.popleft()
            return len(self._deltas) / SPEED_WINDOW_SECONDS

    def work_on(self, request_id: str, attempt: int, chat_model: str = "") -> None:
        """Claim a request, run it to its end and report. Does nothing when there is nothing to do.

        The message's own one, or that of an asker whose turn it is: see `ledger.claim`. `chat_model`: the message's.
        """
        chat_model = chat_model or ledger.chat_model_of(self._client, request_id)
        if not self._let_in(chat_model):
            if chat_model and self._put_back is not None:
                self._put_back(request_id, attempt, chat_model)
            return
        try:
            job = self._claim(request_id, attempt)
        finally:
            with self._room:
                self._entering[chat_model] -= 1
                self._room.notify_all()
        if job is not None:
            self._work(job)

    def _let_in(self, chat_model: str) -> bool:
        """Wait a moment for a slot. False when there is none, or the chat model is not here.

        The consumer counts the slots of all chat models together. One that gets many requests must neither take them
        from other workers before it can work on them, nor fill up the threads that the others here need.
        """
        until = time.monotonic() + SLOT_PATIENCE_SECONDS
        with self._room:
            while chat_model in self._engines and chat_model not in self._departing:
                if self._count([chat_model]) < self._engines[chat_model].hosted.slots:
                    self._entering[chat_model] += 1
                    return True
                if not self._room.wait(until - time.monotonic()):
                    return False
        return False

    def _claim(self, request_id: str, attempt: int) -> _Job | None:
        try:
            record = ledger.claim(self._client, request_id, attempt, self.worker)
        except ledger.UnreadableError as error:
            rescue.discard(self._client, error.request_id, error)
            return None
        if record is None:
            return None
        job = _Job(record.request, record.attempt, StopSignal())
        if record.cancelled:
            job.stop.set(CANCELLED)
        with self._lock:
            self._jobs.add(job)
        return job

    def _work(self, job: _Job) -> None:
        try:
            if self.draining:
                job.stop.set(SHUTDOWN)
            self._run(job)
        finally:
            with self._room:
                self._jobs.discard(job)
                self._room.notify_all()
                self._used_at[job.request.chat_model] = time.monotonic()

    def stop(self, request_id: str, reason: str = CANCELLED) -> None:
        """Stop a request within one step of its engine. Unknown ids are ignored."""
        for job in self._running():
            if job.request.id == request_id:
                job.stop.set(reason)

    def check_wanted(self) -> None:
        """Stop what is past its deadline or was cancelled. Called once a second: the pub/sub hint may be missed."""
        jobs = self._running()
        now = time.time()
        for job in jobs:
            if now > job.request.deadline:
                job.stop.set(DEADLINE)
        # Behind the deadlines, which hold while the broker is away, too.
        for request_id in ledger.cancelled(self._client, [job.request.id for job in jobs]) if jobs else ():
            self.stop(request_id)

    def drain(self) -> None:
        """Take nothing new and end what runs, each request handed to another worker where there is one."""
        self.draining = True
        for job in self._running():
            job.stop.set(SHUTDOWN)

    def close(self) -> None:
        """Write out what waits and free the engines. Nothing runs any more."""
        self._writer.close()
        for engine in self.engines.values():
            engine.close()
            # A base whose adapters alone are served is nobody else's to close.
            if (base := getattr(engine, "base", None)) is not None:
                base.close()

    def _running(self) -> list[_Job]:
        with self._lock:
            return list(self._jobs)

    def _run(self, job: _Job) -> None:
        request = job.request
        stream = self._writer.open(
            request.id,
            job.attempt,
            on_lost=lambda: job.stop.set(LOST),
            on_processor=self._on_processor(request.chat_model),
        )
        self._writer.append(stream, Started(self.worker, job.attempt))
        said = Gathering(request.prefix if isinstance(request, GenerationRequest) else "")
        # In case an engine breaks its contract and just ends.
        last: Finished | Failed = Failed(
            ErrorCode.ENGINE_FAILURE, "The model ended its answer without a reason."
        )
        for event in self._events(job):
            if isinstance(event, Delta):
                said.add(event)
                self._deltas.append(time.monotonic())
                self._writer.append(stream, event)
            elif isinstance(event, Finished | Failed):
                last = event
                break
            else:
                self._writer.append(stream, event)
        # A reply that ended by itself in the moment of the shutdown is whole.
        unfinished = isinstance(last, Finished) and last.reason is FinishReason.CANCELLED
        if unfinished and job.stop.reason == SHUTDOWN and self._flush_and_hand_over(stream, request.id):
            return
        self._writer.append(stream, self._translate(last, job))
        if not self._writer.wait_ended(stream, WRITE_PATIENCE_SECONDS):
            logger.error("Request %s could not be written: the broker was away for too long.", request.id)
            return
        if stream.lost:
            self._let_go(job)
        else:
            self._close(job, said, self._translate(last, job))

    def _on_processor(self, chat_model: str) -> bool:
        engine = self._engines.get(chat_model)
        return engine is not None and engine.hosted.on_processor

    def _let_go(self, job: _Job) -> None:
        """The stream is somebody else's. If that ended it and died before it could say so, say it."""
        logger.warning(
            "Request %s went on or ended elsewhere; this worker's part is dropped.", job.request.id
        )
        written = streams.last_event(self._client, job.request.id)
        if isinstance(written, Finished | Failed):
            self._close(job, streams.text_so_far(self._client, job.request.id), written)

    def _close(self, job: _Job, reply: str | Gathering, last: Finished | Failed) -> None:
        request = job.request
        if self._finish(job) and request.report_task:
            self._report(request.report_task, Report.of(request, reply, last, self.worker))

    def _finish(self, job: _Job) -> bool:
        """Close the ledger, whatever the broker does: nobody else looks after the request of a worker that lives."""
        until = time.monotonic() + WRITE_PATIENCE_SECONDS
        while True:
            try:
                return ledger.finish(self._client, job.request.id, job.attempt)
            except UNREACHABLE:
                if time.monotonic() > until:
                    raise
                time.sleep(RETRY_SECONDS)

    def _events(self, job: _Job) -> Iterator[StreamEvent]:
        """The engine's events; an exception becomes `Failed`. It is logged by its place, since its text may quote."""
        try:
            yield from run(self._engines[job.request.chat_model], job.request, job.stop)
        except Exception as error:
            *_, frame = traceback.extract_tb(error.__traceback__)
            logger.error(
                "The engine of %s broke down on request %s: %s in %s, line %s",
                job.request.chat_model,
                job.request.id,
                type(error).__name__,
                frame.filename,
                frame.lineno,
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
        return self._writer.release(stream, timeout=5.0) and self._hand_over(request_id)
