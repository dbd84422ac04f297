import threading
import time
from dataclasses import replace
from functools import partial

import pytest

from tests.fakes import enter, heartbeat
from tests.workers.support import (
    PATIENCE,
    Halting,
    Queue,
    at_once,
    make_request,
    text_of,
    wait_until,
    written,
)
from workers import fleet, follow, ledger, rescue, streams
from workers.connections import broker
from workers.engines.scripted import Script, ScriptedEngine
from workers.protocol import (
    Constraint,
    Delta,
    Embedded,
    EmbeddingRequest,
    Entry,
    ErrorCode,
    Failed,
    Finished,
    FinishReason,
    GenerationRequest,
    Report,
    Started,
)
from workers.streams import StreamWriter

STOP = Finished(FinishReason.STOP)


@pytest.fixture(autouse=True)
def patient(monkeypatch):
    """The same decisions, so late that no machine is too slow for what must come before them."""
    for limit in ("NO_WORKER_GRACE_SECONDS", "LOST_MESSAGE_SECONDS", "DEADLINE_GRACE_SECONDS"):
        monkeypatch.setattr(rescue, limit, 600.0)


@pytest.fixture
def writer(valkey):
    made = StreamWriter(valkey)
    yield made
    made.close()


@pytest.fixture
def request_(valkey):
    made = make_request("Hello there")
    enter(made)
    return made


def die(request, writer, *events, worker="dead"):
    """The request was claimed by a worker that wrote `events` and is gone."""
    ledger.claim(broker(), request.id, 1, worker)
    stream = writer.open(request.id, 1, lambda: None)
    for event in (Started(worker), *events):
        writer.append(stream, event)
    wait_until(lambda: stream.settled)
    return stream


def go_on(queue, record, statuses):
    """What a sweep does with a request of the lost worker "dead" that another one could take."""
    if queue.rescuer._can_go_on(record, statuses, "dead"):
        queue.rescuer._give_to_another(record)


def age(request, seconds):
    """As if its last change of state were so long ago."""
    broker().hset(ledger.key(request.id), "since", time.time() - seconds)


def outcome(client, request):
    event = written(client, request.id)[-1].event
    return event.code if isinstance(event, Failed) else event.reason if isinstance(event, Finished) else event


class TestLeavingAlone:
    def test_nothing_to_do(self, queue: Queue):
        assert queue.rescuer.sweep() == 0

    def test_a_request_whose_worker_lives(self, valkey, queue: Queue, request_, writer):
        heartbeat("alive", "parrot", started_at=time.time() - 60)
        heartbeat("other", "parrot")
        die(request_, writer, Delta("half"), worker="alive")
        age(request_, 50)
        assert queue.rescuer.sweep() == 0
        assert (queue.published, queue.reports) == ([], [])

    def test_a_request_that_waits_in_a_queue(self, queue: Queue, request_):
        heartbeat("alive", "parrot")
        queue.length = 1
        age(request_, rescue.LOST_MESSAGE_SECONDS + 1)
        assert queue.rescuer.sweep() == 0

    def test_a_request_that_was_queued_a_moment_ago(self, queue: Queue, request_):
        heartbeat("alive", "parrot")
        assert queue.rescuer.sweep() == 0

    def test_a_request_whose_worker_is_being_restarted(self, queue: Queue, request_):
        age(request_, rescue.NO_WORKER_GRACE_SECONDS / 2)
        assert queue.rescuer.sweep() == 0


