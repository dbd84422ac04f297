"""Streamed replies, byte by byte. The workers are a list of events here; true ones are in `test_true_client`."""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from django.http import StreamingHttpResponse

from tests.workers.support import PATIENCE
from workers import client
from workers.api import errors, sse
from workers.api.chat import serving
from workers.api.chat.answers import Chunks
from workers.api.chat.protocol import ChatCompletionRequest
from workers.api.chat.serving import Reply
from workers.api.feeds import Feeds
from workers.protocol import (
    ChatMessage,
    Delta,
    Entry,
    ErrorCode,
    Failed,
    Finished,
    FinishReason,
    Sampling,
    Started,
    StreamEvent,
    Usage,
    Waiting,
)

STARTED = Started(worker="w")
FINISHED = Finished(FinishReason.STOP, Usage(5, 2, 3))
FOREVER = 3600.0
Step = StreamEvent | float | Exception | asyncio.Event


class Script:
    """Follows one list of events, with pauses where it holds numbers. `at` is the step that it has come to."""

    def __init__(self, *steps: "Step") -> None:
        self.steps = steps
        self.at = -1
        self.cancelled: list[str] = []
        self.closed = False

    async def afollow(self, request_id: str, after: str = "") -> AsyncIterator[Entry]:
        try:
            for number, step in enumerate(self.steps):
                self.at = number
                if isinstance(step, float):
                    await asyncio.sleep(step)
                elif isinstance(step, asyncio.Event):
                    await step.wait()
                elif isinstance(step, Exception):
                    raise step
                else:
                    yield Entry(f"1-{number}", step)
        finally:
            self.closed = True


async def until(condition: Callable[[], Any]) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        await asyncio.sleep(0.005)


@pytest.fixture
def headers_at_once(monkeypatch):
    """A stream that says nothing at first gets its headers sooner than other tests' do."""
    monkeypatch.setattr(serving, "PATIENCE_FOR_A_STATUS", 0.05)


@pytest.fixture
def follow(monkeypatch):
    def install(*steps: Step) -> Script:
        script = Script(*steps)
        monkeypatch.setattr(client, "afollow", script.afollow)
        monkeypatch.setattr(client, "cancel", script.cancelled.append)
        return script

    return install


def reply(*, stream: bool = True, include_usage: bool = False) -> Reply:
    request = ChatCompletionRequest(
        "parrot", (ChatMessage("user", "Hi"),), Sampling(), stream=stream, include_usage=include_usage
    )
    return Reply(request=request, request_ids=["abc"], created=1700000000)


async def open_stream(answer: Reply) -> StreamingHttpResponse:
    response = await answer.respond()
    assert isinstance(response, StreamingHttpResponse)
    assert response.status_code == 200
    return response


async def body_of(answer: Reply) -> bytes:
    response = await open_stream(answer)
    return b"".join([part async for part in response])


def frames(body: bytes) -> list[Any]:
    assert body.endswith(b"\n\n")
    lines = [part for part in body.decode("ascii").split("\n\n") if part and not part.startswith(":")]
    assert all(line.startswith("data: ") and "\n" not in line for line in lines)
    return [line[6:] if line == "data: [DONE]" else json.loads(line[6:]) for line in lines]


def chunk(delta: dict[str, Any], finish_reason: str | None = None, **extra: Any) -> dict[str, Any]:
    return {
        "id": "chatcmpl-abc",
        "object": "chat.completion.chunk",
        "created": 1700000000,
        "model": "parrot",
        "choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}],
        **extra,
    }


ROLE = {"role": "assistant", "content": "", "refusal": None}


async def test_it_sends_role_deltas_finish_reason_and_done(follow):
    follow(STARTED, Delta("Hel"), 0.01, Delta("lo"), FINISHED)

    assert frames(await body_of(reply())) == [
        chunk(ROLE),
        chunk({"content": "Hel"}),
        chunk({"content": "lo"}),
        chunk({}, "stop"),
        "[DONE]",
    ]


async def test_the_place_in_the_queue_is_a_comment(follow):
    follow(Waiting(3), 0.01, Waiting(1, loading=True), STARTED, Delta("Hello"), FINISHED)

    body = await body_of(reply())

    assert b": position 3 in the queue\n\n" in body
    assert b": position 1 in the queue, the model is being loaded\n\n" in body
    assert frames(body) == [chunk(ROLE), chunk({"content": "Hello"}), chunk({}, "stop"), "[DONE]"]


async def test_a_failure_behind_a_place_in_the_queue_is_still_a_status(follow):
    follow(Waiting(1), Failed(ErrorCode.CONTEXT_OVERFLOW, "Too long."))

    with pytest.raises(errors.ApiError):
        await reply().respond()


