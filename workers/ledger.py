"""The ledger of requests: who asked for what, who works on it, and whether it is still wanted.

One Redis hash per request plus a sorted set of those that have not ended. The Celery message carries a request's id
only, so no prompt stands in a queue, a log or a traceback; and a request that a dead worker took along can be given to
another.

Who comes next: a message is a permit to work on *one* request of its chat model. Those that wait for their first worker
stand in a sorted set per chat model, in the order of start-time fair queueing (Goyal, Vin and Cheng, SIGCOMM 1996) with
all requests of equal length: askers take turns, however many requests each has in there.
"""

import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import redis

from workers.protocol import ProtocolError, WorkerRequest, read_request

IN_FLIGHT = "chatsite:in-flight"
CANCELLATIONS = "chatsite:cancellations"
"""Pub/sub channel: the ids of requests to stop. A hint; the hash's `cancelled` field is the truth."""
_PLACES = "chatsite:places:"
_PACE = "chatsite:pace"
"""Hash: chat model → seconds that a request is worked on, as a running mean over about the last ten."""
KEEP_SECONDS = 24 * 3600
KEEP_DONE_SECONDS = 3600

QUEUED, RUNNING, DONE = "queued", "running", "done"


def key(request_id: str) -> str:
    return f"chatsite:request:{request_id}"


def waiting_key(chat_model: str) -> str:
    """The sorted set of the requests that wait for their first worker."""
    return f"chatsite:waiting:{chat_model}"


class UnreadableError(ProtocolError):
    """A request that was claimed and cannot be read."""

    def __init__(self, request_id: str, message: str) -> None:
        super().__init__(message)
        self.request_id = request_id


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

# KEYS: hash, in-flight set, set of the waiting, hash of the askers' last places, list of messages. ARGV: most messages
# or 0, id, asker, now, seconds to keep, and the hash's fields and values. Answers with the number of messages.
#
# The field `now` of the places is the virtual time: the place of the request that was taken last. An asker's next
# request stands behind its last one, and not before that time: who has been away has saved nothing up. One script and
# no pipeline: every request passes here, and redis-py takes half a millisecond of the processor for the difference.
_ENTER = """
local messages = redis.call('LLEN', KEYS[5])
if tonumber(ARGV[1]) > 0 and messages >= tonumber(ARGV[1]) then return messages end
redis.call('HSET', KEYS[1], unpack(ARGV, 6))
redis.call('EXPIRE', KEYS[1], ARGV[5])
redis.call('ZADD', KEYS[2], ARGV[4], ARGV[2])
if redis.call('ZCARD', KEYS[3]) == 0 then redis.call('DEL', KEYS[4]) end
local now, last = unpack(redis.call('HMGET', KEYS[4], 'now', 'asker:' .. ARGV[3]))
local place = math.max(tonumber(now or 0), tonumber(last or 0))
redis.call('HSET', KEYS[4], 'asker:' .. ARGV[3], place + 1)
redis.call('ZADD', KEYS[3], place, ARGV[2])
redis.call('EXPIRE', KEYS[3], ARGV[5])
redis.call('EXPIRE', KEYS[4], ARGV[5])
return messages
"""

# KEYS: hash of the message's request. ARGV: attempt, worker, now, token, id, prefix of hashes, of waiting sets, of
# places. Answers with the id of what was claimed and its fields.
#
# A first attempt takes whose turn it is. Entries that were ended or dropped are cleared away. A message delivered
# twice, or meant for an earlier attempt, claims nothing of its own.
_CLAIM = """
local state, attempt, token, model, permit, taken =
    unpack(redis.call('HMGET', KEYS[1], 'state', 'attempt', 'token', 'chat_model', 'permit', 'taken'))
if not state then return false end
local id, hash = ARGV[5], KEYS[1]
if permit == ARGV[4] then return {taken, redis.call('HGETALL', ARGV[6] .. taken)} end
local turn = false
if ARGV[1] == '1' then
  while not turn do
    local first = redis.call('ZPOPMIN', ARGV[7] .. model)
    if not first[1] then break end
    redis.call('HSET', ARGV[8] .. model, 'now', first[2])
    local its_state, its_attempt = unpack(redis.call('HMGET', ARGV[6] .. first[1], 'state', 'attempt'))
    if its_state == 'queued' and its_attempt == '1' then turn, id, hash = true, first[1], ARGV[6] .. first[1] end
  end
end
if not turn then
  if attempt ~= ARGV[1] then return false end
  if state ~= 'queued' and not (state == 'running' and token == ARGV[4]) then return false end
end
redis.call('HSET', KEYS[1], 'permit', ARGV[4], 'taken', id)
redis.call('HSET', hash, 'state', 'running', 'worker', ARGV[2], 'since', ARGV[3], 'token', ARGV[4])
return {id, redis.call('HGETALL', hash)}
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

# KEYS: hash, in-flight set, pace. ARGV: attempt, id, seconds to keep, token, prefix of waiting sets, now, seconds to
# keep the pace. Only the attempt that holds the request may end it.
_FINISH = """
local state, attempt, token, model, since =
    unpack(redis.call('HMGET', KEYS[1], 'state', 'attempt', 'token', 'chat_model', 'since'))
