"""What happens to a request whose worker is gone: another worker goes on with it, or it ends with a typed error.

Runs in the control worker every two seconds (`sweep`) and in a worker that is being stopped (`hand_over`). Every step
is guarded by the ledger's attempt number, so two rescuers, or a worker that comes back to life, do no harm.
"""

import logging
import time
from collections.abc import Callable
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
    ProtocolError,
    Report,
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
        return sum(self._look_at(request_id, statuses) for request_id in ledger.in_flight(self._client))

    def hand_over(self, request_id: str, *, by: str) -> bool:
        """Give a running request to another worker than `by`; False when there is none."""
        record = ledger.look_up(self._client, request_id)
        return record is not None and self._give_to_another(record, fleet.statuses(self._client), by)

    def _look_at(self, request_id: str, statuses: list[WorkerStatus]) -> bool:
        """One request. One that makes trouble must not keep the others from being looked after."""
        try:
            record = ledger.look_up(self._client, request_id)
            if record is None:
                ledger.drop(self._client, request_id)
                return False
            return self._look_after(record, statuses)
        except ProtocolError as error:
            logger.error("Request %s cannot be read (%s) and is dropped.", request_id, error)
            streams.append_last(self._client, request_id, MAX_ATTEMPTS + 1, UNREADABLE)
            ledger.drop(self._client, request_id)
            return True
        except UNREACHABLE:
            raise
        except Exception as error:
            logger.error("Request %s could not be looked after: %s", request_id, type(error).__name__)
            return False

    def _look_after(self, record: ledger.Record, statuses: list[WorkerStatus]) -> bool:
        now = time.time()
        request = record.request
        served = any(status.serves(request.chat_model) for status in statuses)
        if record.state == ledger.QUEUED and record.cancelled:
            return self._end(record, Finished(FinishReason.CANCELLED))
        if now > request.deadline + DEADLINE_GRACE_SECONDS:
            return self._end(record, Failed(ErrorCode.DEADLINE, "The answer took too long and was given up."))
        if record.state == ledger.RUNNING:
            if fleet.is_alive(self._client, record.worker, record.since):
                return False
            return self._give_to_another(record, statuses, record.worker) or self._end(record, LOST)
        waited = now - record.since
        if not served and waited > NO_WORKER_GRACE_SECONDS:
            message = f"No worker serves {request.chat_model} any more."
            return self._end(record, Failed(ErrorCode.NO_WORKER, message))
        if served and waited > LOST_MESSAGE_SECONDS and self._queue_length(request.chat_model) == 0:
            return self._publish_attempt(record, record.attempt)
        return False

    def _give_to_another(self, record: ledger.Record, statuses: list[WorkerStatus], lost: str) -> bool:
        others = [
            s for s in statuses if s.serves(record.request.chat_model) and not _is(s, lost, record.since)
        ]
        if not others or record.attempt >= MAX_ATTEMPTS or self._has_ended(record):
            return False
        attempt = ledger.requeue(self._client, record.request.id, record.attempt)
        return attempt > 0 and self._publish_attempt(record, attempt)

    def _publish_attempt(self, record: ledger.Record, attempt: int) -> bool:
        """Publish attempt number `attempt`, with what earlier ones have delivered as its beginning."""
        request_id = record.request.id
        request = None
        if attempt > 1:
            if not streams.take_over(self._client, request_id, attempt):
                # Somebody has ended the stream between our look and the fence.
                return self._end(replace(record, attempt=attempt), LOST)
            request = replace(record.request, prefix=streams.text_so_far(self._client, request_id))
        if not ledger.renew(self._client, request_id, attempt, request):
            return False
        self._publish(request_id, attempt, record.request.chat_model)
        logger.info("Request %s goes on as attempt %d.", request_id, attempt)
        return True

    def _has_ended(self, record: ledger.Record) -> bool:
        return isinstance(streams.last_event(self._client, record.request.id), LAST_EVENTS)

    def _end(self, record: ledger.Record, event: Finished | Failed) -> bool:
        """Close the request with `event`, or with the last event its worker had still written itself.

        The stream first: it decides between this and whoever else wants to end it or to go on with it, and when we die
        in between the next sweep finds an ended stream and does the rest.
        """
        request = record.request
        written = streams.append_last(self._client, request.id, record.attempt, event)
        if not isinstance(written, LAST_EVENTS) or not ledger.finish(
            self._client, request.id, record.attempt
        ):
            return False
        if request.report_task:
            text = streams.text_so_far(self._client, request.id)
            self._send_report(request.report_task, Report.of(request, text, written, record.worker))
        logger.info("Request %s was ended for its worker: %s.", request.id, written.type)
        return True


def _is(status: WorkerStatus, worker: str, since: float) -> bool:
    """Whether `status` is of the `worker` that claimed something at `since`, and not of one that bears its name now."""
    return status.worker == worker and status.started_at <= since
