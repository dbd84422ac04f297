"""What happens to a request whose worker is gone: another worker goes on with it, or it ends with a typed error.

Runs in the control worker every two seconds (`sweep`) and in a worker that is being stopped (`hand_over`). Every step
is guarded by the ledger's attempt number, so two rescuers, or a worker that comes back to life, do no harm.
"""

import logging
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import replace

import redis

from workers import fleet, ledger, streams
from workers.connections import UNREACHABLE
from workers.protocol import (
    LAST_EVENTS,
    ErrorCode,
    Failed,
    Finished,
    FinishReason,
    GenerationRequest,
    ProtocolError,
    Report,
    WorkerRequest,
    WorkerStatus,
)

logger = logging.getLogger(__name__)

MAX_ATTEMPTS = 3
# A queued request waits this long for a worker of its chat model to come (back): time for a restart and a load.
NO_WORKER_GRACE_SECONDS = 45.0
# A request that is queued for so long while its queue is empty has lost its message (a worker died with it).
LOST_MESSAGE_SECONDS = 10.0
DEADLINE_GRACE_SECONDS = 5.0
LOST = Failed(ErrorCode.WORKER_LOST, "The worker that wrote this answer has stopped. Please try again.")
UNREADABLE = Failed(ErrorCode.INVALID_REQUEST, "The server could not read the request. Please send it again.")

Publish = Callable[[str, int, str], None]
"""(request id, attempt, chat model) → into the chat model's queue."""
SendReport = Callable[[str, Report], None]
"""(task name, report) → to the control queue."""


