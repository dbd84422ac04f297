import json
import logging
import sys
import threading
import time
from typing import Any

import pytest
import redis

from tests.workers.support import PATIENCE, at_once, text_of, wait_until, written
from workers import streams
from workers.connections import broker
from workers.protocol import Delta, ErrorCode, Failed, Finished, FinishReason, Started, StreamEvent
from workers.streams import StreamWriter

STOP = Finished(FinishReason.STOP)
CANCELLED = Finished(FinishReason.CANCELLED)
FAILED = Failed(ErrorCode.WORKER_LOST, "gone")


def fail_if_lost():
    raise AssertionError("the stream was taken for lost")


@pytest.fixture
def writer(valkey):
    made = StreamWriter(valkey)
    yield made
    made.close()


@pytest.fixture
def rare(valkey):
    """A writer that flushes so rarely that only what need not wait for it leaves within a test."""
    made = StreamWriter(valkey, floor=600, cap=600)
    yield made
    made.close()


def write(writer, request_id, *events, attempt=1, on_lost=fail_if_lost):
    stream = writer.open(request_id, attempt, on_lost)
    for event in events:
        writer.append(stream, event)
    return stream


class TestOrder:
    def test_it_sorts_by_attempt_and_number(self):
        seqs = ["2-1", "", "1-10", "1-9", "10-0"]
        assert sorted(seqs, key=streams.order) == ["", "1-9", "1-10", "2-1", "10-0"]

    @pytest.mark.parametrize(
        "seq",
        [
            "x",
            "1",
            "1-",
            "-1",
            "1-2-3",
            "1-x",
            " 1-2",
            "1-2\n",
            "1_0-1",
            "+1-1",
            "１-２",
            "$",
            "+",
            ">",
            "1-" + "9" * 20,
        ],
    )
    def test_it_refuses_anything_else(self, seq):
        with pytest.raises(ValueError, match="resume point"):
            streams.order(seq)


class TestJoiningDeltas:
    def test_it_joins_neighbours_only(self):
        events: list[StreamEvent] = [
            Delta("a"),
            Delta("b"),
            Started("w"),
            Delta("c"),
            Delta("d"),
            Delta("e"),
            STOP,
        ]
        assert streams.join_neighbours(events) == [Delta("ab"), Started("w"), Delta("cde"), STOP]

    def test_it_leaves_nothing_out(self):
        assert streams.join_neighbours([]) == []
        assert streams.join_neighbours([Delta("a")]) == [Delta("a")]


