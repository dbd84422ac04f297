import asyncio
import gc
import threading
import time
from dataclasses import replace
from typing import Any

import pytest
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.fakes import enter, heartbeat
from tests.workers.support import PATIENCE, hosted, make_request, text_of, wait_until
from workers import client, connections, fleet, follow, ledger, streams
from workers.connections import broker, new_async_broker
from workers.protocol import Delta, ErrorCode, Failed, Finished, FinishReason, Started, StreamEvent, Waiting
from workers.streams import StreamWriter

EXPIRY_SECONDS = fleet.EXPIRY_SECONDS  # tests make it longer
STOP = Finished(FinishReason.STOP)
WORDS = [f"w{number} " for number in range(30)]


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """The same decisions, sooner."""
    monkeypatch.setattr(follow, "FIRST_CHECK_SECONDS", 0.05)
    monkeypatch.setattr(follow, "CHECK_SECONDS", 0.1)
    monkeypatch.setattr(follow, "BLOCK_MS", 300)
    monkeypatch.setattr(follow, "LINGER_SECONDS", 0.02)


@pytest.fixture
def writer(valkey):
    made = StreamWriter(valkey)
    yield made
    made.close()


@pytest.fixture
def request_(valkey):
    made = make_request()
    enter(made)
    return made


class Slowly:
    """Writes a stream word by word from a thread of its own."""

    def __init__(self, writer, request_id, words=WORDS, pause=0.005):
        self._writer, self._words, self._pause = writer, words, pause
        self.stream = writer.open(request_id, 1, lambda: None)
        self._thread = threading.Thread(target=self._run)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *exception):
        self._thread.join()

    def _run(self):
        self._writer.append(self.stream, Started("w"))
        for word in self._words:
            self._writer.append(self.stream, Delta(word))
            time.sleep(self._pause)
        self._writer.append(self.stream, STOP)


def write_whole(writer, request_id, words=WORDS):
    """A finished stream with an entry for each word."""
    stream = writer.open(request_id, 1, lambda: None)
    for event in (Started("w"), *map(Delta, words), STOP):
        writer.append(stream, event)
        wait_until(lambda: stream.settled)


def write_in_one_go(client, request_id, text):
    """A finished stream, of which no follower sees a part only, however busy the machine is."""
    events: list[StreamEvent] = [Started("w"), Delta(text), STOP]
    _, *arguments = streams._append_arguments(request_id, 1, 1, events)
    assert client.eval(streams._APPEND, *arguments)


def written(entries):
    """Without what a follower is told beside the stream."""
    return [entry for entry in entries if not isinstance(entry.event, Waiting)]


async def collect(request_id, after=""):
    return [entry async for entry in follow.afollow(request_id, after)]


@pytest.fixture(params=["threads", "event loop"])
def collected(request):
    """Follow to the end, in a thread's way and in the event loop's."""
    if request.param == "threads":
        return lambda request_id, after="": list(follow.follow(request_id, after))
    return lambda request_id, after="": asyncio.run(collect(request_id, after))


class Looks(list[Any]):
    """What followers have seen when they looked; `afterwards(how many)` is called behind each look."""

    @staticmethod
    def afterwards(number):
        pass


@pytest.fixture
def looks(monkeypatch):
    seen, real = Looks(), follow.look

    def look(*arguments):
        found = real(*arguments)
        seen.append(found)
        seen.afterwards(len(seen))
        return found

    monkeypatch.setattr(follow, "look", look)
    return seen