if state == 'done' and token == ARGV[4] then return 1 end
if not state or state == 'done' or attempt ~= ARGV[1] then return 0 end
if state == 'running' and model then
  local took = math.max(0, tonumber(ARGV[6]) - tonumber(since or ARGV[6]))
  local mean = tonumber(redis.call('HGET', KEYS[3], model) or took)
  redis.call('HSET', KEYS[3], model, 0.9 * mean + 0.1 * took)
  redis.call('EXPIRE', KEYS[3], ARGV[7])
end
redis.call('HSET', KEYS[1], 'state', 'done', 'payload', '', 'token', ARGV[4])
redis.call('EXPIRE', KEYS[1], ARGV[3])
redis.call('ZREM', KEYS[2], ARGV[2])
if model then redis.call('ZREM', ARGV[5] .. model, ARGV[2]) end
return 1
"""

# KEYS: hash, in-flight set. ARGV: id, prefixes of waiting sets and of places.
_DROP = """
local model = redis.call('HGET', KEYS[1], 'chat_model')
redis.call('DEL', KEYS[1])
redis.call('ZREM', KEYS[2], ARGV[1])
if not model then return end
redis.call('ZREM', ARGV[2] .. model, ARGV[1])
if redis.call('ZCARD', ARGV[2] .. model) == 0 then redis.call('DEL', ARGV[3] .. model) end
"""

# KEYS: hash. ARGV: channel, id. One step, since a hash that expired between a look and a write would come back to stay.
_CANCEL = """
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
redis.call('HSET', KEYS[1], 'cancelled', 1)
redis.call('PUBLISH', ARGV[1], ARGV[2])
return 1
"""


def enter(client: redis.Redis, request: WorkerRequest, *, queue: str = "", limit: int = 0) -> int:
    """Enter a new request as queued, unless `limit` messages or more are in the list `queue`. Returns how many are."""
    keys = (
        key(request.id),
        IN_FLIGHT,
        waiting_key(request.chat_model),
        _PLACES + request.chat_model,
        queue,
    )
    now = time.time()
    fields: dict[str, str | float] = {
        "payload": request.to_json(),
        "state": QUEUED,
        "attempt": 1,
        "worker": "",
        "since": now,
        "chat_model": request.chat_model,
        "deadline": request.deadline,
    }
    flat = [part for pair in fields.items() for part in pair]
    answer: Any = client.eval(
        _ENTER, len(keys), *keys, limit, request.id, request.asker, now, KEEP_SECONDS, *flat
    )
    return int(answer)


def claim(client: redis.Redis, request_id: str, attempt: int, worker: str) -> Record | None:
    """Take a queued request for `worker`: with a first attempt's message, the one whose turn it is.

    None when there is nothing to do: it was taken, ended or given to a later attempt, and nobody else waits. Raises
    `UnreadableError` for a request of another version.
    """
    prefixes = (key(""), waiting_key(""), _PLACES)
    answer: Any = client.eval(
        _CLAIM, 1, key(request_id), attempt, worker, time.time(), _token(), request_id, *prefixes
    )
    if not answer:
        return None
    taken, fields = answer[0].decode(), answer[1]
    try:
        return _record(taken, dict(zip(fields[::2], fields[1::2], strict=True)))
    except ProtocolError as error:
        raise UnreadableError(taken, str(error)) from None


def position(client: redis.Redis, chat_model: str, request_id: str) -> int | None:
    """How many come before this one is worked on, itself included; None when it waits no more."""
    rank: Any = client.zrank(waiting_key(chat_model), request_id)
    return None if rank is None else int(rank) + 1


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
    keys = (key(request_id), IN_FLIGHT, _PACE)
    values = (attempt, request_id, KEEP_DONE_SECONDS, _token(), waiting_key(""), time.time(), KEEP_SECONDS)
    answer: Any = client.eval(_FINISH, 3, *keys, *values)
    return bool(answer)


def mean_seconds(client: redis.Redis, chat_model: str) -> float | None:
    """How long a request of the chat model is worked on, as measured lately; None before any has ended."""
    value: Any = client.hget(_PACE, chat_model)
    return float(value) if value else None


def drop(client: redis.Redis, request_id: str) -> None:
    """Forget a request, as if it had never been entered."""
    client.eval(_DROP, 2, key(request_id), IN_FLIGHT, request_id, waiting_key(""), _PLACES)


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


def chat_model_of(client: redis.Redis, request_id: str) -> str:
    """The name of the request's chat model; "" for a request that is not known (any more)."""
    value: Any = client.hget(key(request_id), "chat_model")
    return value.decode() if value else ""


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
