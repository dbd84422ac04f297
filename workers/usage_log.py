"""Reports of the tokens that requests of the API used, on their way to the database: a Redis stream.

The control worker takes many at once. A Celery task for each, which the replies of the chat page have, costs five
milliseconds of processor time beside the model's own threads; see docs/design/accounts.md.

What was taken stays until it is forgotten. A reader that dies in between is followed by one that takes the same again,
so whoever takes must not mind a report that comes twice.
"""

import json
import logging
from dataclasses import replace
from typing import Any

import redis

from workers.protocol import ProtocolError, Report

logger = logging.getLogger(__name__)

USAGE_TASK = "accounts.record_usage"
"""A request with this as its `report_task` is reported here."""
KEY = "chatsite:usage"


def append(client: redis.Redis, report: Report) -> None:
    """Add a report. What was said stays out of it: tokens are counted, no text is read."""
    bare = replace(report, text="", reasoning="", tool_calls=())
    client.xadd(KEY, {"report": json.dumps(bare.to_dict())})


def wait(client: redis.Redis, seconds: float) -> bool:
    """Whether there are reports. Blocks for `seconds` at most until one comes."""
    return bool(client.xread({KEY: "0"}, count=1, block=max(1, int(seconds * 1000))))


def take(client: redis.Redis, most: int) -> list[tuple[bytes, Report | None]]:
    """The oldest reports with the ids to `forget` them by. One that cannot be read is None, and is logged."""
    entries: Any = client.xrange(KEY, count=most)
    return [(entry_id, _read(fields)) for entry_id, fields in entries]


def forget(client: redis.Redis, ids: list[bytes]) -> None:
    if ids:
        client.xdel(KEY, *ids)


def _read(fields: dict[bytes, bytes]) -> Report | None:
    try:
        return Report.from_dict(json.loads(fields[b"report"]))
    except (ProtocolError, ValueError, KeyError, TypeError) as error:
        logger.error("A usage report cannot be read (%s) and is dropped", error)
        return None
