import logging
import threading
import time

import pytest

from tests.fakes import enter
from tests.workers.support import (
    PATIENCE,
    Halting,
    Queue,
    Worker,
    hosted,
    make_request,
    text_of,
    wait_until,
    written,
)
from workers import host, ledger, streams
from workers.connections import broker
from workers.engines.base import StopSignal
from workers.engines.scripted import Script, ScriptedEngine
from workers.protocol import (
    Delta,
    ErrorCode,
    Failed,
    Finished,
    FinishReason,
    Report,
    Started,
    Usage,
)

WHOLE = "One two three four."


def scripted(script=""):
    return ScriptedEngine("parrot", Script.parse(script))


class FromCode:
    """An engine whose stream is the function it is made of."""

    def __init__(self, stream):
        self.hosted = hosted()
        self.closed = 0
        self._stream = stream

    def stream(self, request, stop):
        return self._stream(request, stop)

    def close(self):
        self.closed += 1


def begin(worker: Worker, **values):
    """A claimed request that runs, with its first words written."""
    request = make_request(WHOLE, **values)
    enter(request)
    thread = worker.work_on(request.id)
    wait_until(lambda: streams.text_so_far(broker(), request.id))
    return request, thread


def last_of(client, request):
    return written(client, request.id)[-1].event


class TestAnswering:
    def test_it_writes_the_events_in_order_and_reports_once(self, valkey, workers):
        worker = workers("one", scripted())
        request = make_request(WHOLE)
        enter(request)
        worker.work_on(request.id).join(PATIENCE)

        entries = written(valkey, request.id)
        assert entries[0].event == Started("one", 1)
        assert all(isinstance(entry.event, Delta) for entry in entries[1:-1])
        last = entries[-1].event
        assert isinstance(last, Finished)
        assert (last.reason, last.usage) == (FinishReason.STOP, Usage(4, 4, 0))
        assert text_of(entries) == WHOLE
        assert ledger.state(valkey, request.id) == "done"
        assert worker.reports == [("tests.report", Report.of(request, WHOLE, last, "one"))]
        assert worker.host.in_flight == []

    def test_nobody_is_told_of_a_request_without_a_report_task(self, valkey, workers):
        worker = workers("one", scripted())
        request = make_request(WHOLE, report_task="")
        enter(request)
        worker.work_on(request.id).join(PATIENCE)
        assert ledger.state(valkey, request.id) == "done"
        assert worker.reports == []

    def test_the_report_holds_what_a_lost_worker_had_delivered(self, valkey, workers):
        worker = workers("one", scripted())
        request = make_request(WHOLE, prefix="One two")
        enter(request)
        worker.work_on(request.id).join(PATIENCE)
        assert text_of(written(valkey, request.id)) == " three four."
        assert worker.reports[0][1].text == WHOLE

    @pytest.mark.parametrize("attempt", [1, 2])
    def test_it_does_nothing_with_what_somebody_else_has(self, valkey, workers, attempt):
        worker = workers("one", scripted())
        request = make_request()
        enter(request)
        ledger.claim(valkey, request.id, 1, "other")
        worker.work_on(request.id, attempt).join(PATIENCE)
        worker.work_on("unknown").join(PATIENCE)
        assert written(valkey, request.id) == []
        assert worker.reports == []

    def test_a_message_that_comes_twice_is_answered_once(self, valkey, workers):
        worker = workers("one", scripted("rate=100"))
        request = make_request(WHOLE)
        enter(request)
        for thread in [worker.work_on(request.id) for _ in range(5)]:
            thread.join(PATIENCE)
        assert text_of(written(valkey, request.id)) == WHOLE
        assert len(worker.reports) == 1

    def test_a_request_it_cannot_read_ends_at_once(self, valkey, workers, caplog):
        worker = workers("one", scripted())
        request = make_request("secret words")
        enter(request)
        valkey.hset(ledger.key(request.id), "payload", '{"messages": "secret words"}')
        worker.work_on(request.id).join(PATIENCE)
        last = last_of(valkey, request)
        assert isinstance(last, Failed)
        assert last.code is ErrorCode.INVALID_REQUEST
        assert ledger.in_flight(valkey) == []
        assert "secret" not in caplog.text

    def test_many_at_once_do_not_mix(self, valkey, workers):
        worker = workers("one", scripted("rate=200"))
        requests = [make_request(f"I am number {number} of many.") for number in range(24)]
        for request in requests:
            enter(request)
        threads = [worker.work_on(request.id) for request in requests]
        for thread in threads:
            thread.join(PATIENCE)
        for request in requests:
            assert text_of(written(valkey, request.id)) == request.messages[0].content
        assert sorted(report.request_id for _, report in worker.reports) == sorted(
            request.id for request in requests
        )

    def test_it_says_what_it_hosts_and_how_quick_it_is(self, valkey, workers):
        worker = workers("one", scripted("tokens=200"))
        request = make_request()
        enter(request)
        worker.work_on(request.id).join(PATIENCE)
        assert worker.host.tokens_per_second == pytest.approx(20)  # over ten seconds
        assert [model.name for model in worker.host.hosted] == ["parrot"]