class TestFollowing:
    def test_it_hears_a_stream_that_is_being_written_to_its_end(self, collected, writer, request_):
        with Slowly(writer, request_.id):
            entries = collected(request_.id)
        assert entries[0].event == Started("w")
        assert entries[-1].event == STOP
        assert text_of(entries) == "".join(WORDS)

    def test_resuming_anywhere_gives_the_rest_of_the_whole(self, collected, writer, request_):
        write_whole(writer, request_.id, WORDS[:8])
        whole = collected(request_.id)
        assert text_of(whole) == "".join(WORDS[:8])
        for place, entry in enumerate(whole[:-1]):
            assert collected(request_.id, entry.seq) == whole[place + 1 :]

    def test_resuming_behind_the_end_gives_the_end_again(self, collected, writer, request_):
        write_whole(writer, request_.id, WORDS[:3])
        last = collected(request_.id)[-1]
        assert collected(request_.id, last.seq) == [last]

    @pytest.mark.parametrize("after", ["x", "1", "1-2-3", "$", "1-" + "9" * 30])
    def test_a_malformed_resume_point_is_refused(self, valkey, after):
        with pytest.raises(ValueError, match="resume point"):
            follow.follow("r", after)
        with pytest.raises(ValueError, match="resume point"):
            asyncio.run(collect("r", after))

    def test_a_request_that_starts_late_is_waited_for(self, collected, writer, request_):
        def late():
            time.sleep(0.4)
            write_whole(writer, request_.id, ["late"])

        thread = threading.Thread(target=late)
        thread.start()
        assert text_of(collected(request_.id)) == "late"
        thread.join()

    def test_an_entry_that_cannot_be_read_ends_it(self, collected, valkey, request_):
        valkey.xadd(streams.stream_key(request_.id), {"t": "delta", "d": "a"}, id="1-1")
        valkey.xadd(streams.stream_key(request_.id), {"t": "thought"}, id="1-2")
        first, last = collected(request_.id)
        assert first.event == Delta("a")
        assert isinstance(last.event, Failed)


class TestEndingBySilence:
    def test_an_unknown_request_has_expired(self, collected, valkey, looks):
        (entry,) = collected("unknown")
        assert isinstance(entry.event, Failed)
        assert entry.event.code is ErrorCode.EXPIRED
        assert len(looks) == 1, "that is certain at once"

    def test_an_unknown_request_is_told_after_a_quarter_of_a_second(self, monkeypatch, collected, valkey):
        monkeypatch.setattr(follow, "FIRST_CHECK_SECONDS", 0.25)
        assert follow.Silence("unknown").patience == 0.25
        began = time.monotonic()
        collected("unknown")
        assert time.monotonic() - began > 0.2

    def test_the_reply_of_a_dead_worker_is_given_up_with_what_there_is(
        self, collected, writer, request_, valkey
    ):
        ledger.claim(valkey, request_.id, 1, "dead")
        stream = writer.open(request_.id, 1, lambda: None)
        writer.append(stream, Delta("half"))
        *entries, last = collected(request_.id)
        assert text_of(entries) == "half"
        assert isinstance(last.event, Failed)
        assert last.event.code is ErrorCode.WORKER_LOST
        assert last.seq == entries[-1].seq

    def test_the_reply_of_a_silent_worker_that_lives_is_waited_for(self, collected, writer, request_, valkey):
        heartbeat("alive", "parrot", started_at=time.time() - 60)
        ledger.claim(valkey, request_.id, 1, "alive")
        timer = threading.Timer(0.8, write_whole, args=(writer, request_.id, ["at last"]))
        timer.start()
        assert text_of(collected(request_.id)) == "at last"
        timer.join()

    def test_one_late_heartbeat_is_no_death(self, collected, writer, request_, valkey, looks):
        ledger.claim(valkey, request_.id, 1, "late")

        def late(number):
            if number == follow.CHECKS_BEFORE_GIVING_UP - 1:
                heartbeat("late", "parrot", started_at=time.time() - 60)
            if number == 2 * follow.CHECKS_BEFORE_GIVING_UP:
                write_whole(writer, request_.id, ["fine"])

        looks.afterwards = late
        assert text_of(collected(request_.id)) == "fine"
        assert looks[:3] == [follow.LOST, follow.LOST, None]

    def test_a_queued_request_is_waited_for_until_long_after_its_deadline(self, collected, valkey):
        request = make_request(deadline=time.time() - 2)
        enter(request)
        (entry,) = collected(request.id)
        assert isinstance(entry.event, Failed)
        assert entry.event.code is ErrorCode.DEADLINE

    def test_what_was_written_while_it_asked_is_not_skipped(self, monkeypatch, collected, writer, request_):
        # The end of the stream is what a check for silence finds, but the follower has not had the words before it.
        real = streams.last_entry
        asked: list[int] = []

        def write_first(*arguments):
            if not asked:
                asked.append(1)
                write_whole(writer, request_.id, WORDS)
            return real(*arguments)

        monkeypatch.setattr(streams, "last_entry", write_first)
        assert text_of(collected(request_.id)) == "".join(WORDS)
        assert asked


