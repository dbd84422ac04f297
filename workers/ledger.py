"""The ledger of requests: who asked for what, who works on it, and whether it is still wanted.

One Redis hash per request plus a sorted set of those that have not ended. The Celery message carries a request's id
only, so no prompt stands in a queue, a log or a traceback; and a request that a dead worker took along can be given to
another.
"""

import time
from dataclasses import dataclass
from typing import Any

import redis

from workers.protocol import GenerationRequest

IN_FLIGHT = "chatsite:in-flight"
CANCELLATIONS = "chatsite:cancellations"
"""Pub/sub channel: the ids of requests to stop. A hint; the hash's `cancelled` field is the truth."""
KEEP_SECONDS = 24 * 3600
KEEP_DONE_SECONDS = 3600

QUEUED, RUNNING, DONE = "queued", "running", "done"


def key(request_id: str) -> str:
    return f"chatsite:request:{request_id}"


@dataclass(frozen=True, slots=True)
class Record:
    """A request as the ledger has it."""

    request: GenerationRequest
    state: str
    attempt: int
    worker: str
    """Who took it, or "" while it is queued."""
    cancelled: bool
    since: float
    """Unix time of the last change of state."""


# KEYS: hash. ARGV: attempt, worker, now. A message delivered twice, or meant for an earlier attempt, claims nothing.
_CLAIM = """
local state, attempt = unpack(redis.call('HMGET', KEYS[1], 'state', 'attempt'))
if state ~= 'queued' or attempt ~= ARGV[1] then return false end
redis.call('HSET', KEYS[1], 'state', 'running', 'worker', ARGV[2], 'since', ARGV[3])
return redis.call('HGETALL', KEYS[1])
"""

# KEYS: hash. ARGV: attempt that is lost, now. Two rescuers cannot both win.
_REQUEUE = """
local state, attempt = unpack(redis.call('HMGET', KEYS[1], 'state', 'attempt'))
if state == 'done' or not state or attempt ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'state', 'queued', 'worker', '', 'attempt', attempt + 1, 'since', ARGV[2])
return attempt + 1
"""

# KEYS: hash, in-flight set. ARGV: attempt, id, seconds to keep. Only the attempt that holds the request may end it.
_FINISH = """
local state, attempt = unpack(redis.call('HMGET', KEYS[1], 'state', 'attempt'))
if state == 'done' or not state or attempt ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'state', 'done', 'payload', '')
redis.call('EXPIRE', KEYS[1], ARGV[3])
redis.call('ZREM', KEYS[2], ARGV[2])
return 1
"""


def enter(pipeline: Any, request: GenerationRequest) -> None:
    """Add to `pipeline` the commands that enter a new request as queued."""
    now = time.time()
    pipeline.hset(
        key(request.id),
        mapping={
            "payload": request.to_json(),
            "state": QUEUED,
            "attempt": 1,
            "worker": "",
            "since": now,
            "chat_model": request.chat_model,
        },
    )
    pipeline.expire(key(request.id), KEEP_SECONDS)
    pipeline.zadd(IN_FLIGHT, {request.id: now})


def claim(client: redis.Redis, request_id: str, attempt: int, worker: str) -> Record | None:
    """Take a queued request for `worker`; None when it was taken, ended or given to a later attempt."""
    answer: Any = client.eval(_CLAIM, 1, key(request_id), attempt, worker, time.time())
    return _record(dict(zip(answer[::2], answer[1::2], strict=True))) if answer else None


def requeue(client: redis.Redis, request_id: str, lost_attempt: int) -> int:
    """Open the next attempt of a request whose worker is lost; 0 when somebody else was quicker or it has ended."""
    answer: Any = client.eval(_REQUEUE, 1, key(request_id), lost_attempt, time.time())
    return int(answer)


def replace_payload(client: redis.Redis, request: GenerationRequest) -> None:
    """Change what a queued request's next worker will be given."""
    client.hset(key(request.id), mapping={"payload": request.to_json(), "since": time.time()})


def touch(client: redis.Redis, request_id: str) -> None:
    """The request's message was sent (again) now."""
    client.hset(key(request_id), "since", str(time.time()))


def finish(client: redis.Redis, request_id: str, attempt: int) -> bool:
    """Close the request. False when another attempt holds it or it is closed."""
    answer: Any = client.eval(
        _FINISH,
        2,
        key(request_id),
        IN_FLIGHT,
        attempt,
        request_id,
        KEEP_DONE_SECONDS,
    )
    return bool(answer)


def drop(client: redis.Redis, request_id: str) -> None:
    """Forget a request, as if it had never been entered."""
    pipeline = client.pipeline()
    pipeline.delete(key(request_id))
    pipeline.zrem(IN_FLIGHT, request_id)
    pipeline.execute()


def look_up(client: redis.Redis, request_id: str) -> Record | None:
    fields: Any = client.hgetall(key(request_id))
    return _record(fields) if fields.get(b"payload") else None


def state(client: redis.Redis, request_id: str) -> str | None:
    """`queued`, `running`, `done`, or None for a request that is not known (any more)."""
    value: Any = client.hget(key(request_id), "state")
    return value.decode() if value else None


def in_flight(client: redis.Redis) -> list[str]:
    """Ids of the requests that have not ended, oldest first."""
    return [member.decode() for member in client.zrange(IN_FLIGHT, 0, -1)]  # type: ignore[union-attr]


def cancel(client: redis.Redis, request_id: str) -> None:
    """Mark the request as unwanted and tell the workers. Unknown ids are ignored."""
    if client.exists(key(request_id)):
        pipeline = client.pipeline()
        pipeline.hset(key(request_id), "cancelled", 1)
        pipeline.publish(CANCELLATIONS, request_id)
        pipeline.execute()


def cancelled(client: redis.Redis, request_ids: list[str]) -> set[str]:
    """Those of `request_ids` that have been cancelled."""
    pipeline = client.pipeline(transaction=False)
    for request_id in request_ids:
        pipeline.hget(key(request_id), "cancelled")
    return {request_id for request_id, mark in zip(request_ids, pipeline.execute(), strict=True) if mark}


def _record(fields: dict[bytes, bytes]) -> Record:
    return Record(
        request=GenerationRequest.from_json(fields[b"payload"]),
        state=fields[b"state"].decode(),
        attempt=int(fields[b"attempt"]),
        worker=fields.get(b"worker", b"").decode(),
        cancelled=bool(fields.get(b"cancelled")),
        since=float(fields.get(b"since", 0)),
    )
