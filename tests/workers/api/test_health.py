"""`/healthz` and `/readyz`, asked by load balancers without a key."""

import asyncio
import json
import threading

import pytest
from django.test import AsyncRequestFactory, Client

from tests.fakes import heartbeat
from tests.workers.support import PATIENCE
from workers import client
from workers.api import health

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _no_check_takes_too_long(monkeypatch) -> None:
    monkeypatch.setattr(health, "CHECK_TIMEOUT", PATIENCE)


def ready():
    return Client().get("/readyz")


def test_a_process_that_answers_is_alive():
    response = Client().get("/healthz")

    assert response.status_code == 200
    assert response.json() == {"status": "ok"}


def test_it_is_ready_with_a_database_a_broker_and_a_worker(workers_client):
    response = ready()

    assert response.status_code == 200
    assert response.json() == {"status": "ok", "database": "ok", "broker": "ok", "worker": "ok"}


def test_it_is_not_ready_without_a_worker(monkeypatch):
    monkeypatch.setattr(client, "statuses", list)

    response = ready()

    assert response.status_code == 503
    assert response.json() == {"status": "unavailable", "database": "ok", "broker": "ok", "worker": "missing"}


def test_a_worker_that_drains_does_not_count(monkeypatch, valkey):
    monkeypatch.setattr(client, "statuses", lambda: [heartbeat("w", "parrot", draining=True)])

    assert ready().json()["worker"] == "missing"


def test_it_is_not_ready_without_a_broker(monkeypatch, caplog):
    def fail():
        raise ConnectionError("redis://:secret@host")

    monkeypatch.setattr(client, "statuses", fail)

    response = ready()

    assert response.status_code == 503
    assert response.json() == {
        "status": "unavailable",
        "database": "ok",
        "broker": "failed",
        "worker": "unknown",
    }
    assert "secret" not in response.text + caplog.text


def test_it_is_not_ready_without_a_database(monkeypatch, workers_client):
    def fail():
        raise RuntimeError("password=secret")

    monkeypatch.setattr(health, "_database", fail)

    response = ready()

    assert response.status_code == 503
    assert response.json()["database"] == "failed"
    assert "secret" not in response.text


async def test_a_part_that_hangs_is_a_part_that_failed(monkeypatch):
    monkeypatch.setattr(health, "CHECK_TIMEOUT", 0.05)
    monkeypatch.setattr(health, "_database", lambda: True)
    released = threading.Event()
    monkeypatch.setattr(client, "statuses", lambda: [released.wait(PATIENCE)])

    response = await health.readyz(AsyncRequestFactory().get("/readyz"))

    assert json.loads(response.content)["broker"] == "failed"
    released.set()
    await asyncio.sleep(0.05)  # the late answer is nobody's any more, and must not be a warning either


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_it_may_only_be_read(path, workers_client):
    assert Client().head(path).status_code == 200
    assert Client().post(path).status_code == 405