class TestWriting:
    def test_it_keeps_the_order_and_the_text(self, valkey, writer):
        words = [f"w{number} 😀\n" for number in range(500)]
        stream = write(writer, "r", Started("w"), *map(Delta, words), STOP)
        assert writer.wait_ended(stream, PATIENCE)

        entries = written(valkey, "r")
        assert entries[0].event == Started("w")
        assert entries[-1].event == STOP
        assert text_of(entries) == "".join(words)
        assert [entry.seq for entry in entries] == [f"1-{number + 1}" for number in range(len(entries))]

    def test_it_joins_what_comes_between_two_flushes(self, valkey, rare):
        stream = write(rare, "r", Started("w"), *[Delta("x")] * 1000, STOP)
        assert rare.wait_ended(stream, PATIENCE)
        assert len(written(valkey, "r")) < 20
        assert text_of(written(valkey, "r")) == "x" * 1000

    def test_the_news_of_the_start_leaves_with_the_first_delta(self, valkey, writer, monkeypatch):
        monkeypatch.setattr(streams, "STARTED_PATIENCE", 60)
        sent = []
        as_ever = writer._send

        def send(batch):
            sent.append(len(batch))
            return as_ever(batch)

        monkeypatch.setattr(writer, "_send", send)
        stream = write(writer, "r", Started("w"), Delta("x"))
        wait_until(lambda: stream.settled)
        assert [entry.event for entry in written(valkey, "r")] == [Started("w"), Delta("x")]
        assert sent == [1]

    def test_the_news_of_the_start_leaves_alone_when_the_first_delta_is_long_in_coming(self, valkey, writer):
        stream = write(writer, "r", Started("w"))
        wait_until(lambda: stream.settled)
        assert [entry.event for entry in written(valkey, "r")] == [Started("w")]

    def test_it_can_be_read_again_from_any_entry(self, valkey, writer):
        stream = writer.open("r", 1, fail_if_lost)
        for number in range(10):
            writer.append(stream, Delta(f"{number} "))
            wait_until(lambda: stream.settled)
        writer.append(stream, STOP)
        assert writer.wait_ended(stream, PATIENCE)

        whole = written(valkey, "r")
        assert len(whole) == 11
        for place, entry in enumerate(whole):
            assert streams.read(valkey, "r", entry.seq) == whole[place + 1 :]

    def test_many_threads_and_streams_do_not_mix(self, valkey, writer):
        def run(number):
            events = [Delta(f"{number}:{count} ") for count in range(200)]
            return writer.wait_ended(write(writer, f"r{number}", Started("w"), *events, STOP), PATIENCE)

        assert all(at_once(32, run))
        for number in range(32):
            assert text_of(written(valkey, f"r{number}")) == "".join(
                f"{number}:{count} " for count in range(200)
            )

    def test_a_stream_goes_away_by_itself(self, valkey, writer):
        stream = write(writer, "r", Started("w"), Delta("x"))
        wait_until(lambda: stream.settled)
        assert 23 * 3600 < valkey.ttl(streams.stream_key("r")) <= streams.KEEP_UNFINISHED_SECONDS
        writer.append(stream, STOP)
        assert writer.wait_ended(stream, PATIENCE)
        assert 3000 < valkey.ttl(streams.stream_key("r")) <= streams.KEEP_FINISHED_SECONDS

    def test_half_a_surrogate_pair_harms_nobody(self, valkey, writer):
        one = write(writer, "one", Delta("a\ud83d"), STOP)
        two = write(writer, "two", Delta("fine"), STOP)
        assert writer.wait_ended(one, PATIENCE)
        assert writer.wait_ended(two, PATIENCE)
        assert (text_of(written(valkey, "one")), text_of(written(valkey, "two"))) == ("a?", "fine")

    def test_close_writes_what_is_pending_and_may_be_called_twice(self, valkey):
        writer = StreamWriter(valkey, floor=600, cap=600)
        stream = write(writer, "r", Started("w"), Delta("a"))
        wait_until(lambda: stream.settled)
        writer.append(stream, Delta("b"))
        writer.close()
        writer.close()
        assert text_of(written(valkey, "r")) == "ab"


def has_waiters(event: Any) -> bool:
    return bool(event._cond._waiters)


