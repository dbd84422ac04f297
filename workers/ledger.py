"""The ledger of requests: who asked for what, who works on it, and whether it is still wanted.

One Redis hash per request plus a sorted set of those that have not ended. The Celery message carries a request's id
only, so no prompt stands in a queue, a log or a traceback; and a request that a dead worker took along can be given to
another.
"""

import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import redis

from workers.protocol import WorkerRequest, read_request

IN_FLIGHT = "chatsite:in-flight"
CANCELLATIONS = "chatsite:cancellations"
"""Pub/sub channel: the ids of requests to stop. A hint; the hash's `cancelled` field is the truth."""
KEEP_SECONDS = 24 * 3600
KEEP_DONE_SECONDS = 3600

QUEUED, RUNNING, DONE = "queued", "running", "done"


def key(request_id: str) -> str:
    return f"chatsite:request:{request_id}"


@dataclass(frozen=True, slots=True)
class Glance:
    """How a request stands, without what it says: that may be long, and is not needed to look after it."""

    id: str
    chat_model: str
    state: str
    attempt: int
    worker: str
    """Who took it, or "" while it is queued."""
    cancelled: bool
    since: float
    """Unix time of the last change of state, by the clock of who changed it."""
    deadline: float


@dataclass(frozen=True, slots=True)
class Record(Glance):
    """A request as the ledger has it."""

    request: WorkerRequest


# Each of the scripts that change a state takes a token of the call: redis-py sends a command again when the connection
# breaks before the answer comes, and the one who was told nothing must not be told "somebody else was quicker" then.

# KEYS: hash. ARGV: attempt, worker, now, token. A message delivered twice, or meant for an earlier attempt, claims
# nothing.
_CLAIM = """
local state, attempt, token = unpack(redis.call('HMGET', KEYS[1], 'state', 'attempt', 'token'))
if attempt ~= ARGV[1] then return false end
if state ~= 'queued' and not (state == 'running' and token == ARGV[4]) then return false end
redis.call('HSET', KEYS[1], 'state', 'running', 'worker', ARGV[2], 'since', ARGV[3], 'token', ARGV[4])
return redis.call('HGETALL', KEYS[1])
"""

# KEYS: hash. ARGV: attempt that is lost, now, token. Two rescuers cannot both win.
_REQUEUE = """
local state, attempt, token = unpack(redis.call('HMGET', KEYS[1], 'state', 'attempt', 'token'))
if not state or state == 'done' then return 0 end
if state == 'queued' and token == ARGV[3] then return attempt end
if attempt ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'state', 'queued', 'worker', '', 'attempt', attempt + 1, 'since', ARGV[2], 'token', ARGV[3])
return attempt + 1
"""

# KEYS: hash. ARGV: attempt, now, new payload or ''. Nothing changes for a request that was claimed or ended meanwhile.
_RENEW = """
local state, attempt = unpack(redis.call('HMGET', KEYS[1], 'state', 'attempt'))
if state ~= 'queued' or attempt ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'since', ARGV[2])
if ARGV[3] ~= '' then redis.call('HSET', KEYS[1], 'payload', ARGV[3]) end
return 1
"""

# KEYS: hash, in-flight set. ARGV: attempt, id, seconds to keep, token. Only the attempt that holds the request may end
# it.
_FINISH = """
local state, attempt, token = unpack(redis.call('HMGET', KEYS[1], 'state', 'attempt', 'token'))
if state == 'done' and token == ARGV[4] then return 1 end
if not state or state == 'done' or attempt ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'state', 'done', 'payload', '', 'token', ARGV[4])
redis.call('EXPIRE', KEYS[1], ARGV[3])
redis.call('ZREM', KEYS[2], ARGV[2])
return 1
"""

# KEYS: hash. ARGV: channel, id. One step, since a hash that expired between a look and a write would come back to stay.
_CANCEL = """
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
redis.call('HSET', KEYS[1], 'cancelled', 1)
redis.call('PUBLISH', ARGV[1], ARGV[2])
return 1
"""


def enter(pipeline: Any, request: WorkerRequest) -> None:
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
            "deadline": request.deadline,
        },
    )
    pipeline.expire(key(request.id), KEEP_SECONDS)
    pipeline.zadd(IN_FLIGHT, {request.id: now})


def claim(client: redis.Redis, request_id: str, attempt: int, worker: str) -> Record | None:
    """Take a queued request for `worker`; None when it was taken, ended or given to a later attempt."""
    answer: Any = client.eval(_CLAIM, 1, key(request_id), attempt, worker, time.time(), _token())
    return _record(request_id, dict(zip(answer[::2], answer[1::2], strict=True))) if answer else None


