"""The wire of `/v1/batches`."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from workers.api import metadata
from workers.api.errors import InvalidParameter
from workers.api.fields import Fields, text
from workers.api.files.protocol import LONGEST_LIFE, SHORTEST_LIFE
from workers.models import Batch
from workers.services.batches import ENDPOINTS

WINDOWS: Final = {f"{hours}h": timedelta(hours=hours) for hours in (1, 2, 4, 8, 12, 24, 48, 72, 168)}
HONOURED: Final = frozenset(
    {"input_file_id", "endpoint", "completion_window", "metadata", "output_expires_after"}
)


@dataclass(frozen=True, slots=True)
class BatchRequest:
    input_file_id: str
    endpoint: str
    window: str
    metadata: dict[str, str]
    output_lifetime: int | None


def parse(body: dict[str, Any]) -> BatchRequest:
    """Raises `InvalidParameter` for the first thing that is wrong."""
    fields = Fields(body)
    fields.refuse_unknown(HONOURED)
    endpoint = text(fields.required("endpoint"), "endpoint")
    if endpoint not in ENDPOINTS:
        raise InvalidParameter("endpoint", f"must be one of {', '.join(ENDPOINTS)}.")
    window = text(fields.required("completion_window"), "completion_window")
    if window not in WINDOWS:
        raise InvalidParameter("completion_window", f"must be one of {', '.join(WINDOWS)}.")
    return BatchRequest(
        input_file_id=text(fields.required("input_file_id"), "input_file_id"),
        endpoint=endpoint,
        window=window,
        metadata=metadata.read(fields.get("metadata")),
        output_lifetime=_lifetime(fields.get("output_expires_after")),
    )


def _lifetime(value: Any) -> int | None:
    if value is None:
        return None
    fields = Fields(value, "output_expires_after")
    fields.refuse_unknown({"anchor", "seconds"})
    if fields.get("anchor") != "created_at":
        raise InvalidParameter("output_expires_after.anchor", "must be 'created_at'.")
    fields.required("seconds")
    return fields.integer("seconds", minimum=SHORTEST_LIFE, maximum=LONGEST_LIFE)


def batch_object(batch: Batch) -> dict[str, Any]:
    ended = {status: batch.ended_at if batch.status == status else None for status in Batch.Status}
    errors = {"object": "list", "data": batch.errors} if batch.errors else None
    return {
        "id": batch.public_id,
        "object": "batch",
        "endpoint": batch.endpoint,
        "errors": errors,
        "input_file_id": batch.input_file_name,
        "completion_window": batch.completion_window,
        "status": batch.status,
        "output_file_id": batch.output_file.public_id if batch.output_file else None,
        "error_file_id": batch.error_file.public_id if batch.error_file else None,
        "created_at": _seconds(batch.created_at),
        "in_progress_at": _seconds(batch.started_at),
        "expires_at": _seconds(batch.expires_at),
        "finalizing_at": _seconds(batch.finalizing_at),
        "completed_at": _seconds(ended[Batch.Status.COMPLETED]),
        "failed_at": _seconds(ended[Batch.Status.FAILED]),
        "expired_at": _seconds(ended[Batch.Status.EXPIRED]),
        "cancelling_at": _seconds(batch.cancelling_at),
        "cancelled_at": _seconds(ended[Batch.Status.CANCELLED]),
        "request_counts": {"total": batch.total, "completed": batch.completed, "failed": batch.failed},
        "metadata": batch.metadata or None,
    }


def _seconds(moment: datetime | None) -> int | None:
    return None if moment is None else int(moment.timestamp())