class TestFailing:
    def test_an_exception_becomes_a_failure_without_its_words(self, valkey, workers, caplog):
        def stream(request, stop):
            yield Delta("half ")
            raise ValueError(f"secret: {request.messages[0].content}")

        worker = workers("one", FromCode(stream))
        request = make_request("secret words")
        enter(request)
        with caplog.at_level(logging.DEBUG):
            worker.work_on(request.id).join(PATIENCE)
        last = last_of(valkey, request)
        assert isinstance(last, Failed)
        assert last.code is ErrorCode.ENGINE_FAILURE
        assert "secret" not in last.message
        assert "secret" not in caplog.text
        assert "ValueError" in caplog.text
        assert "test_host.py" in caplog.text, "the operator must learn where"
        ((_, report),) = worker.reports
        assert (report.text, report.outcome) == ("half ", "engine_failure")

    def test_an_engine_that_fails_before_its_first_word(self, valkey, workers):
        def stream(request, stop):
            raise RuntimeError("no")

        worker = workers("one", FromCode(stream))
        request = make_request()
        enter(request)
        worker.work_on(request.id).join(PATIENCE)
        last = last_of(valkey, request)
        assert isinstance(last, Failed)
        assert last.code is ErrorCode.ENGINE_FAILURE

    def test_an_engine_that_ends_without_a_last_event(self, valkey, workers):
        worker = workers("one", FromCode(lambda request, stop: iter([Delta("half")])))
        request = make_request()
        enter(request)
        worker.work_on(request.id).join(PATIENCE)
        last = last_of(valkey, request)
        assert isinstance(last, Failed)
        assert last.code is ErrorCode.ENGINE_FAILURE
        assert len(worker.reports) == 1

    def test_nothing_follows_the_last_event(self, valkey, workers):
        events = [Delta("a"), Finished(FinishReason.STOP), Delta("b"), Finished(FinishReason.LENGTH)]
        worker = workers("one", FromCode(lambda request, stop: iter(events)))
        request = make_request()
        enter(request)
        worker.work_on(request.id).join(PATIENCE)
        assert [entry.event for entry in written(valkey, request.id)][1:] == events[:2]
        assert worker.reports[0][1].text == "a"

    def test_a_chat_model_it_does_not_host_is_left_to_others(self, valkey, workers):
        worker = workers("one", scripted())
        request = make_request(chat_model="lorem")
        enter(request)
        worker.work_on(request.id).join(PATIENCE)
        assert worker.put_back == [(request.id, 1, "lorem")]
        assert ledger.state(valkey, request.id) == "queued"

    def test_a_chat_model_takes_no_more_than_its_slots(self, valkey, workers, monkeypatch):
        monkeypatch.setattr(host, "SLOT_PATIENCE_SECONDS", 0.05)
        worker = workers("one", scripted("tokens=100000&rate=50&slots=2"))
        requests = [make_request(asker=str(number)) for number in range(3)]
        for request in requests:
            enter(request)
        for request in requests[:2]:
            worker.work_on(request.id)
        wait_until(lambda: worker.host.running(["parrot"]) == 2)
        worker.work_on(requests[2].id).join(PATIENCE)
        assert worker.put_back == [(requests[2].id, 1, "parrot")]
        assert sorted(ledger.state(valkey, request.id) or "" for request in requests) == [
            "queued",
            "running",
            "running",
        ]

    def test_a_slot_that_is_freed_is_taken_at_once(self, valkey, workers, monkeypatch):
        monkeypatch.setattr(host, "SLOT_PATIENCE_SECONDS", 60)
        worker = workers("one", scripted("rate=50&slots=1"))
        requests = [make_request("one two three") for _ in range(3)]
        for request in requests:
            enter(request)
        for thread in [worker.work_on(request.id) for request in requests]:
            thread.join(PATIENCE)
        assert [text_of(written(valkey, request.id)) for request in requests] == ["one two three"] * 3
        assert worker.put_back == []

    def test_a_refusal_of_the_engine_is_passed_on(self, valkey, workers):
        worker = workers("one", scripted("context=2"))
        request = make_request("one two three")
        enter(request)
        worker.work_on(request.id).join(PATIENCE)
        last = last_of(valkey, request)
        assert isinstance(last, Failed)
        assert last.code is ErrorCode.CONTEXT_OVERFLOW


