"""The workers as they are this second: heartbeats from the broker, and the database's rows for those that are gone."""

import logging
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

import redis

from workers import client, ledger
from workers.connections import broker
from workers.models import Worker
from workers.protocol import HostedModel, WorkerStatus

logger = logging.getLogger(__name__)


class State(StrEnum):
    """Of a worker, or of a chat model over all its workers."""

    READY = "ready"
    DRAINING = "draining"
    """It finishes what it has and takes nothing new."""
    ASLEEP = "asleep"
    """Unloaded since nobody asked for long; a request has it loaded again."""
    OFFLINE = "offline"
    UNKNOWN = "unknown"
    """The broker does not answer, so nobody can say."""


@dataclass(frozen=True, slots=True)
class WorkerView:
    """One worker for people to look at."""

    name: str
    state: State
    models: tuple[HostedModel, ...]
    slots: int
    in_flight: int
    tokens_per_second: float
    memory_bytes: int
    version: str
    host: str
    pid: int
    started_at: datetime
    last_seen_at: datetime

    @property
    def gone(self) -> bool:
        return self.state is State.OFFLINE

    @property
    def uptime_seconds(self) -> float:
        """How long it runs, or ran."""
        end = self.last_seen_at if self.gone else datetime.now(UTC)
        return max(0.0, (end - self.started_at).total_seconds())


@dataclass(frozen=True, slots=True)
class ChatModelView:
    """One chat model over all its workers."""

    name: str
    state: State
    workers: int
    """Live ones, draining ones included."""
    slots: int
    running: int
    waiting: int


@dataclass(frozen=True, slots=True)
class Fleet:
    """All live workers at one moment."""

    statuses: tuple[WorkerStatus, ...]
    requests: Mapping[str, Counter[str]]
    """Chat model → how many of its requests are in each of the ledger's states."""
    reachable: bool = True
    """Whether the broker answered; without it everything is unknown."""

    def status_of(self, worker: str) -> WorkerStatus | None:
        return next((status for status in self.statuses if status.worker == worker), None)

    def hosts(self, chat_model: str) -> list[str]:
        """Names of the live workers that have the chat model loaded."""
        return [s.worker for s in self.statuses if any(m.name == chat_model for m in s.models)]

    def chat_model_names(self) -> list[str]:
        """Of all that are loaded or asked for."""
        loaded = {model.name for status in self.statuses for model in status.models}
        return sorted(loaded | set(self.requests))

    def chat_model(self, name: str) -> ChatModelView:
        hosting = [status for status in self.statuses if status.model(name) is not None]
        serving = [status for status in hosting if status.serves(name)]
        state = self._state(present=bool(hosting), ready=bool(serving))
        if state is State.READY and not any(status.has_ready(name) for status in serving):
            state = State.ASLEEP
        requests = self.requests.get(name, Counter())
        return ChatModelView(
            name=name,
            state=state,
            workers=len(hosting),
            slots=sum(status.slots(name) for status in serving),
            running=requests[ledger.RUNNING],
            waiting=requests[ledger.QUEUED],
        )

    def worker(self, row: Worker) -> WorkerView:
        """The heartbeat where there is one, else what the row says."""
        status = self.status_of(row.name)
        return self._of_row(row) if status is None else self.live(status)

    def live(self, status: WorkerStatus) -> WorkerView:
        return WorkerView(
            name=status.worker,
            state=self._state(present=True, ready=not status.draining),
            models=status.models,
            slots=sum(model.slots for model in status.models),
            in_flight=status.in_flight,
            tokens_per_second=status.tokens_per_second,
            memory_bytes=status.memory_bytes,
            version=status.version,
            host=status.host,
            pid=status.pid,
            started_at=datetime.fromtimestamp(status.started_at, UTC),
            last_seen_at=datetime.fromtimestamp(status.sent_at, UTC),
        )

    def _of_row(self, row: Worker) -> WorkerView:
        return WorkerView(
            name=row.name,
            state=self._state(present=False, ready=False),
            models=tuple(_hosted(entry) for entry in row.hosted),
            slots=row.slots,
            in_flight=0 if self.reachable else row.in_flight,
            tokens_per_second=0.0 if self.reachable else row.tokens_per_second,
            memory_bytes=row.memory_bytes,
            version=row.version,
            host=row.host,
            pid=row.pid,
            started_at=row.started_at,
            last_seen_at=row.last_seen_at,
        )

    def _state(self, *, present: bool, ready: bool) -> State:
        if not self.reachable:
            return State.UNKNOWN
        if not present:
            return State.OFFLINE
        return State.READY if ready else State.DRAINING


def current() -> Fleet:
    """The fleet now. A broker that does not answer gives one that is not `reachable`, not an error."""
    try:
        return Fleet(tuple(client.statuses()), _requests())
    except (redis.RedisError, OSError) as error:
        logger.warning("The workers' statuses cannot be read: %s", error)
        return Fleet((), {}, reachable=False)


def _requests() -> dict[str, Counter[str]]:
    ids = ledger.in_flight(broker())
    pipeline = broker().pipeline(transaction=False)
    for request_id in ids:
        pipeline.hmget(ledger.key(request_id), "chat_model", "state")
    counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
    entries: Iterable[list[Any]] = pipeline.execute()
    for chat_model, state in entries:
        if chat_model and state:  # it may have ended since its id was read
            counts[chat_model.decode()][state.decode()] += 1
    return dict(counts)


def _hosted(entry: dict[str, Any]) -> HostedModel:
    return HostedModel(
        name=str(entry.get("name", "")),
        engine=str(entry.get("engine", "")),
        context_length=int(entry.get("context_length") or 0),
    )