class TestPace:
    def test_neither_the_first_delta_nor_the_end_waits_for_the_flush(self, valkey, rare):
        other = write(rare, "other", Started("w"), Delta("a"))
        wait_until(lambda: other.settled)

        stream = write(rare, "r", Started("w"), Delta("first"))
        wait_until(lambda: stream.settled)
        rare.append(stream, Delta("second"))
        time.sleep(0.05)
        assert not stream.settled
        rare.append(stream, STOP)
        assert rare.wait_ended(stream, PATIENCE)
        assert text_of(written(valkey, "r")) == "firstsecond"

    def test_a_delta_after_a_pause_leaves_at_once(self, valkey):
        writer = StreamWriter(valkey, floor=0.05, cap=0.05)
        stream = write(writer, "r", Started("w"), Delta("a"))
        wait_until(lambda: stream.settled and has_waiters(writer._work))  # it has nothing to do
        writer._floor = writer._cap = 600
        writer.append(stream, Delta("b"))
        wait_until(lambda: stream.settled)
        writer.close()

    def test_the_interval_grows_with_the_open_streams_and_is_capped(self, writer):
        assert writer.interval == pytest.approx(0.08)
        some = [writer.open(f"r{number}", 1, fail_if_lost) for number in range(50)]
        assert writer.interval == pytest.approx(0.085)
        more = [writer.open(f"s{number}", 1, fail_if_lost) for number in range(400)]
        assert writer.interval == pytest.approx(0.09)
        for stream in some + more:
            writer.append(stream, STOP)
        wait_until(lambda: writer.interval == pytest.approx(0.08))

    def test_a_stream_that_is_computed_on_the_processor_is_flushed_less_often(self, writer):
        quick = writer.open("quick", 1, fail_if_lost)
        slow = writer.open("slow", 1, fail_if_lost, on_processor=True)
        assert writer.interval == pytest.approx(0.12)
        others = [writer.open(f"r{number}", 1, fail_if_lost, on_processor=True) for number in range(20)]
        assert writer.interval == pytest.approx(0.2)
        for stream in (slow, *others[3:]):
            writer.append(stream, STOP)
        wait_until(lambda: writer.interval == pytest.approx(0.14))
        for stream in others[:3]:
            writer.append(stream, STOP)
        wait_until(lambda: writer.interval == pytest.approx(0.0801))
        writer.append(quick, STOP)

    def test_streams_may_come_while_the_writer_thinks_of_its_pace(self, writer):
        for number in range(300):
            writer.open(f"r{number}", 1, fail_if_lost, on_processor=True)
        before, done = sys.getswitchinterval(), threading.Event()

        def come():
            for number in range(3000):
                writer.open(f"s{number}", 1, fail_if_lost, on_processor=True)
            done.set()

        sys.setswitchinterval(1e-6)
        try:
            threading.Thread(target=come).start()
            while not done.is_set():
                assert writer.interval == pytest.approx(0.2)
        finally:
            sys.setswitchinterval(before)

    def test_lost_and_released_streams_are_no_longer_open(self, valkey, writer):
        streams.take_over(valkey, "lost", 2)
        write(writer, "lost", Started("w"), on_lost=lambda: None)
        released = write(writer, "released", Started("w"))
        writer.release(released, PATIENCE)
        wait_until(lambda: writer.interval == pytest.approx(0.08))


