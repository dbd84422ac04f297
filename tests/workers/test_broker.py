import socket
import time

import pytest
import redis
from celery import current_app
from kombu.exceptions import OperationalError

from tests.fakes import InProcessClient, heartbeat
from tests.workers.support import make_request
from workers import broker as module
from workers import client, connections, ledger
from workers.broker import BrokerClient, queue_key, queue_name
from workers.connections import UNREACHABLE
from workers.protocol import ErrorCode


class Queued(BrokerClient):
    """A client whose messages go into a list."""

    def __init__(self):
        super().__init__()
        self.published = []

    def publish(self, request_id, attempt, chat_model):
        self.published.append((request_id, attempt, chat_model))


@pytest.fixture
def queued(valkey):
    return Queued()


class TestSubmitting:
    def test_the_request_is_in_the_ledger_and_its_id_in_the_queue(self, valkey, queued):
        heartbeat("one", "parrot")
        request = make_request("secret words")
        queued.submit(request)
        assert queued.published == [(request.id, 1, "parrot")]
        record = ledger.look_up(valkey, request.id)
        assert record is not None
        assert record.request == request
        assert queued.state(request.id) == "queued"

    @pytest.mark.parametrize("who", ["nobody", "another model's", "draining"])
    def test_without_a_worker_nothing_is_kept(self, valkey, queued, who):
        if who == "another model's":
            heartbeat("one", "lorem")
        if who == "draining":
            heartbeat("one", "parrot", draining=True)
        before = len(valkey.keys("*"))
        with pytest.raises(client.NoWorker) as caught:
            queued.submit(make_request())
        assert caught.value.code is ErrorCode.NO_WORKER
        assert queued.published == []
        assert len(valkey.keys("*")) == before

    def test_a_full_queue_keeps_nothing(self, valkey, queued, settings):
        settings.QUEUE_LIMIT = 3
        heartbeat("one", "parrot")
        valkey.rpush(queue_key("parrot"), "a", "b")
        queued.submit(make_request())
        valkey.rpush(queue_key("parrot"), "c")
        request = make_request()
        with pytest.raises(client.QueueFull) as caught:
            queued.submit(request)
        assert caught.value.code is ErrorCode.QUEUE_FULL
        assert caught.value.retry_after > 0
        assert queued.state(request.id) is None
        assert request.id not in ledger.in_flight(valkey)
        assert len(queued.published) == 1

    def test_who_finds_it_full_is_told_when_there_is_room_again(self, valkey, queued, settings, monkeypatch):
        settings.QUEUE_LIMIT = 1
        heartbeat("one", "parrot")  # one slot each
        heartbeat("two", "parrot")
        monkeypatch.setattr(ledger, "mean_seconds", lambda broker, chat_model: {"parrot": 5.0}[chat_model])
        valkey.rpush(queue_key("parrot"), "a", "b")
        with pytest.raises(client.QueueFull) as caught:
            queued.submit(make_request())
        assert caught.value.retry_after == 5.0  # two must end, by two at a time

    @pytest.mark.parametrize(("mean", "told"), [(None, 1.0), (0.0, 0.1), (3600.0, 60.0)])
    def test_what_it_is_told_is_neither_nothing_nor_for_ever(
        self, valkey, queued, settings, monkeypatch, mean, told
    ):
        settings.QUEUE_LIMIT = 1
        heartbeat("one", "parrot")
        monkeypatch.setattr(ledger, "mean_seconds", lambda broker, chat_model: mean)
        valkey.rpush(queue_key("parrot"), "a")
        with pytest.raises(client.QueueFull) as caught:
            queued.submit(make_request())
        assert caught.value.retry_after == told

    def test_a_message_that_was_not_taken_leaves_no_request_that_is_found_later(
        self, valkey, queued, monkeypatch
    ):
        heartbeat("one", "parrot")

        def refuse(*arguments):
            raise ConnectionError("no")

        monkeypatch.setattr(queued, "publish", refuse)
        request = make_request()
        with pytest.raises(ConnectionError):
            queued.submit(request)
        assert queued.state(request.id) is None
        assert ledger.in_flight(valkey) == []

    def test_a_worker_that_has_just_started_is_seen_at_once(self, queued):
        assert queued.statuses() == []
        heartbeat("one", "parrot")
        queued.submit(make_request())

    def test_a_broker_that_is_away_is_one_kind_of_error(self, valkey, monkeypatch):
        def refuse(*arguments, **options):
            raise OperationalError("no")

        monkeypatch.setattr(current_app, "send_task", refuse)
        with pytest.raises(ConnectionError):
            BrokerClient().publish("r", 1, "parrot")

    def test_the_message_holds_an_id_and_no_words(self, valkey, monkeypatch):
        sent = []
        monkeypatch.setattr(current_app, "send_task", lambda name, **options: sent.append((name, options)))
        heartbeat("one", "parrot")
        request = make_request("secret words")
        BrokerClient().submit(request)
        ((name, options),) = sent
        assert name == "workers.generate"
        assert options["args"] == [request.id, 1, "parrot"]
        assert options["queue"] == queue_name("parrot") == "generate.parrot"
        assert "secret" not in str(options)


