"""Orders on their way to workers: a list for each worker, and a record of each order that tells how far it has come.

A record is written by one at a time: by whoever gives the order, then by the worker that has taken it.
"""

import contextlib
import time
import uuid
from dataclasses import replace
from typing import Any

import redis

from workers.protocol import Order, OrderState, ProtocolError, Weights

KEEP_SECONDS = 24 * 3600
# A worker that is gone for so long is not told any more what was wanted of it.
WAIT_SECONDS = 3600
RECENT = "chatsite:orders"
"""Sorted set: id of an order → when it was given."""


def _key(order_id: str) -> str:
    return f"chatsite:order:{order_id}"


def _list_key(worker: str) -> str:
    return f"chatsite:orders:{worker}"


def give(client: redis.Redis, *, worker: str, chat_model: str, weights: Weights | None) -> Order:
    """Have `worker` load `weights` as `chat_model`, or unload it (None)."""
    now = time.time()
    order = Order(uuid.uuid4().hex, worker, chat_model, now, weights)
    pipeline = client.pipeline()
    pipeline.set(_key(order.id), order.to_json(), ex=KEEP_SECONDS)
    pipeline.zadd(RECENT, {order.id: now})
    pipeline.zremrangebyscore(RECENT, 0, now - KEEP_SECONDS)
    pipeline.rpush(_list_key(worker), order.id)
    pipeline.expire(_list_key(worker), WAIT_SECONDS)
    pipeline.execute()
    return order


def take(client: redis.Redis, worker: str, *, seconds: float) -> Order | None:
    """The next order for `worker`; waits up to `seconds` for one. One that cannot be read is dropped."""
    answer: Any = client.blpop([_list_key(worker)], timeout=seconds)
    return look_up(client, answer[1].decode()) if answer else None


def tell(client: redis.Redis, order: Order, state: OrderState, message: str = "") -> Order:
    """Write down how far the order has come; it as it is now."""
    order = replace(order, state=state, message=message, changed_at=time.time())
    client.set(_key(order.id), order.to_json(), ex=KEEP_SECONDS)
    return order


def look_up(client: redis.Redis, order_id: str) -> Order | None:
    """None for an order that is not known (any more)."""
    text: Any = client.get(_key(order_id))
    return _readable(text)


def recent(client: redis.Redis, *, count: int = 20) -> list[Order]:
    """The orders of the last day, newest first."""
    ids: Any = client.zrevrange(RECENT, 0, count - 1)
    texts: Any = client.mget([_key(name.decode()) for name in ids]) if ids else []
    return [order for text in texts if (order := _readable(text)) is not None]


def _readable(text: Any) -> Order | None:
    with contextlib.suppress(ProtocolError):  # of another version
        return Order.from_json(text) if text else None
    return None