class TestFencing:
    def test_a_zombie_is_refused_and_told_once(self, valkey, writer):
        lost = []
        zombie = write(writer, "r", Started("one"), Delta("one "), on_lost=lambda: lost.append(1))
        wait_until(lambda: zombie.settled)

        assert streams.take_over(valkey, "r", 2)
        assert streams.text_so_far(valkey, "r") == "one "
        for _ in range(5):
            writer.append(zombie, Delta("zombie "))
            time.sleep(0.03)
        writer.append(zombie, STOP)
        assert writer.wait_ended(zombie, PATIENCE)
        assert lost == [1]
        assert zombie.lost
        assert text_of(written(valkey, "r")) == "one "

        heir = write(writer, "r", Started("two", 2), Delta("two"), STOP, attempt=2)
        assert writer.wait_ended(heir, PATIENCE)
        assert [entry.event for entry in written(valkey, "r")] == [
            Started("one"),
            Delta("one "),
            Started("", 2),
            Started("two", 2),
            Delta("two"),
            STOP,
        ]

    def test_two_attempts_in_one_process_do_not_disturb_each_other(self, valkey, writer):
        # A worker that was taken for dead is given its own request again.
        lost = threading.Event()
        zombie = write(writer, "r", Started("w"), Delta("one "), on_lost=lost.set)
        wait_until(lambda: zombie.settled)
        streams.take_over(valkey, "r", 2)
        heir = writer.open("r", 2, fail_if_lost)
        for number in range(50):
            writer.append(heir, Delta(f"{number} "))
            writer.append(zombie, Delta("zombie "))
        writer.append(heir, STOP)
        writer.append(zombie, STOP)
        assert writer.wait_ended(heir, PATIENCE)
        assert writer.wait_ended(zombie, PATIENCE)
        assert lost.is_set()
        assert text_of(written(valkey, "r")) == "one " + "".join(f"{number} " for number in range(50))

    def test_taking_over_twice_is_once(self, valkey):
        assert streams.take_over(valkey, "r", 2)
        assert streams.take_over(valkey, "r", 2)
        assert [entry.seq for entry in written(valkey, "r")] == ["2-0"]
        assert streams.take_over(valkey, "r", 3)
        assert not streams.take_over(valkey, "r", 2)

    def test_an_ended_stream_takes_nothing_more(self, valkey, writer):
        assert writer.wait_ended(write(writer, "r", Delta("a"), STOP), PATIENCE)
        assert not streams.take_over(valkey, "r", 2)
        assert streams.append_last(valkey, "r", 1, FAILED) == STOP
        assert streams.append_last(valkey, "r", 2, FAILED) == STOP
        lost = threading.Event()
        assert writer.wait_ended(write(writer, "r", Started("w", 3), attempt=3, on_lost=lost.set), PATIENCE)
        assert lost.is_set()
        assert [entry.event for entry in written(valkey, "r")] == [Delta("a"), STOP]

    def test_a_stream_that_is_ended_from_outside_is_closed_to_its_worker(self, valkey, writer):
        lost = threading.Event()
        stream = write(writer, "r", Started("w"), Delta("a"), on_lost=lost.set)
        wait_until(lambda: stream.settled)
        assert streams.append_last(valkey, "r", 1, CANCELLED) == CANCELLED
        writer.append(stream, Delta("b"))
        assert lost.wait(PATIENCE)
        assert [entry.event for entry in written(valkey, "r")] == [Started("w"), Delta("a"), CANCELLED]

    def test_an_outsider_cannot_end_a_stream_that_another_attempt_goes_on_with(self, valkey):
        streams.take_over(valkey, "r", 2)
        assert streams.append_last(valkey, "r", 1, FAILED) is None
        assert streams.last_event(valkey, "r") == Started("", 2)

    def test_of_many_who_end_a_stream_all_are_told_the_same_event(self, valkey):
        events = [Failed(ErrorCode.WORKER_LOST, f"number {number}") for number in range(20)]
        told = at_once(20, lambda number: streams.append_last(broker(), "r", 1, events[number]))
        assert len(written(valkey, "r")) == 1
        assert all(event == written(valkey, "r")[0].event for event in told)

    def test_it_can_end_a_stream_in_which_nothing_was_written(self, valkey):
        assert streams.append_last(valkey, "r", 1, FAILED) == FAILED
        assert valkey.ttl(streams.stream_key("r")) <= streams.KEEP_FINISHED_SECONDS


class Deaf:
    """A connection to `client` whose pipelines are executed, but whose answers get lost on the way.

    Those of the next `deaf` ones, or of all while it is `cut`.
    """

    def __init__(self, client):
        self._client, self.deaf, self.cut, self.sent = client, 0, False, 0

    def __getattr__(self, name):
        return getattr(self._client, name)

    def pipeline(self, **options):
        pipeline = self._client.pipeline(**options)
        execute = pipeline.execute

        def lose_the_answer(**values):
            lost = self.cut or self.deaf > 0  # before anybody sees what was written
            answer = execute(**values)
            self.sent += 1
            if lost:
                self.deaf -= not self.cut
                raise redis.ConnectionError("the connection broke")
            return answer

        pipeline.execute = lose_the_answer
        return pipeline


