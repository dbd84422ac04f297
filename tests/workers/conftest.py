"""Fixtures of the workers' core; what they are made of is in `support`."""

from collections.abc import Callable, Iterator

import pytest
import redis

from tests.workers.support import Queue, Server, Worker
from workers.connections import broker
from workers.engines.base import Engine
from workers.rescue import Rescuer


@pytest.fixture
def server(settings) -> Iterator[Server]:
    """A running Valkey of the test's own that `settings.REDIS_URL` names."""
    own = Server()
    own.start()
    settings.REDIS_URL = own.url
    yield own
    broker().connection_pool.disconnect()
    own.remove()


@pytest.fixture
def workers(valkey: redis.Redis) -> Iterator[Callable[..., Worker]]:
    """Makes workers, and closes them after the test."""
    made: list[Worker] = []

    def make(name: str, *engines: Engine, rescuer: Rescuer | None = None) -> Worker:
        made.append(Worker(valkey, name, *engines, rescuer=rescuer))
        return made[-1]

    yield make
    for worker in made:
        worker.close()


@pytest.fixture
def queue(valkey: redis.Redis) -> Queue:
    return Queue(valkey)