class TestGoingOn:
    def test_another_worker_is_given_the_text_so_far(self, valkey, queue: Queue, request_, writer):
        heartbeat("other", "parrot")
        die(request_, writer, Delta("Hel"), Delta("lo"))
        assert queue.rescuer.sweep() == 1
        assert queue.published == [(request_.id, 2)]
        assert queue.reports == []
        record = ledger.look_up(valkey, request_.id)
        assert record is not None
        assert (record.state, record.attempt, record.worker) == ("queued", 2, "")
        assert record.request == replace(request_, prefix="Hello")
        assert queue.rescuer.sweep() == 0, "once"

    def test_what_the_dead_one_still_writes_is_refused(self, valkey, queue: Queue, request_, writer):
        heartbeat("other", "parrot")
        zombie = die(request_, writer, Delta("Hel"))
        queue.rescuer.sweep()
        writer.append(zombie, Delta("lo"))
        writer.append(zombie, STOP)
        assert writer.wait_ended(zombie, PATIENCE)
        assert zombie.lost
        assert not ledger.finish(valkey, request_.id, 1)
        assert text_of(written(valkey, request_.id)) == "Hel"

    def test_the_one_restarted_under_the_name_of_the_dead_goes_on(self, queue: Queue, request_, writer):
        heartbeat("same-name", "parrot", started_at=time.time() - 60)
        die(request_, writer, Delta("Hel"), worker="same-name")
        assert queue.rescuer.sweep() == 0
        heartbeat("same-name", "parrot", started_at=time.time() + 1)
        assert queue.rescuer.sweep() == 1
        assert queue.published == [(request_.id, 2)]

    def test_not_for_ever(self, valkey, queue: Queue, request_, writer):
        heartbeat("other", "parrot")
        for attempt in range(1, rescue.MAX_ATTEMPTS):
            ledger.claim(valkey, request_.id, attempt, "dead")
            assert queue.rescuer.sweep() == 1
            assert queue.published[-1] == (request_.id, attempt + 1)
        ledger.claim(valkey, request_.id, rescue.MAX_ATTEMPTS, "dead")
        assert queue.rescuer.sweep() == 1
        assert len(queue.published) == rescue.MAX_ATTEMPTS - 1
        assert outcome(valkey, request_) is ErrorCode.WORKER_LOST

    def test_a_worker_of_another_chat_model_or_one_that_drains_is_no_help(
        self, valkey, queue: Queue, request_, writer
    ):
        heartbeat("lorem", "lorem")
        heartbeat("draining", "parrot", draining=True)
        die(request_, writer, Delta("Hel"))
        assert queue.rescuer.sweep() == 1
        assert queue.published == []
        assert outcome(valkey, request_) is ErrorCode.WORKER_LOST

    def test_a_lost_message_is_sent_again(self, valkey, queue: Queue, request_):
        heartbeat("alive", "parrot")
        age(request_, rescue.LOST_MESSAGE_SECONDS + 1)
        assert queue.rescuer.sweep() == 1
        assert queue.published == [(request_.id, 1)]
        assert queue.rescuer.sweep() == 0, "it is on its way"
        record = ledger.claim(valkey, request_.id, 1, "alive")
        assert record is not None
        assert record.request == request_

    def test_a_message_lost_among_many_is_found_while_the_queue_is_never_empty(self, valkey, queue: Queue):
        heartbeat("alive", "parrot")
        requests = [make_request() for _ in range(5)]
        for number, request in enumerate(requests):
            enter(request)
            age(request, rescue.LOST_MESSAGE_SECONDS + 60 - number)
        queue.length = 3
        assert queue.rescuer.sweep() == 2
        assert queue.published == [(request.id, 1) for request in requests[:2]], (
            "two are missing; the oldest, by guess"
        )
        queue.length = 5
        assert queue.rescuer.sweep() == 0

    def test_a_lost_message_of_a_later_attempt_keeps_the_text_so_far(
        self, valkey, queue: Queue, request_, writer
    ):
        heartbeat("other", "parrot")
        die(request_, writer, Delta("Hel"))
        queue.rescuer.sweep()
        age(request_, rescue.LOST_MESSAGE_SECONDS + 1)
        assert queue.rescuer.sweep() == 1
        assert queue.published == [(request_.id, 2), (request_.id, 2)]
        record = ledger.claim(valkey, request_.id, 2, "other")
        assert record is not None
        assert isinstance(record.request, GenerationRequest)
        assert record.request.prefix == "Hel"


class TestWhatCannotBeGoneOnWith:
    """A grammar would begin anew in the middle of the text; vectors that come twice do no harm."""

    def test_a_constrained_reply_that_has_begun_ends(self, valkey, queue: Queue, writer):
        request = make_request("Hi", constraint=Constraint("json_object"))
        enter(request)
        heartbeat("other", "parrot")
        die(request, writer, Delta('{"a'))
        queue.rescuer.sweep()
        assert queue.published == []
        assert outcome(valkey, request) == ErrorCode.WORKER_LOST
        assert [report.text for _, report in queue.reports] == ['{"a']

    def test_a_constrained_reply_that_has_not_begun_is_made_elsewhere(self, valkey, queue: Queue, writer):
        request = make_request("Hi", constraint=Constraint("json_object"))
        enter(request)
        heartbeat("other", "parrot")
        die(request, writer)
        queue.rescuer.sweep()
        assert queue.published == [(request.id, 2)]
        record = ledger.claim(valkey, request.id, 2, "other")
        assert record is not None
        assert record.request == request

    def test_vectors_are_made_elsewhere(self, valkey, queue: Queue, writer):
        request = EmbeddingRequest("e" * 32, "parrot", ("a", "b"), time.time() + 60, report_task="t")
        enter(request)
        heartbeat("other", "parrot")
        die(request, writer, Embedded(0, ("AAAA",)))
        queue.rescuer.sweep()
        assert queue.published == [(request.id, 2)]
        record = ledger.claim(valkey, request.id, 2, "other")
        assert record is not None
        assert record.request == request


