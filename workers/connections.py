"""Connections to the broker's Redis (or Valkey), one pool per process."""

from functools import lru_cache
from typing import Any

import redis
import redis.asyncio
from django.conf import settings
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import ExponentialBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.retry import Retry

# What a call sees while the server restarts. Callers that must not lose anything try again on these.
UNREACHABLE = (RedisConnectionError, RedisTimeoutError, ConnectionError)


# The longest blocking read that callers ask for. redis-py gives up a silent connection after 5 seconds by itself, so a
# read that blocks for as long would end with an error; without a limit, a server whose machine lost its power would be
# waited for until the kernel gives up, which takes hours.
LONGEST_BLOCK_SECONDS = 5.0
SOCKET_TIMEOUT_SECONDS = LONGEST_BLOCK_SECONDS + 5.0
# Above what a process's threads can use at once; redis-py's 100 would refuse a worker of 128 slots.
MAX_CONNECTIONS = 2048


def _options(retry: Any) -> dict[str, Any]:
    return {
        # Retries bridge a restart of the embedded server, which takes well under a second.
        # A server that is there and says nothing has been waited for long enough the first time: a page that asked
        # it six times would hang for a minute.
        "retry": retry(
            ExponentialBackoff(cap=0.5, base=0.05),
            retries=5,
            supported_errors=(RedisConnectionError, ConnectionError),
        ),
        "health_check_interval": 0,
        "max_connections": MAX_CONNECTIONS,
    }


@lru_cache(maxsize=4)
def _connect(url: str) -> redis.Redis:
    return redis.Redis.from_url(url, socket_timeout=SOCKET_TIMEOUT_SECONDS, **_options(Retry))


def broker() -> redis.Redis:
    """The process's thread-safe client of the broker that `settings.REDIS_URL` names."""
    return _connect(settings.REDIS_URL)


def new_async_broker() -> redis.asyncio.Redis:
    """A client bound to the running event loop. The caller closes it, and sets time limits with `asyncio.timeout`.

    With a `socket_timeout` redis-py sends by `asyncio.wait_for`, which before Python 3.12 swallows a cancellation that
    comes in the moment of success: a websocket that went away would be served on.
    """
    return redis.asyncio.Redis.from_url(settings.REDIS_URL, socket_timeout=None, **_options(AsyncRetry))
