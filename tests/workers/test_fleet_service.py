import time
from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone

from tests.fakes import heartbeat
from workers import client
from workers.models import ChatModel, Worker
from workers.protocol import MOST_SLOTS, HostedModel, WorkerStatus
from workers.services import fleet
from workers.tasks import record_heartbeats

NOW = 1_800_000_000.0


def status(**values):
    return WorkerStatus(
        **{
            "worker": "one",
            "models": (HostedModel("parrot", "scripted", 8192, 4), HostedModel("lorem", "scripted", 100, 2)),
            "version": "1.2",
            "host": "here",
            "pid": 7,
            "started_at": NOW,
            "sent_at": NOW + 5,
            "in_flight": 3,
            "tokens_per_second": 12.5,
            "memory_bytes": 2**33,
            **values,
        }
    )


@pytest.mark.django_db
class TestRecordingAHeartbeat:
    def test_it_writes_down_the_worker(self):
        worker = fleet.record_heartbeat(status=status())
        worker.refresh_from_db()
        assert (worker.name, worker.host, worker.pid, worker.version) == ("one", "here", 7, "1.2")
        assert (worker.slots, worker.in_flight, worker.tokens_per_second) == (6, 3, 12.5)
        assert worker.memory_bytes == 2**33
        assert worker.started_at == datetime.fromtimestamp(NOW, UTC)
        assert [model["name"] for model in worker.hosted] == ["parrot", "lorem"]

    def test_the_next_one_changes_the_same_row(self):
        fleet.record_heartbeat(status=status())
        fleet.record_heartbeat(status=status(in_flight=0, draining=True, sent_at=NOW + 6))
        (worker,) = Worker.objects.all()
        assert (worker.in_flight, worker.draining) == (0, True)
        assert worker.last_seen_at == datetime.fromtimestamp(NOW + 6, UTC)

    def test_a_chat_model_nobody_knew_appears_published(self):
        fleet.record_heartbeat(status=status())
        chat_model = ChatModel.objects.get(name="lorem")
        assert (chat_model.engine, chat_model.slots, chat_model.published) == ("scripted", 2, True)

    def test_a_chat_model_with_very_many_slots_appears_too(self):
        fleet.record_heartbeat(status=status(models=(HostedModel("lorem", "scripted", 100, MOST_SLOTS),)))
        assert ChatModel.objects.get(name="lorem").slots == MOST_SLOTS

    def test_a_chat_model_of_the_catalog_stays_as_it_is(self, parrot):
        ChatModel.objects.filter(pk=parrot.pk).update(published=False, slots=99)
        fleet.record_heartbeat(status=status())
        parrot.refresh_from_db()
        assert (parrot.published, parrot.slots) == (False, 99)

    @pytest.mark.parametrize("name", ["two words", "x" * 500, "-", ""])
    def test_a_name_the_catalog_would_refuse_is_not_entered(self, name, caplog):
        fleet.record_heartbeat(status=status(models=(HostedModel(name, "scripted"),)))
        assert not ChatModel.objects.exists()
        assert Worker.objects.get().name == "one"
        assert "catalog" in caplog.text

    def test_an_engine_the_catalog_does_not_know_is_not_entered(self):
        fleet.record_heartbeat(status=status(models=(HostedModel("new", "of-tomorrow"),)))
        assert not ChatModel.objects.exists()


@pytest.mark.django_db
class TestRecordingAll:
    def test_it_copies_every_live_worker(self, workers_client):
        assert [each.worker for each in client.statuses()] == ["in-process"]
        record_heartbeats()
        assert [worker.name for worker in Worker.objects.all()] == ["in-process"]
        assert Worker.objects.get().alive

    def test_one_that_cannot_be_recorded_does_not_stop_the_others(self, valkey, workers_client, monkeypatch):
        monkeypatch.setattr(
            workers_client, "statuses", lambda: [status(worker="bad", started_at=1e30), status()]
        )
        fleet.record_heartbeats()
        assert [worker.name for worker in Worker.objects.all()] == ["one"]

    def test_workers_long_gone_are_forgotten(self, workers_client):
        for name, days in (("old", 40), ("recent", 2)):
            worker = fleet.record_heartbeat(status=status(worker=name))
            Worker.objects.filter(pk=worker.pk).update(last_seen_at=timezone.now() - timedelta(days=days))
        fleet.record_heartbeats()
        assert {worker.name for worker in Worker.objects.all()} == {"recent", "in-process"}


def test_a_heartbeat_that_is_late_is_a_dead_worker():
    worker = Worker(name="one", last_seen_at=timezone.now())
    assert worker.alive
    worker.last_seen_at -= timedelta(seconds=11)
    assert not worker.alive


def test_a_beat_is_soon_a_row(valkey):
    heartbeat("two", "parrot", started_at=time.time())
    assert client.current() is not None