class TestEnding:
    def test_a_reply_without_another_worker_fails_with_what_there_is(
        self, valkey, queue: Queue, request_, writer
    ):
        die(request_, writer, Delta("Hel"))
        assert queue.rescuer.sweep() == 1
        assert written(valkey, request_.id)[-1].event == rescue.LOST
        assert text_of(written(valkey, request_.id)) == "Hel"
        assert queue.reports == [("tests.report", Report.of(request_, "Hel", rescue.LOST, "dead"))]
        assert ledger.state(valkey, request_.id) == "done"
        assert queue.rescuer.sweep() == 0

    def test_a_reply_whose_worker_died_right_behind_its_last_word_is_whole(
        self, valkey, queue: Queue, request_, writer
    ):
        heartbeat("other", "parrot")
        die(request_, writer, Delta("Hello"), STOP)
        assert queue.rescuer.sweep() == 1
        assert queue.published == []
        assert queue.reports == [("tests.report", Report.of(request_, "Hello", STOP, "dead"))]
        assert [entry.event for entry in written(valkey, request_.id)] == [
            Started("dead"),
            Delta("Hello"),
            STOP,
        ]

    def test_a_rescuer_that_died_half_way_is_made_good(
        self, valkey, queue: Queue, request_, writer, monkeypatch
    ):
        heartbeat("other", "parrot")
        die(request_, writer, Delta("Hel"))
        streams.append_last(valkey, request_.id, 1, rescue.LOST)  # and no more
        assert queue.rescuer.sweep() == 1
        assert queue.published == []
        assert [report.outcome for _, report in queue.reports] == ["worker_lost"]

    def test_a_request_cancelled_in_the_queue(self, valkey, queue: Queue, request_):
        heartbeat("alive", "parrot")
        queue.length = 1
        ledger.cancel(valkey, request_.id)
        assert queue.rescuer.sweep() == 1
        assert outcome(valkey, request_) is FinishReason.CANCELLED
        assert [report.outcome for _, report in queue.reports] == ["cancelled"]
        assert ledger.claim(valkey, request_.id, 1, "alive") is None

    def test_a_running_request_is_cancelled_by_its_worker_only(self, valkey, queue: Queue, request_, writer):
        heartbeat("alive", "parrot", started_at=time.time() - 60)
        die(request_, writer, worker="alive")
        ledger.cancel(valkey, request_.id)
        assert queue.rescuer.sweep() == 0

    @pytest.mark.parametrize("state", ["queued", "running"])
    def test_a_request_past_its_deadline(self, valkey, queue: Queue, writer, state):
        heartbeat("alive", "parrot", started_at=time.time() - 60)
        request = make_request(deadline=time.time() - rescue.DEADLINE_GRACE_SECONDS - 1)
        enter(request)
        if state == "running":
            die(request, writer, Delta("Hel"), worker="alive")
        assert queue.rescuer.sweep() == 1
        assert outcome(valkey, request) is ErrorCode.DEADLINE
        assert [report.outcome for _, report in queue.reports] == ["deadline"]

    def test_a_worker_gets_a_moment_to_end_it_itself(self, queue: Queue):
        heartbeat("alive", "parrot")
        enter(make_request(deadline=time.time() - rescue.DEADLINE_GRACE_SECONDS / 2))
        assert queue.rescuer.sweep() == 0

    def test_a_request_that_no_worker_comes_for(self, valkey, queue: Queue, request_):
        heartbeat("lorem", "lorem")
        age(request_, rescue.NO_WORKER_GRACE_SECONDS + 1)
        assert queue.rescuer.sweep() == 1
        assert outcome(valkey, request_) is ErrorCode.NO_WORKER
        assert [report.outcome for _, report in queue.reports] == ["no_worker"]

    def test_nobody_is_told_of_a_request_without_a_report_task(self, valkey, queue: Queue, writer):
        request = make_request(report_task="")
        enter(request)
        die(request, writer)
        assert queue.rescuer.sweep() == 1
        assert queue.reports == []
        assert outcome(valkey, request) is ErrorCode.WORKER_LOST


