"""Reading a stream ahead."""

import asyncio
import time

import pytest

from workers import client
from workers.api.feed import Feed
from workers.protocol import Delta, Entry, Finished, FinishReason, StreamEvent

FINISHED = Finished(FinishReason.STOP)


@pytest.fixture
def entries(monkeypatch) -> asyncio.Queue[StreamEvent]:
    """What is put here is followed."""
    queue: asyncio.Queue[StreamEvent] = asyncio.Queue()

    async def afollow(request_id):
        while True:
            event = await queue.get()
            yield Entry("1-1", event)
            if isinstance(event, Finished):
                return

    monkeypatch.setattr(client, "afollow", afollow)
    return queue


async def settled() -> None:
    """The event loop has done what it can without waiting for anything."""
    for _ in range(100):
        await asyncio.sleep(0)


async def test_it_hands_out_what_came_since_the_last_time(entries):
    feed = Feed("abc")
    for text in "abc":
        entries.put_nowait(Delta(text))
    await settled()

    assert await feed.take(60) == [Delta("a"), Delta("b"), Delta("c")]
    entries.put_nowait(Delta("d"))
    assert await feed.take(60) == [Delta("d")]
    feed.close()


async def test_silence_is_an_empty_list_and_loses_nothing(entries):
    feed = Feed("abc")
    for _ in range(3):
        began = time.monotonic()
        assert await feed.take(0.02) == []
        assert time.monotonic() - began >= 0.015
    entries.put_nowait(Delta("a"))

    assert await feed.take(60) == [Delta("a")]
    feed.close()


async def test_without_a_limit_it_waits_for_the_next_event(entries):
    feed = Feed("abc")
    asyncio.get_running_loop().call_later(0.05, entries.put_nowait, FINISHED)

    assert await feed.take() == [FINISHED]
    assert feed.ended
    feed.close()


async def test_it_has_ended_when_the_last_event_was_read_and_not_when_it_was_taken(entries):
    feed = Feed("abc")
    entries.put_nowait(Delta("a"))
    entries.put_nowait(FINISHED)
    await settled()

    assert feed.ended
    assert await feed.take(60) == [Delta("a"), FINISHED]
    assert await feed.take(60) == [], "waiting for more would be for ever"
    feed.close()


async def test_a_cancelled_reader_loses_no_event_for_the_next_one(entries):
    feed = Feed("abc")
    task = asyncio.create_task(feed.take(60))
    await settled()
    task.cancel()
    await asyncio.wait([task])
    entries.put_nowait(Delta("a"))

    assert await feed.take(60) == [Delta("a")]
    feed.close()


async def test_closing_twice_does_no_harm(entries):
    feed = Feed("abc")

    feed.close()
    feed.close()
    feed.close_from_thread()

    assert not feed.ended