class TestStopping:
    def test_a_running_request_is_cancelled_within_a_step(self, valkey, workers):
        worker = workers("one", scripted("rate=50&tokens=10000"))
        request, thread = begin(worker)
        worker.host.stop("unknown")
        worker.host.stop(request.id)
        thread.join(PATIENCE)  # the whole would take longer
        last = last_of(valkey, request)
        assert isinstance(last, Finished)
        assert last.reason is FinishReason.CANCELLED
        text = text_of(written(valkey, request.id))
        assert last.usage.completion_tokens == len(text.split())
        ((_, report),) = worker.reports
        assert (report.text, report.outcome) == (text, "cancelled")

    def test_a_request_cancelled_in_the_queue_ends_without_a_word(self, valkey, workers):
        worker = workers("one", scripted("rate=50&tokens=10000"))
        request = make_request()
        enter(request)
        ledger.cancel(valkey, request.id)
        worker.work_on(request.id).join(PATIENCE)
        assert text_of(written(valkey, request.id)) == ""
        assert worker.reports[0][1].outcome == "cancelled"

    def test_a_cancellation_nobody_heard_is_found_in_the_ledger(self, valkey, workers):
        worker = workers("one", scripted("rate=50&tokens=10000"))
        request, thread = begin(worker)
        other, _ = begin(worker)
        ledger.cancel(valkey, request.id)
        worker.host.check_wanted()
        thread.join(PATIENCE)
        assert worker.reports[0][1].outcome == "cancelled"
        assert worker.host.in_flight == [other.id]

    def test_a_silent_engine_is_stopped_as_well(self, valkey, workers):
        worker = workers("one", scripted("first=60"))
        request = make_request()
        enter(request)
        thread = worker.work_on(request.id)
        wait_until(lambda: worker.host.in_flight)
        worker.host.stop(request.id)
        thread.join(PATIENCE)
        assert not thread.is_alive()

    def test_a_request_past_its_deadline_fails_with_what_there_is(self, valkey, workers, monkeypatch):
        worker = workers("one", scripted("rate=50&tokens=10000"))
        request, thread = begin(worker)
        worker.host.check_wanted()
        assert worker.host.in_flight == [request.id]
        monkeypatch.setattr(time, "time", lambda: request.deadline + 0.1)
        worker.host.check_wanted()
        thread.join(PATIENCE)
        last = last_of(valkey, request)
        assert isinstance(last, Failed)
        assert last.code is ErrorCode.DEADLINE
        assert last.usage.completion_tokens > 0
        assert worker.reports[0][1].text == text_of(written(valkey, request.id)) != ""

    def test_the_deadline_holds_while_the_broker_is_away(self, workers, monkeypatch):
        worker = workers("one", scripted("rate=50&tokens=10000"))
        request, thread = begin(worker)

        def away(*arguments):
            raise ConnectionError("away")

        monkeypatch.setattr(ledger, "cancelled", away)
        monkeypatch.setattr(time, "time", lambda: request.deadline + 0.1)
        with pytest.raises(ConnectionError):
            worker.host.check_wanted()
        thread.join(PATIENCE)
        assert worker.reports[0][1].outcome == "deadline"

    def test_the_first_reason_stays(self):
        stop = StopSignal()
        stop.set("cancelled")
        stop.set("deadline")
        assert stop.reason == "cancelled"
        assert stop.wait(0)

    def test_the_text_behind_a_cancellation_is_what_the_follower_saw(self, valkey, workers):
        worker = workers("one", scripted("tokens=100000"))  # as fast as it can
        requests = [begin(worker) for _ in range(4)]
        for request, _ in requests:
            worker.host.stop(request.id)
        for request, thread in requests:
            thread.join(PATIENCE)
            (report,) = [report for _, report in worker.reports if report.request_id == request.id]
            assert report.text == text_of(written(valkey, request.id))