class Rescuer:
    def __init__(
        self,
        client: redis.Redis,
        *,
        publish: Publish,
        send_report: SendReport,
        queue_length: Callable[[str], int],
    ):
        self._client = client
        self._publish = publish
        self._send_report = send_report
        self._queue_length = queue_length

    def sweep(self) -> int:
        """Look after every request that has not ended; the number of those that were rescued or ended."""
        statuses = fleet.statuses(self._client)
        ids = ledger.in_flight(self._client)
        standing = ledger.glance(self._client, ids)
        ledger.strike_off(self._client, [request_id for request_id in ids if request_id not in standing])
        handled = sum(self._safely(self._look_after, one, statuses) for one in standing.values())
        lost = self._without_message(standing.values(), statuses)
        return handled + sum(self._safely(self._publish_attempt, one, one.attempt) for one in lost)

    def hand_over(self, request_id: str, *, by: str) -> bool:
        """Give a running request to another worker than `by`; False when there is none."""
        one = ledger.glance(self._client, [request_id]).get(request_id)
        return (
            one is not None
            and self._can_go_on(one, fleet.statuses(self._client), by)
            and self._give_to_another(one)
        )

    def _safely(self, act: Callable[..., bool], one: ledger.Glance, *arguments: object) -> bool:
        """Do something with one request. One that makes trouble must not keep the others from being looked after."""
        try:
            return act(one, *arguments)
        except ProtocolError as error:
            discard(self._client, one.id, error)
            return True
        except UNREACHABLE:
            raise
        except Exception as error:
            logger.error("Request %s could not be looked after: %s", one.id, type(error).__name__)
            return False

    def _look_after(self, one: ledger.Glance, statuses: list[WorkerStatus]) -> bool:
        now = time.time()
        if one.state == ledger.QUEUED and one.cancelled:
            return self._end(one, Finished(FinishReason.CANCELLED))
        if now > one.deadline + DEADLINE_GRACE_SECONDS:
            return self._end(one, Failed(ErrorCode.DEADLINE, "The answer took too long and was given up."))
        if one.state == ledger.RUNNING:
            if fleet.is_alive(self._client, one.worker, one.since):
                return False
            if self._can_go_on(one, statuses, one.worker):
                # Not ended where this fails: somebody else was quicker, and is about to go on with it.
                return self._give_to_another(one)
            return self._end(one, LOST)
        if now - one.since > NO_WORKER_GRACE_SECONDS and not _served(one, statuses):
            message = f"No worker serves {one.chat_model} any more."
            return self._end(one, Failed(ErrorCode.NO_WORKER, message))
        return False

    def _without_message(
        self, standing: Iterable[ledger.Glance], statuses: list[WorkerStatus]
    ) -> list[ledger.Glance]:
        """Queued requests whose messages must be lost, since the queue has fewer messages than requests wait.

        Which ones is a guess, the oldest; a message too many claims nothing.
        """
        waiting: dict[str, list[ledger.Glance]] = defaultdict(list)
        for one in standing:
            if one.state == ledger.QUEUED and _served(one, statuses):
                waiting[one.chat_model].append(one)
        lost = []
        for chat_model, requests in waiting.items():
            old = [one for one in requests if time.time() - one.since > LOST_MESSAGE_SECONDS]
            if old:
                missing = max(0, len(requests) - self._queue_length(chat_model))
                lost += sorted(old, key=lambda one: one.since)[:missing]
        return lost

    def _can_go_on(self, one: ledger.Glance, statuses: list[WorkerStatus], lost: str) -> bool:
        others = [status for status in statuses if not _is(status, lost, one.since)]
        return one.attempt < MAX_ATTEMPTS and _served(one, others) and not self._has_ended(one)

    def _give_to_another(self, one: ledger.Glance) -> bool:
        """Open the next attempt; False when somebody else did."""
        attempt = ledger.requeue(self._client, one.id, one.attempt)
        return attempt > 0 and self._publish_attempt(one, attempt)

    def _publish_attempt(self, one: ledger.Glance, attempt: int) -> bool:
        """Publish attempt number `attempt`, with what earlier ones have delivered as its beginning."""
        request = None
        if attempt > 1:
            record = ledger.look_up(self._client, one.id)
            if record is None or not streams.take_over(self._client, one.id, attempt):
                # Somebody has ended the stream between our look and the fence.
                return self._end(replace(one, attempt=attempt), LOST)
            request = self._behind_what_is_said(record.request)
            if request is None:
                return self._end(replace(one, attempt=attempt), LOST)
        if not ledger.renew(self._client, one.id, attempt, request):
            return False
        self._publish(one.id, attempt, one.chat_model)
        logger.info("Request %s goes on as attempt %d.", one.id, attempt)
        return True

    def _behind_what_is_said(self, request: WorkerRequest) -> WorkerRequest | None:
        """The request for another worker; None when what has been delivered cannot be gone on with."""
        if not isinstance(request, GenerationRequest):
            return request  # its answers say what they are of, and may come twice
        if request.resumable:
            return replace(request, prefix=streams.text_so_far(self._client, request.id))
        return None if streams.anything_said(self._client, request.id) else request

    def _has_ended(self, one: ledger.Glance) -> bool:
        return isinstance(streams.last_event(self._client, one.id), LAST_EVENTS)

    def _end(self, one: ledger.Glance, event: Finished | Failed) -> bool:
        """Close the request with `event`, or with the last event its worker had still written itself.

        The stream first: it decides between this and whoever else wants to end it or to go on with it, and when we die
        in between the next sweep finds an ended stream and does the rest.
        """
        record = ledger.look_up(self._client, one.id)
        if record is None:
            return False
        written = streams.append_last(self._client, one.id, one.attempt, event)
        if not isinstance(written, LAST_EVENTS) or not ledger.finish(self._client, one.id, one.attempt):
            return False
        request = record.request
        if request.report_task:
            text = streams.text_so_far(self._client, one.id)
            self._send_report(request.report_task, Report.of(request, text, written, one.worker))
        logger.info("Request %s was ended for its worker: %s.", one.id, written.type)
        return True


def discard(client: redis.Redis, request_id: str, error: ProtocolError) -> None:
    """End a request that cannot be read: a newer version wrote it. Nobody can be told but those who follow."""
    logger.error("Request %s cannot be read (%s) and is dropped.", request_id, error)
    streams.append_last(client, request_id, MAX_ATTEMPTS + 1, UNREADABLE)
    ledger.drop(client, request_id)


def _served(one: ledger.Glance, statuses: list[WorkerStatus]) -> bool:
    return any(status.serves(one.chat_model) for status in statuses)


def _is(status: WorkerStatus, worker: str, since: float) -> bool:
    """Whether `status` is of the `worker` that claimed something at `since`, and not of one that bears its name now."""
    return status.worker == worker and status.started_at <= since