class TestManyAtOnce:
    def test_two_rescuers_end_it_once(self, valkey, queue: Queue, request_, writer):
        die(request_, writer, Delta("Hel"))
        at_once(8, lambda number: queue.rescuer.sweep())
        assert len(queue.reports) == 1
        assert [entry.event for entry in written(valkey, request_.id)][-2:] == [Delta("Hel"), rescue.LOST]

    def test_two_rescuers_give_it_away_once(self, valkey, queue: Queue, request_, writer):
        heartbeat("other", "parrot")
        die(request_, writer, Delta("Hel"))
        at_once(8, lambda number: queue.rescuer.sweep())
        assert queue.published == [(request_.id, 2)]
        assert queue.reports == []

    @pytest.mark.parametrize("step", ["requeue", "take_over", "append_last", "finish", "renew"])
    def test_one_that_wants_to_go_on_and_one_that_wants_to_end(
        self, valkey, queue: Queue, request_, writer, monkeypatch, step
    ):
        """The two meet at every step of each; whatever comes first, the request has one fate."""
        die(request_, writer, Delta("Hel"))
        record = ledger.glance(valkey, [request_.id])[request_.id]
        with_other = [heartbeat("other", "parrot")]
        module = ledger if step in {"requeue", "finish", "renew"} else streams
        real, entered = getattr(module, step), threading.Lock()

        def meet(*arguments):
            if entered.acquire(
                blocking=False
            ):  # the first to come here lets the other one do all of its work
                go_on(queue, record, with_other)
                queue.rescuer._end(record, rescue.LOST)
            return real(*arguments)

        monkeypatch.setattr(module, step, meet)
        if step in {"requeue", "take_over", "renew"}:
            go_on(queue, record, with_other)
        else:
            queue.rescuer._end(record, rescue.LOST)

        events = [entry.event for entry in written(valkey, request_.id)]
        if queue.published:
            assert queue.reports == []
            assert ledger.state(valkey, request_.id) == "queued"
            assert rescue.LOST not in events
            assert len(queue.published) == len(set(queue.published)) == 1
        else:
            assert len(queue.reports) == 1
            assert ledger.state(valkey, request_.id) == "done"
            assert events[-1] == rescue.LOST

    def test_a_worker_that_claims_while_the_queue_s_cancellation_is_served(
        self, valkey, queue: Queue, request_, workers
    ):
        engine = ScriptedEngine("parrot", Script.parse("rate=100&tokens=10000"))
        worker = workers("one", engine)
        ledger.cancel(valkey, request_.id)
        record = ledger.glance(valkey, [request_.id])[request_.id]
        thread = worker.work_on(request_.id)
        queue.rescuer._end(record, Finished(FinishReason.CANCELLED))
        thread.join(PATIENCE)
        assert not thread.is_alive()
        assert len(queue.reports) + len(worker.reports) == 1
        events = [entry.event for entry in written(valkey, request_.id)]
        assert sum(isinstance(event, Finished) for event in events) == 1


