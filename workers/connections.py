"""Connections to the broker's Redis (or Valkey), one pool per process."""

from functools import lru_cache

import redis
import redis.asyncio
from django.conf import settings
from redis.backoff import ExponentialBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.retry import Retry

# What a call sees while the server restarts. Callers that must not lose anything try again on these.
UNREACHABLE = (RedisConnectionError, RedisTimeoutError, ConnectionError)


@lru_cache(maxsize=4)
def _connect(url: str) -> redis.Redis:
    # Retries bridge a restart of the embedded server, which takes well under a second.
    retry = Retry(ExponentialBackoff(cap=0.5, base=0.05), retries=5)
    return redis.Redis.from_url(url, retry=retry, retry_on_error=list(UNREACHABLE), health_check_interval=0)


def broker() -> redis.Redis:
    """The process's thread-safe client of the broker that `settings.REDIS_URL` names."""
    return _connect(settings.REDIS_URL)


def new_async_broker() -> redis.asyncio.Redis:
    """A client bound to the running event loop. The caller closes it.

    `socket_timeout=None`, since a blocking XREAD is silent for as long as the stream is.
    """
    return redis.asyncio.Redis.from_url(settings.REDIS_URL, socket_timeout=None)