class TestBrokenConnections:
    @pytest.fixture
    def deaf(self, valkey, monkeypatch):
        monkeypatch.setattr(streams, "RETRY_SECONDS", 0.02)
        return Deaf(valkey)

    def test_what_was_sent_twice_is_written_once(self, valkey, deaf):
        writer = StreamWriter(deaf)
        stream = write(writer, "r", Started("w"))
        wait_until(lambda: stream.settled)
        deaf.deaf = 3
        for number in range(5):
            writer.append(stream, Delta(f"{number} "))
            time.sleep(0.015)  # more comes in while the first is tried again
        writer.append(stream, STOP)
        assert writer.wait_ended(stream, PATIENCE)
        writer.close()
        assert deaf.deaf == 0
        assert text_of(written(valkey, "r")) == "0 1 2 3 4 "
        assert not stream.lost

    def test_a_last_event_that_was_sent_twice_is_no_take_over(self, valkey, deaf):
        writer = StreamWriter(deaf)
        deaf.deaf = 2
        stream = write(writer, "r", Started("w"), Delta("a"), STOP)
        assert writer.wait_ended(stream, PATIENCE)
        writer.close()
        assert not stream.lost
        assert [entry.event for entry in written(valkey, "r")] == [Started("w"), Delta("a"), STOP]

    def test_a_take_over_behind_a_lost_answer_is_noticed(self, valkey, deaf):
        lost = threading.Event()
        writer = StreamWriter(deaf)
        stream = write(writer, "r", Delta("a"), on_lost=lost.set)
        wait_until(lambda: stream.settled)
        deaf.cut = True
        writer.append(stream, Delta("b"))
        wait_until(lambda: streams.text_so_far(valkey, "r") == "ab")
        streams.take_over(valkey, "r", 2)
        deaf.cut = False
        assert lost.wait(PATIENCE)
        writer.close()
        assert streams.text_so_far(valkey, "r") == "ab"

    def test_a_broker_without_memory_for_more_is_asked_again(self, valkey, writer, monkeypatch, caplog):
        monkeypatch.setattr(streams, "RETRY_SECONDS", 0.02)
        stream = write(writer, "r", Started("w"), Delta("a"))
        wait_until(lambda: stream.settled)
        with caplog.at_level(logging.WARNING):
            valkey.config_set("maxmemory", 1)
            try:
                writer.append(stream, Delta("secret "))
                writer.append(stream, Delta("b"))
                time.sleep(0.1)
                assert not stream.settled
            finally:
                valkey.config_set("maxmemory", 0)
            writer.append(stream, STOP)
            assert writer.wait_ended(stream, PATIENCE)
        assert text_of(written(valkey, "r")) == "asecret b"
        assert len(caplog.records) == 1, "one line for a row of failures"
        assert "secret" not in caplog.text

    def test_a_stream_that_cannot_be_written_does_not_hold_up_the_others(self, valkey, writer, monkeypatch):
        monkeypatch.setattr(streams, "RETRY_SECONDS", 0.02)
        valkey.set(streams.stream_key("bad"), "not a stream")
        bad = write(writer, "bad", Started("w"), STOP)
        good = write(writer, "good", Started("w"), STOP)
        assert writer.wait_ended(good, PATIENCE)
        assert not bad.ended.is_set()
        valkey.delete(streams.stream_key("bad"))
        assert writer.wait_ended(bad, PATIENCE)

    def test_the_writer_outlives_any_error(self, valkey, monkeypatch):
        monkeypatch.setattr(streams, "RETRY_SECONDS", 0.02)
        writer = StreamWriter(valkey)
        send, calls = writer._send, []

        def break_first(batch):
            calls.append(1)
            if len(calls) < 3:
                raise RuntimeError("secret")
            return send(batch)

        monkeypatch.setattr(writer, "_send", break_first)
        assert writer.wait_ended(write(writer, "r", Delta("a"), STOP), PATIENCE)
        writer.close()
        assert text_of(written(valkey, "r")) == "a"

    def test_a_broker_that_has_forgotten_the_scripts_is_told_them(self, valkey, writer):
        stream = write(writer, "r", Started("w"), Delta("a"))
        wait_until(lambda: stream.settled)
        valkey.script_flush()
        writer.append(stream, Delta("b"))
        writer.append(stream, STOP)
        assert writer.wait_ended(stream, PATIENCE)
        assert text_of(written(valkey, "r")) == "ab"

    def test_a_broker_that_has_forgotten_the_stream_gets_the_rest(self, valkey, writer):
        stream = write(writer, "r", Started("w"), Delta("a"))
        wait_until(lambda: stream.settled)
        valkey.flushall()
        writer.append(stream, Delta("b"))
        wait_until(lambda: stream.settled)
        # A follower that has had 1-1 and 1-2 goes on without a gap, and the key does not stay for ever.
        assert text_of(streams.read(valkey, "r", "1-2")) == "b"
        assert valkey.ttl(streams.stream_key("r")) > 0

    def test_a_restart_of_the_broker_loses_nothing(self, server, monkeypatch):
        monkeypatch.setattr(streams, "RETRY_SECONDS", 0.02)
        writer = StreamWriter(broker())
        stream = writer.open("r", 1, fail_if_lost)
        words = [f"w{number} " for number in range(60)]
        for number, word in enumerate(words):
            if number == 20:
                server.kill()
            if number == 40:
                server.start()
            writer.append(stream, Delta(word))
            time.sleep(0.005)
        writer.append(stream, STOP)
        assert writer.wait_ended(stream, PATIENCE)
        writer.close()
        assert text_of(written(broker(), "r")) == "".join(words)

    def test_close_gives_up_on_a_broker_that_stays_away(self, server, monkeypatch):
        monkeypatch.setattr(streams, "RETRY_SECONDS", 0.02)
        writer = StreamWriter(redis.Redis.from_url(server.url, retry=None))
        stream = writer.open("r", 1, fail_if_lost)
        server.kill()
        writer.append(stream, Delta("a"))
        writer.close(timeout=0.2)
        writer._thread.join(PATIENCE)
        assert not writer._thread.is_alive()
        assert not writer.wait_ended(stream, 0)


