import logging
import time
from typing import Any

import pytest

from tests.fakes import enter
from tests.workers.support import PATIENCE, make_request, text_of, wait_until, written
from workers import consumer, fleet, ledger, lifecycle
from workers.connections import broker
from workers.engines.base import EngineError
from workers.engines.registry import EngineSpec
from workers.engines.scripted import Script, ScriptedEngine
from workers.lifecycle import Pulse
from workers.tasks import generate

MINUTE_AGO = time.time() - 60


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(fleet, "INTERVAL_SECONDS", 0.03)


@pytest.fixture
def worker(workers):
    made = workers("one", ScriptedEngine("parrot", Script.parse("rate=50&tokens=10000")))
    made.stop_beating()
    return made


@pytest.fixture
def pulse(worker):
    made = Pulse(worker.host, started_at=MINUTE_AGO)
    yield made
    made.stop()


def only_status():
    found = fleet.statuses(broker())
    return found[0] if found else None


def left_to_live(valkey) -> float:
    """Seconds until the worker counts as dead."""
    return float(valkey.pttl("chatsite:worker:one")) / 1000


class TestBeating:
    def test_it_tells_how_the_worker_is(self, valkey, worker, pulse):
        pulse.start()
        pulse.start()
        wait_until(only_status)
        status = only_status()
        assert (status.worker, status.started_at, status.in_flight, status.draining) == (
            "one",
            MINUTE_AGO,
            0,
            False,
        )
        assert status.serves("parrot")
        assert status.memory_bytes > 10_000_000
        request = make_request()
        enter(request)
        worker.work_on(request.id)
        wait_until(lambda: only_status().in_flight == 1)
        wait_until(lambda: only_status().tokens_per_second > 0)

    def test_it_goes_on_beating(self, valkey, pulse):
        pulse.start()
        wait_until(only_status)
        first = only_status().sent_at
        wait_until(lambda: only_status().sent_at > first)

    def test_news_does_not_wait_for_the_next_beat(self, valkey, worker, pulse, monkeypatch):
        monkeypatch.setattr(fleet, "INTERVAL_SECONDS", 3600)
        pulse.start()
        wait_until(only_status)
        worker.host.draining = True
        pulse.beat_soon()
        wait_until(lambda: only_status().draining)

    def test_a_worker_that_says_it_will_be_silent_lives_on_for_so_long(self, valkey, pulse):
        pulse.start()
        with pulse.silent(600):
            # Beats that happen all the same do not take it back.
            wait_until(lambda: only_status().sent_at > time.time() - 60, PATIENCE)
            first = only_status().sent_at
            wait_until(lambda: only_status().sent_at > first, PATIENCE)
            assert left_to_live(valkey) > 500

        wait_until(lambda: left_to_live(valkey) <= fleet.EXPIRY_SECONDS, PATIENCE)

    def test_of_two_silences_the_longer_one_counts(self, valkey, pulse):
        with pulse.silent(600):
            with pulse.silent(30):
                assert left_to_live(valkey) > 500
            with pulse.silent(60):
                assert left_to_live(valkey) > 500

    def test_a_silence_that_nobody_can_be_told_of_is_kept_all_the_same(
        self, valkey, pulse, monkeypatch, caplog
    ):
        def gone(*arguments, **options):
            raise ConnectionError

        monkeypatch.setattr(fleet, "beat", gone)
        with pulse.silent(30):
            pass
        assert "heartbeat failed (ConnectionError)" in caplog.text

    def test_stopping_signs_off_at_once(self, valkey, pulse, monkeypatch):
        monkeypatch.setattr(fleet, "INTERVAL_SECONDS", 3600)
        pulse.start()
        wait_until(only_status)
        pulse.stop()
        assert only_status() is None
        for thread in pulse._threads:
            thread.join(PATIENCE)
            assert not thread.is_alive()

    def test_a_pulse_that_never_started_can_be_stopped(self, valkey, pulse):
        pulse.stop()

    def test_it_outlives_any_error_and_says_so_once(self, valkey, worker, pulse, monkeypatch, caplog):
        beat = fleet.beat
        failed: list[Any] = []

        def sometimes(client, status, **options):
            if len(failed) < 3:
                failed.append(status)
                raise ValueError("secret")
            beat(client, status, **options)

        monkeypatch.setattr(fleet, "beat", sometimes)
        with caplog.at_level(logging.WARNING):
            pulse.start()
            wait_until(only_status)
        lines = [record for record in caplog.records if record.name == "workers.lifecycle"]
        assert len(lines) == 1
        assert "ValueError" in lines[0].message
        assert "secret" not in caplog.text

    def test_deadlines_are_kept_while_the_heartbeat_fails(self, valkey, worker, pulse, monkeypatch):
        def away(client, status):
            raise ConnectionError("away")

        monkeypatch.setattr(fleet, "beat", away)
        request = make_request(deadline=time.time() + 0.2)
        enter(request)
        thread = worker.work_on(request.id)
        pulse.start()
        thread.join(PATIENCE)
        assert worker.reports[0][1].outcome == "deadline"


