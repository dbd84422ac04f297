"""Heartbeats: how a worker says that it lives, and how everybody else knows.

A heartbeat is a key that expires. A worker that stops beating, for whatever reason, is dead to the others after
`EXPIRY_SECONDS`; nothing has to be told to anybody.
"""

import contextlib
import time
from typing import Any

import redis

from workers.protocol import ProtocolError, WorkerStatus

INTERVAL_SECONDS = 1.0
EXPIRY_SECONDS = 5.0
NAMES = "chatsite:workers"
"""Sorted set: worker name → time of its last heartbeat."""


def _key(worker: str) -> str:
    return f"chatsite:worker:{worker}"


def beat(client: redis.Redis, status: WorkerStatus, *, lasts: float | None = None) -> None:
    """Say that the worker lives. Without another sign it is dead after `lasts` (by default `EXPIRY_SECONDS`)."""
    pipeline = client.pipeline()
    pipeline.set(
        _key(status.worker), status.to_json(), px=int((EXPIRY_SECONDS if lasts is None else lasts) * 1000)
    )
    pipeline.zadd(NAMES, {status.worker: status.sent_at})
    pipeline.zremrangebyscore(NAMES, 0, time.time() - 3600)
    pipeline.execute()


def sign_off(client: redis.Redis, worker: str) -> None:
    """The worker has stopped on purpose: dead at once."""
    pipeline = client.pipeline()
    pipeline.delete(_key(worker))
    pipeline.zrem(NAMES, worker)
    pipeline.execute()


def statuses(client: redis.Redis) -> list[WorkerStatus]:
    """The last heartbeat of every live worker, the longest-running first."""
    names: Any = client.zrange(NAMES, 0, -1)
    if not names:
        return []
    beats: Any = client.mget([_key(name.decode()) for name in names])
    found = []
    for text in beats:
        # A worker of another version cannot be used, and must not hide the others.
        with contextlib.suppress(ProtocolError):
            if text is not None:
                found.append(WorkerStatus.from_json(text))
    return sorted(found, key=lambda status: status.started_at)


def is_alive(client: redis.Redis, worker: str, since: float) -> bool:
    """Whether the worker that was called `worker` at the time `since` (by its own clock) still lives.

    A worker in a container is restarted under the same name; the new one knows nothing of the old one's requests.
    """
    text: Any = client.get(_key(worker))
    if text is None:
        return False
    try:
        return WorkerStatus.from_json(text).started_at <= since
    except ProtocolError:  # of another version, but beating
        return True
