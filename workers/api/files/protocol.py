"""How a file looks to a client, and what an upload may say."""

from datetime import datetime, timedelta
from typing import Any, Final

from django.utils import timezone

from workers.api.errors import InvalidParameter
from workers.api.fields import Whole
from workers.models import ApiFile

PURPOSES: Final = ("batch", "fine-tune", "vision", "user_data", "evals", "assistants")
SHORTEST_LIFE: Final = 3600  # seconds
LONGEST_LIFE: Final = 2_592_000  # seconds
LIFE: Final[Whole] = {"minimum": SHORTEST_LIFE, "maximum": LONGEST_LIFE}
LISTED_PURPOSES: Final = tuple(ApiFile.Purpose.values)
"""Also those that only the server gives: the results of batches."""
MOST_LISTED: Final = 10_000


def file_object(file: ApiFile) -> dict[str, Any]:
    return {
        "id": file.public_id,
        "object": "file",
        "bytes": file.size,
        "created_at": int(file.created_at.timestamp()),
        "expires_at": int(file.expires_at.timestamp()) if file.expires_at else None,
        "filename": file.filename,
        "purpose": file.purpose,
        "status": "processed",
        "status_details": None,
    }


def deleted(public_id: str) -> dict[str, Any]:
    return {"id": public_id, "object": "file", "deleted": True}


def read_purpose(fields: dict[str, str]) -> str:
    purpose = fields.get("purpose")
    if not purpose:
        raise InvalidParameter("purpose", "is required.", code="missing_required_parameter")
    if purpose not in PURPOSES:
        raise InvalidParameter("purpose", f"must be one of {', '.join(PURPOSES)}.")
    return purpose


def read_expiry(fields: dict[str, str]) -> datetime | None:
    """From `expires_after[anchor]` and `expires_after[seconds]`, as OpenAI's clients write an object into a form."""
    unknown = set(fields) - {"purpose", "expires_after[anchor]", "expires_after[seconds]"}
    if unknown:
        raise InvalidParameter(min(unknown)[:100], "is not a parameter here.", code="unknown_parameter")
    anchor, seconds = fields.get("expires_after[anchor]"), fields.get("expires_after[seconds]", "")
    if anchor is None and not seconds:
        return None
    number = int(seconds) if seconds.isascii() and seconds.isdigit() and len(seconds) < 10 else None
    return expiry({"anchor": anchor, "seconds": number})


def expiry(value: Any, param: str = "expires_after") -> datetime:
    """The end of an `expires_after` object. Raises `InvalidParameter`."""
    if not isinstance(value, dict) or value.get("anchor") != "created_at":
        raise InvalidParameter(f"{param}.anchor", "must be 'created_at'.")
    seconds = value.get("seconds")
    if (
        isinstance(seconds, bool)
        or not isinstance(seconds, int)
        or not SHORTEST_LIFE <= seconds <= LONGEST_LIFE
    ):
        raise InvalidParameter(f"{param}.seconds", f"must be from {SHORTEST_LIFE} to {LONGEST_LIFE}.")
    return timezone.now() + timedelta(seconds=seconds)