class TestListening:
    def test_a_cancellation_is_heard_at_once(self, valkey, worker, pulse, monkeypatch):
        monkeypatch.setattr(fleet, "INTERVAL_SECONDS", 3600)  # so that no beat finds it in the ledger
        pulse.start()
        wait_until(lambda: valkey.pubsub_numsub(ledger.CANCELLATIONS)[0][1])
        request = make_request()
        enter(request)
        thread = worker.work_on(request.id)
        wait_until(lambda: worker.host.in_flight)
        ledger.cancel(valkey, request.id)
        thread.join(PATIENCE)
        assert worker.reports[0][1].outcome == "cancelled"

    def test_it_listens_again_when_the_connection_breaks(self, valkey, worker, pulse):
        pulse.start()
        wait_until(lambda: valkey.pubsub_numsub(ledger.CANCELLATIONS)[0][1])
        valkey.client_kill_filter(_type="pubsub")
        request = make_request()
        enter(request)
        thread = worker.work_on(request.id)
        wait_until(lambda: worker.host.in_flight)
        ledger.cancel(valkey, request.id)
        thread.join(PATIENCE)
        assert worker.reports[0][1].outcome == "cancelled"
        wait_until(lambda: valkey.pubsub_numsub(ledger.CANCELLATIONS)[0][1])


class TestTheProcess:
    def test_a_message_in_a_process_without_an_engine_host_is_refused(self):
        with pytest.raises(RuntimeError, match=r"manage\.py worker"):
            generate("r", 1)

    def test_the_task_hands_the_request_to_the_host(self, valkey, workers):
        worker = workers("one", ScriptedEngine("parrot"))
        request = make_request("Hello")
        enter(request)
        lifecycle.install(worker.host)
        try:
            generate(request.id, 1)
        finally:
            lifecycle.install(None)
        assert text_of(written(valkey, request.id)) == "Hello"

    def test_it_loads_serves_drains_and_signs_off(self, valkey, monkeypatch):
        seen: dict[str, Any] = {}

        def consume(**options):
            seen.update(options, host=lifecycle.host())

        monkeypatch.setattr(consumer, "start", consume)
        specs = [EngineSpec("a", "scripted", "slots=3"), EngineSpec("b", "scripted", "slots=2")]
        lifecycle.run_worker(specs, name="mine")
        assert seen["queues"] == ["generate.a", "generate.b"]
        assert (seen["hostname"], seen["concurrency"]) == ("mine", 5)
        assert seen["host"].draining
        assert only_status() is None
        with pytest.raises(RuntimeError):
            lifecycle.host()

    def test_a_consumer_that_breaks_down_leaves_no_worker_behind(self, valkey, monkeypatch):
        def consume(**options):
            raise RuntimeError("no broker")

        monkeypatch.setattr(consumer, "start", consume)
        with pytest.raises(RuntimeError, match="no broker"):
            lifecycle.run_worker([EngineSpec("a", "scripted", "")])
        with pytest.raises(RuntimeError):
            lifecycle.host()

    def test_engines_that_were_loaded_are_freed_when_another_cannot_be(self, valkey, monkeypatch):
        closed = []
        monkeypatch.setattr(ScriptedEngine, "close", lambda self: closed.append(self.hosted.name))
        with pytest.raises(EngineError):
            lifecycle.run_worker([EngineSpec("a", "scripted", ""), EngineSpec("b", "scripted", "speed=1")])
        assert closed == ["a"]