class TestTrouble:
    def test_a_request_nobody_can_read_does_not_stop_the_others(
        self, valkey, queue: Queue, request_, writer, caplog
    ):
        bad = make_request("secret words")
        enter(bad)
        valkey.hset(ledger.key(bad.id), "payload", '{"messages": "secret words"}')
        valkey.hset(ledger.key(bad.id), "deadline", 1)
        valkey.zadd(ledger.IN_FLIGHT, {bad.id: 0})  # the first to be looked at
        die(request_, writer)
        assert queue.rescuer.sweep() == 2
        assert outcome(valkey, request_) is ErrorCode.WORKER_LOST
        assert outcome(valkey, bad) is ErrorCode.INVALID_REQUEST
        assert ledger.in_flight(valkey) == []
        assert "secret" not in caplog.text

    def test_one_that_ended_in_this_moment_stays_known_as_ended(self, valkey, queue: Queue, request_):
        ledger.finish(valkey, request_.id, 1)
        valkey.zadd(ledger.IN_FLIGHT, {request_.id: 1})
        assert queue.rescuer.sweep() == 0
        assert ledger.state(valkey, request_.id) == "done"
        assert ledger.in_flight(valkey) == []

    def test_a_request_that_was_forgotten_is_dropped(self, valkey, queue: Queue):
        valkey.zadd(ledger.IN_FLIGHT, {"forgotten": 1})
        assert queue.rescuer.sweep() == 0
        assert ledger.in_flight(valkey) == []

    def test_one_that_cannot_be_published_does_not_stop_the_others(
        self, valkey, queue: Queue, request_, writer, monkeypatch
    ):
        heartbeat("other", "parrot")
        second = make_request()
        enter(second)
        for each in (request_, second):
            die(each, writer)
        published: list[str] = []

        def publish(request_id, attempt, chat_model):
            if not published:
                published.append("broken")
                raise RuntimeError("secret")
            published.append(request_id)

        monkeypatch.setattr(queue.rescuer, "_publish", publish)
        assert queue.rescuer.sweep() == 1
        assert published == ["broken", second.id]
        # The first one is queued without a message now, which the next sweeps find.
        age(request_, rescue.LOST_MESSAGE_SECONDS + 1)
        assert queue.rescuer.sweep() == 1
        assert published[2:] == [request_.id]


class TestHandingOver:
    def test_an_unknown_or_ended_request_is_not_handed_over(self, valkey, queue: Queue, request_):
        heartbeat("other", "parrot")
        ledger.finish(valkey, request_.id, 1)
        assert not queue.rescuer.hand_over(request_.id, by="one")
        assert not queue.rescuer.hand_over("unknown", by="one")

    def test_not_to_itself(self, queue: Queue, request_, valkey):
        heartbeat("one", "parrot", started_at=time.time() - 60)
        ledger.claim(valkey, request_.id, 1, "one")
        assert not queue.rescuer.hand_over(request_.id, by="one")
        heartbeat("two", "parrot")
        assert queue.rescuer.hand_over(request_.id, by="one")


def heard_more_than(client, request, words):
    return len(streams.text_so_far(client, request.id).split()) > words


WORDS = " ".join(f"word{number}" for number in range(60))


def test_a_follower_sees_one_text_through_two_deaths(valkey, queue: Queue, workers):
    """Three workers, of which two stop beating in mid-reply but write on; the follower must notice nothing."""
    names = ["one", "two", "three"]
    engines = {name: Halting(f"reply={WORDS}", words=20) for name in names}
    fleet_ = {name: workers(name, engines[name]) for name in names}
    request = make_request()
    enter(request)
    heard: list[Entry] = []
    thread = None

    def listen():
        heard.extend(follow.follow(request.id))

    listener = threading.Thread(target=listen)
    listener.start()
    fleet_["one"].work_on(request.id, 1)
    for attempt, (dies, heir) in enumerate([("one", "two"), ("two", "three")], start=2):
        wait_until(partial(heard_more_than, valkey, request, attempt * 8))
        fleet_[dies].stop_beating()
        assert queue.rescuer.sweep() == 1
        assert queue.published[-1] == (request.id, attempt)
        engines[dies].go_on.set()
        thread = fleet_[heir].work_on(request.id, attempt)
    engines["three"].go_on.set()
    assert thread is not None
    thread.join(PATIENCE)
    listener.join(PATIENCE)

    assert text_of(heard) == WORDS
    assert [entry.seq for entry in heard] == sorted((entry.seq for entry in heard), key=streams.order)
    last = heard[-1].event
    assert isinstance(last, Finished)
    assert last.usage.completion_tokens == 60
    assert sum(isinstance(entry.event, Finished | Failed) for entry in heard) == 1
    for name in names:
        fleet_[name].wait()
    reports = [report for name in names for _, report in fleet_[name].reports]
    assert [(report.text, report.worker, report.outcome) for report in reports] == [(WORDS, "three", "stop")]
    assert queue.reports == []


def test_a_worker_that_was_killed_is_missed_within_ten_seconds(settings):
    # What the flow of a killed worker does not measure, since no machine is quick enough at all times.
    looks = settings.CELERY_BEAT_SCHEDULE["reap lost requests"]["schedule"]
    assert fleet.EXPIRY_SECONDS + looks < 10
