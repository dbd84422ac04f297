"""Training beside the control worker's other work: in a thread, which needs no process until there is a job."""

import threading
import time
from types import SimpleNamespace

import pytest

from training import tasks
from training.services import running, starting, working
from workers.reports import CONTROL_QUEUE, TRAIN_QUEUE


@pytest.fixture
def worked(monkeypatch, valkey):
    """What the thread does: a list of "again" and "off"."""
    done: list[str] = []
    monkeypatch.setattr(running, "take_up_again", lambda: done.append("again"))
    monkeypatch.setattr(running, "work_off_all", lambda: done.append("off"))
    monkeypatch.setattr(working, "RENEWAL_SECONDS", 30)
    monkeypatch.setattr(working, "_beside", None)
    # A connection of the test's own must not be closed under its hands.
    monkeypatch.setattr(working, "close_old_connections", lambda: None)
    running.closing.clear()
    yield done
    working._end()
    if working._beside is not None:
        working._beside.join(60)
    running.closing.clear()
    working._waiting.clear()


def until(condition) -> None:
    end = time.monotonic() + 90
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_it_takes_up_what_waited_and_says_that_it_lives(worked):
    working.work_beside(hostname="control@here")

    assert starting.workers() == ["train-control@here"]
    until(lambda: worked == ["again", "off"])


def test_a_job_that_arrives_is_taken_at_once(worked):
    working.work_beside(hostname="control@here")
    until(lambda: worked == ["again", "off"])

    working.take(job_id=1)

    until(lambda: worked == ["again", "off", "off"])


def test_it_ends_with_its_process(worked):
    working.work_beside(hostname="control@here")
    thread = working._beside
    assert thread is not None
    working._end()
    thread.join(60)
    assert not thread.is_alive()
    assert running.closing.is_set()


def test_a_database_that_is_away_does_not_end_it(worked, monkeypatch):
    from django.db import OperationalError

    calls = threading.Event()

    def away() -> None:
        calls.set()
        raise OperationalError("the server closed the connection")

    monkeypatch.setattr(running, "take_up_again", away)
    working.work_beside(hostname="control@here")
    until(lambda: calls.is_set() and worked == ["off"])


@pytest.mark.parametrize(
    ("queues", "trains"),
    [({CONTROL_QUEUE, TRAIN_QUEUE}, True), ({CONTROL_QUEUE}, False), ({TRAIN_QUEUE}, False)],
)
def test_only_a_control_worker_that_was_told_so_trains_beside(monkeypatch, queues, trains):
    begun: list[str] = []
    monkeypatch.setattr(working, "work_beside", lambda *, hostname: begun.append(hostname))
    amqp = SimpleNamespace(queues=SimpleNamespace(consume_from=dict.fromkeys(queues)))
    tasks.train_beside_control(sender=SimpleNamespace(app=SimpleNamespace(amqp=amqp), hostname="control@x"))
    assert begun == (["control@x"] if trains else [])