class TestStatuses:
    def test_they_are_asked_for_now_and_then(self, valkey, queued, monkeypatch):
        assert 0 < module.STATUS_CACHE_SECONDS < 1
        monkeypatch.setattr(module, "STATUS_CACHE_SECONDS", 600)
        heartbeat("one", "parrot")
        assert len(queued.statuses()) == 1
        heartbeat("two", "parrot")
        assert len(queued.statuses()) == 1, "a copy that is not old is as good"
        monkeypatch.setattr(module, "STATUS_CACHE_SECONDS", 0)
        assert len(queued.statuses()) == 2

    def test_a_client_that_was_just_made_knows_no_old_ones(self, valkey, monkeypatch):
        monkeypatch.setattr(time, "monotonic", lambda: 0.1)  # the machine has just started
        heartbeat("one", "parrot")
        assert len(BrokerClient().statuses()) == 1


class TestTheDoor:
    def test_the_functions_lead_to_the_client_of_the_settings(self, workers_client: InProcessClient):
        door: object = client.current()
        assert door is workers_client
        assert client.is_served("parrot")
        assert not client.is_served("lorem")
        request = make_request("Hello")
        client.submit(request)
        assert [entry.event.type for entry in client.follow(request.id)][-1] == "finished"
        workers_client.wait_idle()
        assert client.state(request.id) == "done"
        assert client.state("unknown") is None
        assert [status.worker for status in client.statuses()] == ["in-process"]
        client.cancel("unknown")

    def test_a_changed_setting_makes_a_new_client(self, settings, valkey):
        settings.WORKERS_CLIENT = "workers.broker.BrokerClient"
        assert type(client.current()) is BrokerClient
        assert client.current() is client.current()


def test_a_connection_is_shared_by_all_threads_of_the_process(valkey):
    from workers.connections import broker

    assert broker() is broker()
    assert isinstance(broker(), redis.Redis)
    assert broker().connection_pool.max_connections > 512, "a worker of the most slots the catalog allows"


def test_a_broker_that_is_there_and_silent_is_asked_once(settings, monkeypatch):
    monkeypatch.setattr(connections, "SOCKET_TIMEOUT_SECONDS", 0.2)
    connections._connect.cache_clear()
    with socket.create_server(("127.0.0.1", 0)) as silent:  # the system accepts for it, and nobody answers
        settings.REDIS_URL = f"redis://127.0.0.1:{silent.getsockname()[1]}/0"
        asked = connections.broker()
        with pytest.raises(UNREACHABLE):
            asked.ping()
        asked.close()
        silent.setblocking(False)
        silent.accept()[0].close()
        with pytest.raises(BlockingIOError):
            silent.accept()  # a second attempt would wait here
    connections._connect.cache_clear()