async def test_usage_comes_last_when_it_is_asked_for_and_is_null_before(follow):
    follow(Delta("Hello"), FINISHED)

    assert frames(await body_of(reply(include_usage=True))) == [
        chunk(ROLE, usage=None),
        chunk({"content": "Hello"}, usage=None),
        chunk({}, "stop", usage=None),
        {
            **chunk({}),
            "choices": [],
            "usage": {
                "prompt_tokens": 5,
                "completion_tokens": 2,
                "total_tokens": 7,
                "prompt_tokens_details": {"cached_tokens": 3},
            },
        },
        "[DONE]",
    ]


async def test_the_headers_keep_proxies_from_collecting(follow):
    follow(FINISHED)

    response = await open_stream(reply())

    assert response["content-type"] == "text/event-stream; charset=utf-8"
    assert response["x-accel-buffering"] == "no"
    assert "no-cache" in response["cache-control"]
    assert [part async for part in response]


@pytest.mark.parametrize(
    "text", ["\u2028\u2029\x85\r\n\n", '"\\', "漢字🦜", "\x00\x1f", "data: [DONE]\n\n", "\0"]
)
async def test_any_text_stays_inside_its_frame(follow, text):
    follow(Delta(text), FINISHED)

    body = await body_of(reply())

    assert body.isascii()
    assert frames(body)[1] == chunk({"content": text})


async def test_only_data_lines_and_comments_are_ever_sent(follow, monkeypatch):
    monkeypatch.setattr(sse, "KEEP_ALIVE_AFTER", 0.02)
    follow(0.1, Delta("a"), 0.05, Delta("b"), 0.05, FINISHED)

    lines = set((await body_of(reply())).decode().split("\n"))

    assert {line.split(":")[0] for line in lines if line} == {"data", ""}


async def test_silence_is_bridged_by_comments(follow, monkeypatch, headers_at_once):
    monkeypatch.setattr(sse, "KEEP_ALIVE_AFTER", 0.05)
    broken = asyncio.Event()
    follow(broken, Delta("At last"), FINISHED)
    began, parts = time.monotonic(), []

    async for part in await open_stream(reply()):
        parts.append(part)
        if parts.count(sse.KEEP_ALIVE) == 4:
            broken.set()
            bridged = time.monotonic() - began

    assert bridged > 0.2
    assert parts.count(sse.KEEP_ALIVE) >= 4
    assert frames(b"".join(parts))[1] == chunk({"content": "At last"})


async def test_a_stream_that_flows_has_no_comments(follow, monkeypatch):
    monkeypatch.setattr(sse, "KEEP_ALIVE_AFTER", 60)
    patience, take = [], Feeds.take

    async def taken(self, seconds):
        patience.append(seconds)
        return await take(self, seconds)

    monkeypatch.setattr(Feeds, "take", taken)
    follow(*[step for number in range(20) for step in (0.02, Delta(str(number)))], FINISHED)

    assert b"keep-alive" not in await body_of(reply())
    assert set(patience[1:]) == {60}, "silence is counted from the last event on"


async def test_the_headers_do_not_wait_for_the_first_token(follow, headers_at_once):
    script = follow(STARTED, FOREVER)

    async with asyncio.timeout(PATIENCE):
        response = await open_stream(reply())

    assert response.status_code == 200
    first = await anext(aiter(response))
    assert frames(first) == [chunk(ROLE)]
    await asyncio.to_thread(response.close)
    assert script.cancelled == ["abc"]


async def test_events_that_wait_travel_together(follow):
    follow(*[Delta(str(number)) for number in range(100)], FINISHED)

    parts = [part async for part in await open_stream(reply())]

    assert len(parts) == 1
    assert "".join(frame["choices"][0]["delta"].get("content", "") for frame in frames(parts[0])[:-1]) == (
        "".join(str(number) for number in range(100))
    )


# --- failures ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("before", [(), (STARTED,), (STARTED, 0.01)])
async def test_an_early_failure_is_an_http_status(follow, before):
    script = follow(*before, Failed(ErrorCode.CONTEXT_OVERFLOW, "It does not fit."))

    with pytest.raises(errors.InvalidRequest) as caught:
        await reply().respond()

    assert caught.value.code == "context_length_exceeded"
    assert script.cancelled == []
    assert script.closed


@pytest.mark.parametrize("code", list(ErrorCode))
async def test_a_late_failure_is_an_error_object_without_done(follow, code):
    script = follow(STARTED, Delta("Hel"), 0.01, Failed(code, "It broke."))

    body = frames(await body_of(reply()))

    assert body[:2] == [chunk(ROLE), chunk({"content": "Hel"})]
    assert body[2:] == [errors.failure(code, "It broke.").body()]
    assert body[2]["error"]["message"] == "It broke."
    assert script.cancelled == []


async def test_a_failure_after_long_silence_is_an_error_object(follow, headers_at_once):
    follow(STARTED, 0.5, Failed(ErrorCode.WORKER_LOST, "It died."))

    assert frames(await body_of(reply()))[-1]["error"]["code"] == "worker_lost"