def requeue(client: redis.Redis, request_id: str, lost_attempt: int) -> int:
    """Open the next attempt of a request whose worker is lost; 0 when somebody else was quicker or it has ended."""
    answer: Any = client.eval(_REQUEUE, 1, key(request_id), lost_attempt, time.time(), _token())
    return int(answer)


def renew(client: redis.Redis, request_id: str, attempt: int, request: WorkerRequest | None = None) -> bool:
    """A queued request's message is sent (again) now; its worker is given `request`, or what was there already.

    False when `attempt` is not queued (any more).
    """
    payload = request.to_json() if request else ""
    answer: Any = client.eval(_RENEW, 1, key(request_id), attempt, time.time(), payload)
    return bool(answer)


def finish(client: redis.Redis, request_id: str, attempt: int) -> bool:
    """Close the request. False when another attempt holds it or it is closed."""
    keys = (key(request_id), IN_FLIGHT)
    answer: Any = client.eval(_FINISH, 2, *keys, attempt, request_id, KEEP_DONE_SECONDS, _token())
    return bool(answer)


def drop(client: redis.Redis, request_id: str) -> None:
    """Forget a request, as if it had never been entered."""
    pipeline = client.pipeline()
    pipeline.delete(key(request_id))
    pipeline.zrem(IN_FLIGHT, request_id)
    pipeline.execute()


def strike_off(client: redis.Redis, request_ids: Sequence[str]) -> None:
    """Take requests that have ended or expired off the list of those in flight. What is known of them stays."""
    if request_ids:
        client.zrem(IN_FLIGHT, *request_ids)


def look_up(client: redis.Redis, request_id: str) -> Record | None:
    """The request as it stands; None when it is unknown or has ended. Raises `ProtocolError` for an unreadable one."""
    fields: Any = client.hgetall(key(request_id))
    return _record(request_id, fields) if fields.get(b"payload") else None


def glance(client: redis.Redis, request_ids: Sequence[str]) -> dict[str, Glance]:
    """How those of `request_ids` stand that are known and have not ended, in the same order."""
    pipeline = client.pipeline(transaction=False)
    for request_id in request_ids:
        pipeline.hmget(key(request_id), _GLANCED)
    answers = zip(request_ids, pipeline.execute(), strict=True)
    found = ((request_id, dict(zip(_GLANCED, values, strict=True))) for request_id, values in answers)
    return {
        request_id: Glance(**_glanced(request_id, fields))
        for request_id, fields in found
        if fields[b"state"] not in {None, DONE.encode()}
    }


def state(client: redis.Redis, request_id: str) -> str | None:
    """`queued`, `running`, `done`, or None for a request that is not known (any more)."""
    value: Any = client.hget(key(request_id), "state")
    return value.decode() if value else None


def in_flight(client: redis.Redis) -> list[str]:
    """Ids of the requests that have not ended, oldest first."""
    return [member.decode() for member in client.zrange(IN_FLIGHT, 0, -1)]  # type: ignore[union-attr]


def cancel(client: redis.Redis, request_id: str) -> None:
    """Mark the request as unwanted and tell the workers. Unknown ids are ignored."""
    client.eval(_CANCEL, 1, key(request_id), CANCELLATIONS, request_id)


def cancelled(client: redis.Redis, request_ids: list[str]) -> set[str]:
    """Those of `request_ids` that have been cancelled."""
    pipeline = client.pipeline(transaction=False)
    for request_id in request_ids:
        pipeline.hget(key(request_id), "cancelled")
    return {request_id for request_id, mark in zip(request_ids, pipeline.execute(), strict=True) if mark}


def _token() -> str:
    return uuid.uuid4().hex


_GLANCED = [b"chat_model", b"state", b"attempt", b"worker", b"cancelled", b"since", b"deadline"]


def _record(request_id: str, fields: Mapping[bytes, bytes]) -> Record:
    return Record(request=read_request(fields[b"payload"]), **_glanced(request_id, fields))


def _glanced(request_id: str, fields: Mapping[bytes, bytes | None]) -> dict[str, Any]:
    texts = {name: (fields.get(name) or b"").decode() for name in _GLANCED}
    return {
        "id": request_id,
        "chat_model": texts[b"chat_model"],
        "state": texts[b"state"],
        "attempt": int(texts[b"attempt"]),
        "worker": texts[b"worker"],
        "cancelled": bool(texts[b"cancelled"]),
        "since": float(texts[b"since"]),
        "deadline": float(texts[b"deadline"]),
    }