class TestLosing:
    def test_a_worker_taken_for_dead_stops_and_reports_nothing(self, valkey, workers):
        worker = workers("one", scripted("rate=100&tokens=10000"))
        request, thread = begin(worker)
        ledger.requeue(valkey, request.id, 1)
        streams.take_over(valkey, request.id, 2)
        thread.join(PATIENCE)
        assert not thread.is_alive()
        assert worker.reports == []
        assert ledger.state(valkey, request.id) == "queued"
        assert isinstance(last_of(valkey, request), Started)

    def test_it_may_go_on_with_its_own_request(self, valkey, workers):
        engine = Halting(f"reply={WHOLE * 20}")
        worker = workers("one", engine)
        request, thread = begin(worker)
        ledger.requeue(valkey, request.id, 1)
        streams.take_over(valkey, request.id, 2)
        longer = make_request(id=request.id, prefix=streams.text_so_far(valkey, request.id))
        ledger.renew(valkey, request.id, 2, longer)
        zombie_goes_on, engine.go_on = engine.go_on, threading.Event()
        heir = worker.work_on(request.id, 2)
        wait_until(lambda: streams.text_so_far(valkey, request.id) != longer.prefix)
        zombie_goes_on.set()
        thread.join(PATIENCE)
        assert worker.host.in_flight == [request.id]
        engine.go_on.set()
        heir.join(PATIENCE)
        assert text_of(written(valkey, request.id)) == WHOLE * 20
        ((_, report),) = worker.reports
        assert report.text == WHOLE * 20

    def test_a_stream_ended_by_one_who_died_is_reported_for_him(self, valkey, workers):
        worker = workers("one", scripted("rate=100&tokens=10000"))
        request, thread = begin(worker)
        failed = Failed(ErrorCode.WORKER_LOST, "gone")
        streams.append_last(valkey, request.id, 1, failed)
        thread.join(PATIENCE)
        assert ledger.state(valkey, request.id) == "done"
        text = text_of(written(valkey, request.id))
        assert worker.reports == [("tests.report", Report.of(request, text, failed, "one"))]

    def test_a_request_that_was_closed_elsewhere_is_not_reported_twice(self, valkey, workers):
        worker = workers("one", scripted("rate=100&tokens=10000"))
        request, thread = begin(worker)
        streams.append_last(valkey, request.id, 1, Failed(ErrorCode.DEADLINE, "late"))
        ledger.finish(valkey, request.id, 1)
        thread.join(PATIENCE)
        assert worker.reports == []