class TestReleasing:
    def test_it_leaves_the_stream_open_with_everything_written(self, valkey, writer):
        stream = write(writer, "r", Started("w"), *map(Delta, "abcdef"))
        assert writer.release(stream, PATIENCE)
        assert streams.text_so_far(valkey, "r") == "abcdef"
        assert isinstance(streams.last_event(valkey, "r"), Delta)

    def test_it_says_when_the_broker_is_away(self, server):
        writer = StreamWriter(redis.Redis.from_url(server.url, retry=None))
        stream = writer.open("r", 1, fail_if_lost)
        server.kill()
        writer.append(stream, Delta("a"))
        assert not writer.release(stream, 0.1)
        writer.close(0.1)

    def test_a_stream_without_pending_events_is_released_at_once(self, writer):
        stream = write(writer, "r", Started("w"))
        wait_until(lambda: stream.settled)
        assert writer.release(stream, 0)


def test_an_entry_that_cannot_be_read_ends_the_stream_for_its_reader(valkey, caplog):
    valkey.xadd(streams.stream_key("r"), {"t": "delta", "d": "a"}, id="1-1")
    valkey.xadd(streams.stream_key("r"), {"t": "thought", "j": json.dumps({"secret": 1})}, id="1-2")
    first, second = written(valkey, "r")
    assert first.event == Delta("a")
    assert isinstance(second.event, Failed)
    assert second.event.code is ErrorCode.ENGINE_FAILURE
    assert "secret" not in caplog.text


def test_reading_waits_for_an_entry_but_not_for_ever(valkey, writer):
    began = time.monotonic()
    assert streams.read(valkey, "r", block_ms=50) == []
    assert time.monotonic() - began > 0.04
    later = threading.Timer(0.05, write, args=(writer, "r", Delta("a")))
    later.start()
    while not (heard := streams.read(valkey, "r", block_ms=5000)):
        assert time.monotonic() - began < PATIENCE
    later.join(PATIENCE)
    assert text_of(heard) == "a"
