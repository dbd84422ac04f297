"""Writes down how a response ended, whoever watched: read from the generation's stream, which is kept for an hour."""

import time
from typing import Any

from django.conf import settings

from chatsite.accounts.services import usage
from workers import client
from workers.api.responses.turn import Turn
from workers.models import StoredResponse
from workers.protocol import LAST_EVENTS, Delta, ErrorCode, Failed, Finished, FinishReason, Report
from workers.services import stored

# A response this much older than any generation may take has no worker any more, whatever became of its report.
GRACE = 60.0  # seconds


def take_report(report: Report) -> None:
    """What the control worker does when the generation has ended. Coming twice, it changes nothing."""
    usage.take_report(report)
    row = StoredResponse.objects.filter(request_id=report.request_id, status__in=StoredResponse.OPEN).first()
    if row is not None and not _read_stream(row):
        _from_report(row, report)


def settle(row: StoredResponse) -> None:
    """Bring an open row up to what is known by now, for whoever looks at it."""
    state = client.state(row.request_id)
    if state == "done":
        _read_stream(row)
    elif state is None and time.time() - row.created_at.timestamp() > settings.GENERATION_TIMEOUT + GRACE:
        turn = _turn(row)
        turn.take(
            Failed(ErrorCode.EXPIRED, "The response was lost: the server that was to make it has restarted.")
        )
        stored.close_response(request_id=row.request_id, body=turn.body)
    elif state == "running":
        row.status, row.body = row.Status.IN_PROGRESS, {**row.body, "status": "in_progress"}
        return
    row.refresh_from_db()


def _read_stream(row: StoredResponse) -> bool:
    """Whether the stream was still there, and the row is closed now."""
    turn = _turn(row)
    for entry in client.follow(row.request_id):
        if isinstance(entry.event, Failed) and entry.event.code is ErrorCode.EXPIRED:
            return False
        turn.take(entry.event)
        if isinstance(entry.event, LAST_EVENTS):
            break
    return stored.close_response(request_id=row.request_id, body=turn.body)


def _from_report(row: StoredResponse, report: Report) -> None:
    """The stream is gone: the report still has the text."""
    turn = _turn(row)
    if report.text:
        turn.take(Delta(report.text))
    if report.failed:
        turn.take(Failed(ErrorCode(report.outcome), report.error_message, report.usage))
    else:
        turn.take(Finished(FinishReason(report.outcome), report.usage))
    stored.close_response(request_id=row.request_id, body=turn.body)


def _turn(row: StoredResponse) -> Turn:
    turn = Turn(_fresh(row.body), row.request_id)
    turn.begin()
    return turn


def _fresh(body: dict[str, Any]) -> dict[str, Any]:
    return {**body, "output": [], "error": None, "incomplete_details": None}
