"""True worker processes on a true queue: what a kill and a stop do to a reply that is being written."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from django.conf import settings

from tests.workers.support import Server, make_request, text_of, wait_until
from workers import client, fleet, ledger, orders, reports, streams
from workers.broker import BrokerClient, queue_key
from workers.connections import broker
from workers.protocol import ErrorCode, Failed, Finished, OrderState, Weights

pytestmark = pytest.mark.flow

ROOT = Path(__file__).parents[2]
WORDS = " ".join(f"w{number}" for number in range(150))


@pytest.fixture
def embedded():
    """A Valkey where the settings of the tests, Celery's included, look for one."""
    server = Server(Path(settings.REDIS_URL.removeprefix("unix://").partition("?")[0]))
    server.start()
    yield server
    broker().connection_pool.disconnect()
    server.remove()


@pytest.fixture
def processes(embedded):
    """Starts workers of the chat model "counter", which says w0 to w149 in ten seconds."""
    running: list[subprocess.Popen[bytes]] = []

    def start(name, *arguments):
        counter = ["--model", "counter", "--engine", "scripted"]
        arguments = arguments or (*counter, "--checkpoint", "tokens=150&rate=15&slots=4")
        environment = {**os.environ, "REDIS_URL": embedded.url, "DJANGO_SETTINGS_MODULE": "chatsite.settings"}
        running.append(
            subprocess.Popen(
                [sys.executable, "manage.py", "worker", *arguments, "--name", name], cwd=ROOT, env=environment
            )
        )
        wait_until(lambda: name in {status.worker for status in fleet.statuses(broker())}, 120)
        return running[-1]

    yield start
    for process in running:
        process.kill()
        process.wait(10)


class Listener:
    """Follows a reply in a thread."""

    def __init__(self, request):
        self.entries = []
        self._request = request
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self):
        self.entries.extend(BrokerClient().follow(self._request.id))

    def wait(self, seconds):
        self._thread.join(seconds)
        assert not self._thread.is_alive()
        return self.entries

    @property
    def alive(self):
        return self._thread.is_alive()


def submit(chat_model="counter"):
    wait_until(lambda: any(s.serves(chat_model) for s in fleet.statuses(broker())), 90)
    request = make_request(chat_model=chat_model, report_task="tests.report", deadline=time.time() + 60)
    BrokerClient().submit(request)
    listener = Listener(request)
    wait_until(lambda: len(streams.text_so_far(broker(), request.id)) > 10, 30)
    return request, listener


def worker_of(request):
    """Who has it; "" while nobody has."""
    record = ledger.look_up(broker(), request.id)
    assert record is not None
    return record.worker


def reported():
    return broker().llen(f"{settings.CELERY_KEY_PREFIX}{reports.CONTROL_QUEUE}")


def test_a_reply_goes_on_when_its_worker_is_killed(processes):
    running = {"one": processes("one"), "two": processes("two")}
    request, listener = submit()
    running[worker_of(request)].kill()
    while listener.alive:  # what the control worker does
        reports.rescuer().sweep()
        time.sleep(0.2)
    entries = listener.wait(1)
    assert text_of(entries) == WORDS
    assert isinstance(entries[-1].event, Finished)
    wait_until(lambda: reported() == 1, 30)


def test_a_reply_goes_on_when_its_worker_is_stopped_and_ends_when_the_last_one_is(processes):
    running = {"one": processes("one"), "two": processes("two")}
    request, listener = submit()
    first = worker_of(request)
    running[first].send_signal(signal.SIGTERM)
    assert running[first].wait(60) == 0
    wait_until(lambda: worker_of(request) not in {"", first}, 30)
    assert [status.worker for status in fleet.statuses(broker())] == [({"one", "two"} - {first}).pop()]

    second = worker_of(request)
    running[second].send_signal(signal.SIGTERM)
    assert running[second].wait(60) == 0
    entries = listener.wait(30)
    last = entries[-1].event
    assert isinstance(last, Failed)
    assert last.code is ErrorCode.WORKER_LOST
    assert WORDS.startswith(text_of(entries))
    assert reported() == 1
    assert broker().llen(queue_key("counter")) == 0
    with pytest.raises(client.NoWorker):
        BrokerClient().submit(make_request(chat_model="counter"))


def test_a_stop_is_heard_by_the_process(processes):
    processes("one")
    request, listener = submit()
    began = time.monotonic()
    BrokerClient().cancel(request.id)
    entries = listener.wait(30)
    assert time.monotonic() - began < 8  # of the ten that the whole takes
    assert isinstance(entries[-1].event, Finished)
    assert entries[-1].event.reason == "cancelled"
    assert len(text_of(entries)) < len(WORDS)


def obeyed(chat_model, weights):
    order = orders.give(broker(), worker="one", chat_model=chat_model, weights=weights)
    wait_until(lambda: (seen := orders.look_up(broker(), order.id)) and seen.state.ended, 90)
    return orders.look_up(broker(), order.id)


def answer(chat_model):
    request = make_request(chat_model=chat_model, report_task="")
    wait_until(lambda: any(s.serves(chat_model) for s in fleet.statuses(broker())), 90)
    BrokerClient().submit(request)
    return text_of(list(BrokerClient().follow(request.id)))


def test_a_worker_without_a_chat_model_takes_them_and_gives_them_up_by_order(processes):
    worker = processes("one", "--idle-unload", "0.05")  # three seconds
    assert fleet.statuses(broker())[0].models == ()
    assert obeyed("first", Weights("scripted", "reply=I am first", slots=2)).state is OrderState.READY
    assert obeyed("broken", Weights("scripted", "speed=1")).state is OrderState.FAILED
    assert obeyed("second", Weights("scripted", "reply=I am second")).state is OrderState.READY
    assert [answer("first"), answer("second")] == ["I am first", "I am second"]

    def all_asleep():
        (status,) = fleet.statuses(broker())
        return all(model.asleep for model in status.models)

    wait_until(all_asleep, 90)
    assert answer("second") == "I am second"
    assert obeyed("first", None).state is OrderState.UNLOADED
    wait_until(lambda: not any(s.serves("first") for s in fleet.statuses(broker())), 90)
    with pytest.raises(client.NoWorker):
        BrokerClient().submit(make_request(chat_model="first"))
    assert answer("second") == "I am second"

    # Stopped while several of its chat models answer.
    assert obeyed("counter", Weights("scripted", "tokens=150&rate=15")).state is OrderState.READY
    assert obeyed("other", Weights("scripted", "tokens=150&rate=15")).state is OrderState.READY
    running = [submit(name) for name in ("counter", "other")]
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(60) == 0
    for _, listener in running:
        entries = listener.wait(60)
        assert WORDS.startswith(text_of(entries))
        last = entries[-1].event
        assert isinstance(last, Failed)
        assert last.code is ErrorCode.WORKER_LOST
    assert reported() == 2
    assert fleet.statuses(broker()) == []