class TestWaiting:
    @pytest.fixture
    def others(self, valkey):
        """Two more requests, of somebody who asked before."""
        made = [make_request(asker="early") for _ in range(2)]
        for request in made:
            enter(request)
        return made

    @pytest.fixture
    def mine(self, others, valkey):
        request = make_request(asker="early")
        enter(request)
        return request

    def heard_while(self, act, request, collected):
        thread = threading.Thread(target=act)
        thread.start()
        entries = collected(request.id)
        thread.join()
        return [entry for entry in entries if isinstance(entry.event, Waiting)], entries

    def test_the_place_is_told_when_it_changes(self, collected, valkey, writer, mine, others, looks):
        def move():
            wait_until(lambda: looks.count(Waiting(3)) > 2)
            ledger.claim(valkey, others[0].id, 1, "one")
            wait_until(lambda: looks.count(Waiting(2)) > 2)
            write_in_one_go(valkey, mine.id, "done")

        waiting, entries = self.heard_while(move, mine, collected)
        assert [(entry.seq, entry.event) for entry in waiting] == [("", Waiting(3)), ("", Waiting(2))]
        assert text_of(entries) == "done"

    def test_it_stands_in_no_stream(self, collected, valkey, writer, mine, looks):
        def move():
            wait_until(lambda: Waiting(3) in looks)
            write_in_one_go(valkey, mine.id, "done")

        waiting, entries = self.heard_while(move, mine, collected)
        assert len(waiting) == 1
        assert not [e for e in streams.read(valkey, mine.id) if isinstance(e.event, Waiting)]
        assert collected(mine.id) == entries[1:]

    def test_who_waits_for_another_worker_stands_in_no_queue(self, valkey, request_):
        ledger.claim(valkey, request_.id, 1, "dead")
        ledger.requeue(valkey, request_.id, 1)
        assert follow.look(request_.id, "") is None

    def test_a_chat_model_that_sleeps_is_being_loaded(self, valkey, request_):
        asleep = replace(hosted(), asleep=True)
        status = heartbeat("one")
        fleet.beat(valkey, replace(status, models=(asleep,)))
        assert follow.look(request_.id, "") == Waiting(1, loading=True)
        heartbeat("two", "parrot")
        assert follow.look(request_.id, "") == Waiting(1)

    def test_nobody_far_behind_asks_often(self, monkeypatch, valkey, request_):
        monkeypatch.setattr(follow, "CHECK_SECONDS", 5.0)
        silence = follow.Silence(request_.id)
        assert silence.news("") == Waiting(1)
        assert silence.news("") is None
        assert silence.patience == follow.PLACE_SECONDS
        monkeypatch.setattr(follow, "NEAR", 0)
        assert silence.patience == 5.0


class TestBrokerAway:
    def test_a_restart_loses_nothing(self, collected, server, monkeypatch):
        monkeypatch.setattr(streams, "RETRY_SECONDS", 0.02)
        request = make_request()
        enter(request)
        writer = StreamWriter(broker())

        def restart():
            time.sleep(0.1)
            server.kill()
            time.sleep(0.2)
            server.start()

        thread = threading.Thread(target=restart)
        thread.start()
        with Slowly(writer, request.id, WORDS * 4):
            entries = collected(request.id)
        thread.join()
        writer.close()
        assert text_of(entries) == "".join(WORDS * 4)
        assert entries[-1].event == STOP

    def test_a_follower_does_not_wait_for_ever(self, collected, server, monkeypatch):
        monkeypatch.setattr(follow, "BROKER_PATIENCE_SECONDS", 0.1)
        request = make_request()
        enter(request)
        server.kill()
        quick_to_fail = {"retry": Retry(NoBackoff(), 0)}
        monkeypatch.setattr(connections, "_options", lambda retry: quick_to_fail)
        broker().connection_pool.disconnect()
        connections._connect.cache_clear()
        (entry,) = collected(request.id)
        broker().connection_pool.disconnect()
        connections._connect.cache_clear()
        assert isinstance(entry.event, Failed)
        assert entry.event.code is ErrorCode.WORKER_LOST