class TestDraining:
    def test_without_another_worker_the_reply_fails_with_what_there_is(self, valkey, workers):
        worker = workers("one", scripted("rate=100&tokens=10000"))
        request, thread = begin(worker)
        worker.host.drain()
        thread.join(PATIENCE)
        last = last_of(valkey, request)
        assert isinstance(last, Failed)
        assert last.code is ErrorCode.WORKER_LOST
        assert len(worker.reports) == 1
        assert worker.reports[0][1].text == text_of(written(valkey, request.id)) != ""

    def test_with_another_worker_the_reply_goes_on_there(self, valkey, workers, queue: Queue):
        one = workers("one", Halting(f"reply={WHOLE * 20}"), rescuer=queue.rescuer)
        two = workers("two", scripted(f"reply={WHOLE * 20}&rate=100"))
        request, thread = begin(one)
        one.host.drain()
        one.beat(draining=True)
        thread.join(PATIENCE)
        assert one.reports == []
        assert queue.published == [(request.id, 2)]
        so_far = streams.text_so_far(valkey, request.id)
        assert so_far not in {"", WHOLE * 20}

        two.work_on(*queue.published[0]).join(PATIENCE)
        assert text_of(written(valkey, request.id)) == WHOLE * 20
        ((_, report),) = two.reports
        assert report.text == WHOLE * 20

    def test_what_comes_while_it_drains_is_handed_on_at_once(self, valkey, workers, queue: Queue):
        one = workers("one", scripted("rate=100&tokens=10000"), rescuer=queue.rescuer)
        workers("two", scripted())
        one.host.drain()
        request = make_request()
        enter(request)
        one.work_on(request.id).join(PATIENCE)
        assert queue.published == [(request.id, 2)]
        assert streams.text_so_far(valkey, request.id) == ""

    def test_a_reply_that_was_whole_is_not_handed_on(self, valkey, workers, queue: Queue):
        release = threading.Event()

        def stream(request, stop):
            yield Delta("whole")
            release.wait(PATIENCE)
            yield Finished(FinishReason.STOP)

        one = workers("one", FromCode(stream), rescuer=queue.rescuer)
        workers("two", scripted())
        request, thread = begin(one)
        one.host.drain()
        release.set()
        thread.join(PATIENCE)
        assert queue.published == []
        assert last_of(valkey, request) == Finished(FinishReason.STOP)
        assert one.reports[0][1].outcome == "stop"

    def test_closing_frees_the_engines(self, valkey):
        engine = FromCode(lambda request, stop: iter(()))
        Worker(valkey, "one", engine).close()
        assert engine.closed == 1


class TestBrokerAway:
    def test_a_reply_is_kept_until_the_broker_is_back(self, server, monkeypatch):
        monkeypatch.setattr(streams, "RETRY_SECONDS", 0.02)
        engine = Halting("tokens=40")
        worker = Worker(broker(), "one", engine)
        request, thread = begin(worker)
        server.kill()
        engine.go_on.set()
        time.sleep(0.3)  # the engine has ended meanwhile
        assert thread.is_alive()
        server.start()
        thread.join(PATIENCE)
        assert worker.reports[0][1].text == text_of(written(broker(), request.id))
        assert len(worker.reports[0][1].text.split()) == 40
        assert ledger.state(broker(), request.id) == "done"
        worker.close()

    def test_a_broker_that_goes_between_the_last_word_and_the_closing_is_waited_for(
        self, valkey, workers, monkeypatch
    ):
        worker = workers("one", scripted())
        finish, calls = ledger.finish, []

        def break_first(*arguments):
            calls.append(1)
            if len(calls) < 3:
                raise ConnectionError("away")
            return finish(*arguments)

        monkeypatch.setattr(ledger, "finish", break_first)
        monkeypatch.setattr(host, "RETRY_SECONDS", 0.01)
        request = make_request(WHOLE)
        enter(request)
        worker.work_on(request.id).join(PATIENCE)
        assert ledger.state(valkey, request.id) == "done"
        assert len(worker.reports) == 1

    def test_its_thread_does_not_wait_for_ever(self, server, monkeypatch, caplog):
        monkeypatch.setattr(host, "WRITE_PATIENCE_SECONDS", 0.1)
        engine = Halting("tokens=40")
        worker = Worker(broker(), "one", engine)
        request, thread = begin(worker)
        server.kill()
        engine.go_on.set()
        thread.join(PATIENCE)
        assert not thread.is_alive()
        assert request.id in caplog.text
        assert worker.reports == []
        server.start()
        worker.close()