async def test_a_reply_that_somebody_stopped_does_not_look_whole(follow):
    follow(Delta("Hel"), 0.01, Finished(FinishReason.CANCELLED))

    body = frames(await body_of(reply(include_usage=True)))

    assert body[-1]["error"]["code"] == "cancelled"
    assert "[DONE]" not in body


async def test_a_plain_reply_that_somebody_stopped_is_no_reply(follow):
    follow(Delta("Hel"), Finished(FinishReason.CANCELLED))

    with pytest.raises(errors.Unavailable) as caught:
        await reply(stream=False).respond()

    assert caught.value.headers["x-should-retry"] == "false"


@pytest.mark.parametrize("end", [(), (RuntimeError("canary"),)], ids=["ends", "raises"])
async def test_a_stream_that_breaks_off_inside_is_an_error_object(follow, caplog, end):
    follow(Delta("Hel"), 0.1, *end)

    body = frames(await body_of(reply()))

    assert body[-1]["error"]["code"] == "worker_lost"
    assert "canary" not in caplog.text


# --- the client goes away ----------------------------------------------------------------------------------


async def test_an_answer_that_is_read_to_its_end_is_not_cancelled(follow):
    script = follow(Delta("Hello"), 0.01, FINISHED)

    response = await open_stream(reply())
    assert [part async for part in response]
    await asyncio.to_thread(response.close)

    assert script.cancelled == []
    assert script.closed


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "plain"])
async def test_a_cancelled_request_cancels_the_generation_once(follow, stream):
    script = follow(STARTED, Delta("Hel"), FOREVER)

    async def serve() -> None:
        response = await reply(stream=stream).respond()
        assert isinstance(response, StreamingHttpResponse)
        try:
            async for _ in response:
                pass
        finally:
            await asyncio.to_thread(response.close)

    task = asyncio.create_task(serve())
    await until(lambda: script.at == 2)
    assert script.cancelled == []
    task.cancel()
    await asyncio.wait([task])

    assert task.cancelled()
    assert script.cancelled == ["abc"]
    assert script.closed


async def test_a_request_cancelled_while_its_status_is_open_cancels_the_generation(follow, monkeypatch):
    monkeypatch.setattr(serving, "PATIENCE_FOR_A_STATUS", FOREVER)
    script = follow(STARTED, FOREVER)

    task = asyncio.create_task(reply().respond())
    await until(lambda: script.at == 1)
    task.cancel()
    await asyncio.wait([task])

    assert script.cancelled == ["abc"]


async def test_a_response_that_nobody_began_to_read_cancels_the_generation(follow, headers_at_once):
    script = follow(STARTED, FOREVER)

    response = await open_stream(reply())
    await asyncio.to_thread(response.close)

    assert script.cancelled == ["abc"]
    await until(lambda: script.closed)


async def test_a_client_that_leaves_after_the_last_event_cancels_nothing(follow):
    script = follow(Delta("Hello"), FINISHED)

    response = await open_stream(reply())
    await asyncio.to_thread(response.close)

    assert script.cancelled == []


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "plain"])
async def test_a_reader_that_does_not_let_go_delays_no_cancellation(follow, monkeypatch, stream):
    script, asked, released = follow(), asyncio.Event(), asyncio.Event()

    async def stubborn(request_id: str) -> AsyncIterator[Entry]:
        yield Entry("1-1", STARTED)
        asked.set()
        while not released.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await released.wait()

    monkeypatch.setattr(client, "afollow", stubborn)
    monkeypatch.setattr(serving, "PATIENCE_FOR_A_STATUS", FOREVER)
    task = asyncio.create_task(reply(stream=stream).respond())
    await asked.wait()
    task.cancel()

    await until(lambda: script.cancelled == ["abc"])
    released.set()
    await asyncio.wait([task])


async def test_a_client_that_leaves_while_the_broker_is_away_leaves_in_peace(
    follow, monkeypatch, caplog, headers_at_once
):
    script = follow(STARTED, FOREVER)

    def fail(request_id: str) -> None:
        raise ConnectionError("redis://:secret@host")

    monkeypatch.setattr(client, "cancel", fail)

    parts: Any = aiter(await open_stream(reply()))
    await anext(parts)
    await parts.aclose()

    await until(lambda: script.closed and "could not be cancelled" in caplog.text)
    assert "secret" not in caplog.text


def test_the_prepared_chunk_is_the_same_as_an_encoded_one():
    for include_usage in (False, True):
        chunks = Chunks(request_id="abc", created=1700000000, model='a"b/c', include_usage=include_usage)
        extra = {"usage": None} if include_usage else {}

        assert frames(chunks.delta(Delta('x"y'))) == [chunk({"content": 'x"y'}, **extra) | {"model": 'a"b/c'}]