async def until(condition):
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        await asyncio.sleep(0.005)


class TestHub:
    async def test_two_hundred_followers_each_hear_their_stream_in_order(self, valkey, writer):
        ids = [f"r{number}" for number in range(200)]
        for request_id in ids:
            await asyncio.to_thread(enter, make_request(id=request_id))
        tasks = [asyncio.create_task(collect(request_id)) for request_id in ids]

        def write():
            opened = [writer.open(request_id, 1, lambda: None) for request_id in ids]
            for number in range(10):
                for stream in opened:
                    writer.append(stream, Delta(f"{stream.request_id}:{number} "))
            for stream in opened:
                writer.append(stream, STOP)

        await asyncio.to_thread(write)
        for request_id, entries in zip(ids, await asyncio.gather(*tasks), strict=True):
            assert text_of(entries) == "".join(f"{request_id}:{number} " for number in range(10))
            assert entries[-1].event == STOP

    async def test_followers_of_one_stream_at_different_places_each_get_theirs(self, writer, request_):
        with Slowly(writer, request_.id, WORDS, pause=0.01):
            first = asyncio.create_task(collect(request_.id))
            await until(lambda: len(streams.read(broker(), request_.id)) > 3)
            known = await asyncio.to_thread(streams.read, broker(), request_.id)
            others = [asyncio.create_task(collect(request_.id, entry.seq)) for entry in known] + [
                asyncio.create_task(collect(request_.id))
            ]
            whole = await first
        assert text_of(whole) == "".join(WORDS)
        # Nobody claims the request here, so followers hear of its place in the queue, too, each at its own time.
        *resumed, again = [written(await other) for other in others]
        whole = written(whole)
        assert again == whole
        for place, entries in enumerate(resumed):
            assert entries == whole[place + 1 :]

    async def test_a_follower_that_comes_while_the_hub_is_blocked_hears_at_once(
        self, monkeypatch, valkey, writer
    ):
        monkeypatch.setattr(follow, "BLOCK_MS", 600_000)
        monkeypatch.setattr(follow, "SOCKET_TIMEOUT_SECONDS", 600)
        for name in ("quiet", "loud"):
            await asyncio.to_thread(enter, make_request(id=name))
        quiet = asyncio.create_task(collect("quiet"))
        await until(lambda: readers(valkey))  # the hub waits for the quiet one
        for turn in range(5):
            name = f"loud{turn}"
            await asyncio.to_thread(write_whole, writer, name, ["hello"])
            async with asyncio.timeout(PATIENCE):  # a blocked read takes longer
                assert text_of(await collect(name)) == "hello"
        await asyncio.to_thread(write_whole, writer, "quiet", ["bye"])
        assert text_of(await quiet) == "bye"

    async def test_it_ends_and_closes_its_connections_without_followers(self, valkey, request_):
        follower = asyncio.create_task(collect(request_.id))
        await until(lambda: readers(valkey))
        follower.cancel()
        await until(lambda: not readers(valkey))
        assert follow.hub()._reader is None
        assert not [task for task in asyncio.all_tasks() if task.get_name() == "stream-follow-hub"]

    async def test_the_next_follower_finds_its_connection_open(self, monkeypatch, valkey, writer):
        monkeypatch.setattr(follow, "LINGER_SECONDS", 60)
        opened = []

        def opening():
            opened.append(new_async_broker())
            return opened[-1]

        monkeypatch.setattr(follow, "new_async_broker", opening)
        for name in ("a", "b", "c"):
            await asyncio.to_thread(write_whole, writer, name, [name])
            assert text_of(await collect(name)) == name
            await until(lambda: follow.hub()._arrived is not None)
        assert len(opened) == 1

    async def test_it_works_again_after_it_has_ended(self, valkey, writer):
        for name in ("a", "b"):
            await asyncio.to_thread(write_whole, writer, name, [name])
            assert text_of(await collect(name)) == name
            await until(lambda: follow.hub()._reader is None)

    async def test_a_cancelled_follower_leaves_nothing_behind(self, valkey, request_):
        tasks = [asyncio.create_task(collect(request_.id)) for _ in range(10)]
        await until(lambda: len(follow.hub()._followers.get(request_.id, ())) == 10)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        assert follow.hub()._followers == {}
        await until(lambda: follow.hub()._reader is None)

    async def test_a_follower_cancelled_in_the_moment_it_comes_leaves_nothing_behind(self, valkey, request_):
        first = asyncio.create_task(collect(request_.id))
        await asyncio.sleep(0.05)
        for pauses in range(6):
            late = asyncio.create_task(collect(request_.id))
            for _ in range(pauses):
                await asyncio.sleep(0)
            late.cancel()
            await asyncio.wait([late])
        assert len(follow.hub()._followers[request_.id]) == 1
        first.cancel()
        await asyncio.wait([first])
        assert follow.hub()._followers == {}

    async def test_a_follower_that_stops_early_leaves_nothing_behind(self, valkey, writer):
        await asyncio.to_thread(write_whole, writer, "r", WORDS[:3])
        entries = follow.afollow("r")
        assert (await anext(entries)).event == Started("w")
        await entries.aclose()
        assert follow.hub()._followers == {}

    async def test_it_outlives_an_error_of_any_kind(self, monkeypatch, valkey, writer, request_):
        real, calls = follow.FollowHub._read_once, []

        async def break_twice(self, client):
            calls.append(1)
            if len(calls) < 3:
                raise RuntimeError("secret")
            await real(self, client)

        monkeypatch.setattr(follow.FollowHub, "_read_once", break_twice)
        await asyncio.to_thread(write_whole, writer, request_.id, ["hello"])
        assert text_of(await collect(request_.id)) == "hello"

    async def test_wake_ups_do_not_pile_up(self, valkey, writer, request_):
        quiet = asyncio.create_task(collect(request_.id))
        await asyncio.sleep(0.05)
        await asyncio.to_thread(write_whole, writer, "r", ["x"])
        for _ in range(30):
            await collect("r")
        (key,) = valkey.keys("chatsite:wake:*")
        assert valkey.xlen(key) == 1
        assert 0 < valkey.ttl(key) <= 60
        quiet.cancel()
        await asyncio.wait([quiet])

    def test_every_event_loop_has_a_hub_of_its_own_that_goes_with_it(self, valkey, writer):
        write_whole(writer, "r", ["hello"])
        gc.collect()
        before = len(follow._hubs)
        for _ in range(3):
            assert text_of(asyncio.run(collect("r"))) == "hello"
        gc.collect()
        assert len(follow._hubs) <= before + 1


def readers(valkey):
    """Connections whose last command was a hub's."""
    return [connection for connection in valkey.client_list() if connection["cmd"] == "xread"]


async def test_the_client_s_door_leads_here(workers_client):
    request = make_request("Hello there")
    await asyncio.to_thread(client.submit, request)
    entries = written([entry async for entry in client.afollow(request.id)])
    assert text_of(entries) == "Hello there"
    assert await asyncio.to_thread(lambda: list(client.follow(request.id))) == entries


def test_no_answer_is_waited_for_as_long_as_a_socket_may_be_silent(valkey):
    # Otherwise a blocking read on a silent stream ends with an error instead of with nothing.
    assert 5.0 == connections.LONGEST_BLOCK_SECONDS < connections.SOCKET_TIMEOUT_SECONDS
    assert broker().connection_pool.connection_kwargs["socket_timeout"] == connections.SOCKET_TIMEOUT_SECONDS
    assert EXPIRY_SECONDS > 2 * fleet.INTERVAL_SECONDS
