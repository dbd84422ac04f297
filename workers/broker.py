"""The product's workers client: Celery queues for requests, Redis streams for what comes back."""

import contextlib
import time
from collections.abc import AsyncIterator, Iterator

from celery import current_app
from django.conf import settings
from kombu.exceptions import OperationalError

from workers import fleet, follow, ledger
from workers.client import NoWorker, QueueFull
from workers.connections import UNREACHABLE, broker
from workers.protocol import Entry, WorkerRequest, WorkerStatus

GENERATE_TASK = "workers.generate"
# Statuses are asked for by every request; a copy this old is as good, since heartbeats come once a second.
STATUS_CACHE_SECONDS = 0.5
# What a client is told to wait when the queue is full: never so short that it asks all the time, nor longer than
# OpenAI's clients wait at all.
LEAST_RETRY_SECONDS, MOST_RETRY_SECONDS = 0.1, 60.0


def queue_name(chat_model: str) -> str:
    """The Celery queue of a chat model's requests."""
    return f"generate.{chat_model}"


def queue_key(chat_model: str) -> str:
    """The Redis list in which Celery's transport keeps that queue."""
    return str(settings.CELERY_KEY_PREFIX) + queue_name(chat_model)


class BrokerClient:
    """See the functions of `workers.client` for what each method promises."""

    def __init__(self) -> None:
        self._statuses: list[WorkerStatus] = []
        self._statuses_read_at = float("-inf")

    def submit(self, request: WorkerRequest) -> None:
        client = broker()
        if not self._is_served(request.chat_model):
            raise NoWorker(f"No worker serves {request.chat_model} at the moment.")
        limit = settings.QUEUE_LIMIT
        waiting = ledger.enter(client, request, queue=queue_key(request.chat_model), limit=limit)
        if waiting >= limit:
            # Nothing was entered, but by a first call whose answer was lost on its way and that was sent again.
            ledger.drop(client, request.id)
            raise self._queue_full(request.chat_model, waiting)
        try:
            self.publish(request.id, 1, request.chat_model)
        except Exception:
            # The caller is told that it failed, so nobody may find it later and work on it after all.
            with contextlib.suppress(*UNREACHABLE):
                ledger.drop(client, request.id)
            raise

    def _queue_full(self, chat_model: str, waiting: int) -> QueueFull:
        refusal = QueueFull(f"{waiting} requests wait for {chat_model} already. Please try again shortly.")
        mean = ledger.mean_seconds(broker(), chat_model)
        slots = sum(status.slots(chat_model) for status in self.statuses())
        if mean is not None and slots:
            # One ends every `mean / slots` seconds, and makes room for another.
            until_room = (waiting - settings.QUEUE_LIMIT + 1) * mean / slots
            refusal.retry_after = min(max(until_room, LEAST_RETRY_SECONDS), MOST_RETRY_SECONDS)
        return refusal

    def publish(self, request_id: str, attempt: int, chat_model: str) -> None:
        """Put a request that the ledger has as queued into its chat model's queue."""
        try:
            current_app.send_task(
                GENERATE_TASK,
                args=[request_id, attempt, chat_model],
                queue=queue_name(chat_model),
                ignore_result=True,
            )
        except OperationalError as error:
            raise ConnectionError(f"The broker did not take the message: {error}") from error

    def follow(self, request_id: str, after: str = "") -> Iterator[Entry]:
        return follow.follow(request_id, after)

    def afollow(self, request_id: str, after: str = "") -> AsyncIterator[Entry]:
        return follow.afollow(request_id, after)

    def cancel(self, request_id: str) -> None:
        ledger.cancel(broker(), request_id)

    def state(self, request_id: str) -> str | None:
        return ledger.state(broker(), request_id)

    def statuses(self) -> list[WorkerStatus]:
        if time.monotonic() - self._statuses_read_at > STATUS_CACHE_SECONDS:
            self._statuses = fleet.statuses(broker())
            self._statuses_read_at = time.monotonic()
        return self._statuses

    def _is_served(self, chat_model: str) -> bool:
        if any(status.serves(chat_model) for status in self.statuses()):
            return True
        self._statuses_read_at = float("-inf")  # it may have started since the copy was made
        return any(status.serves(chat_model) for status in self.statuses())
