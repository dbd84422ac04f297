"""What happens to a chat completion between its request and its last byte.

A stream is never cut in silence: it ends with a finish reason and `[DONE]`, or with an error object and without. A
reply that was stopped on the server's side is an error, too, because no finish reason of OpenAI's says "not whole".
"""

import math
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Any, Protocol

from django.conf import settings
from django.http import StreamingHttpResponse
from django.http.response import HttpResponseBase

from chatsite.accounts.models import ApiKey
from workers.api import errors, sse, submission, threads
from workers.api.base import json_response
from workers.api.chat import answers
from workers.api.chat.answers import Choice, Chunks
from workers.api.chat.protocol import ChatCompletionRequest
from workers.api.feeds import Feeds, News
from workers.api.models.serving import find
from workers.models import ChatModel
from workers.protocol import (
    ChatMessage,
    Delta,
    Failed,
    Finished,
    FinishReason,
    Gathering,
    GenerationRequest,
    Sampling,
    Started,
    Waiting,
)
from workers.usage_log import USAGE_TASK

# A request that fails fails fast, and this long a streaming one is held back so that it can still become an HTTP
# error. Afterwards the headers must be on their way, because only behind them can silence be bridged.
PATIENCE_FOR_A_STATUS = 0.05  # seconds
MOST_SEEDS = 2**63


def submit(
    *, request: ChatCompletionRequest, api_key: ApiKey, request_id: str, read_timeout: float | None = None
) -> "Reply":
    """Hand the request to the workers. `read_timeout`: seconds after which the caller stops waiting for a byte.

    Raises `ApiError`: the model does not exist or cannot do it, nobody serves it, too many requests wait.
    """
    chat_model = find(request.model)
    now = time.time()
    generation = GenerationRequest(
        id=request_id,
        chat_model=chat_model.name,
        messages=with_system_prompt(request.messages, chat_model),
        sampling=with_defaults(request.sampling, chat_model),
        # A stream is kept alive and may take its time; a plain request that is late has no reader any more.
        deadline=now + time_limit(None if request.stream else read_timeout),
        report_task=USAGE_TASK,
        report_key=submission.report_key(api_key, chat_model.name),
        tools=() if request.tool_choice == "none" else request.tools,
        tool_choice=request.tool_choice,
        parallel_tool_calls=request.parallel_tool_calls,
        constraint=request.constraint,
        reasoning_effort=request.reasoning_effort,
    )
    generations = several(generation, request.n)
    submission.submit_all(generations)
    return Reply(request=request, request_ids=[each.id for each in generations], created=int(now))


def several(generation: GenerationRequest, n: int) -> list[GenerationRequest]:
    """The request `n` times, each with an id and, where there is one, a seed of its own. The prompt is charged once."""
    return [generation, *(_again(generation, number) for number in range(1, n))]


def _again(generation: GenerationRequest, number: int) -> GenerationRequest:
    seed = generation.sampling.seed
    shifted = None if seed is None else (seed + number + MOST_SEEDS) % (2 * MOST_SEEDS) - MOST_SEEDS
    request_id = submission.nth_id(generation.id, number)
    return replace(
        generation,
        id=request_id,
        sampling=replace(generation.sampling, seed=shifted),
        report_key=submission.without_prompt(generation.report_key),
    )


def with_system_prompt(messages: tuple[ChatMessage, ...], chat_model: ChatModel) -> tuple[ChatMessage, ...]:
    if not chat_model.system_prompt or any(message.role == "system" for message in messages):
        return messages
    return (ChatMessage(role="system", content=chat_model.system_prompt), *messages)


def with_defaults(sampling: Sampling, chat_model: ChatModel) -> Sampling:
    return replace(
        sampling,
        temperature=chat_model.temperature if sampling.temperature is None else sampling.temperature,
        top_p=chat_model.top_p if sampling.top_p is None else sampling.top_p,
    )


def time_limit(read_timeout: float | None) -> float:
    limit = float(settings.GENERATION_TIMEOUT)
    if read_timeout is None or not 0 < read_timeout < math.inf:
        return limit
    return min(limit, read_timeout)


async def gather(request_ids: list[str]) -> list[Choice]:
    """Wait for all replies and put them together. Raises `ApiError` for the first that fails, and ends the others."""
    feeds = Feeds(request_ids)
    said = [Gathering() for _ in request_ids]
    ends: dict[int, Finished] = {}
    try:
        while len(ends) < len(request_ids):
            for index, event in await feeds.take():
                match event:
                    case Delta():
                        said[index].add(event)
                    case Finished(reason=FinishReason.CANCELLED):
                        raise errors.cancelled()
                    case Finished():
                        ends[index] = event
                    case Failed():
                        raise errors.failure(event.code, event.message, event.param)
    finally:
        await close(feeds)
    return [Choice(said[index], ends[index]) for index in range(len(request_ids))]


async def close(feeds: Feeds) -> None:
    """Stop reading, and end what has not ended."""
    feeds.close()
    if unread := feeds.unread:
        await threads.run(submission.take_back, unread)


@dataclass(slots=True, kw_only=True)
class Reply:
    """Requests that the workers have. Whoever holds it either sees their end or takes them back with `abandon`."""

    request: ChatCompletionRequest
    request_ids: list[str]
    created: int

    async def respond(self) -> HttpResponseBase:
        if not self.request.stream:
            return json_response(self.completion(await gather(self.request_ids)))
        return await streamed(self.request_ids, self._chunks())

    def abandon(self) -> None:
        submission.take_back(self.request_ids)

    def completion(self, choices: list[Choice]) -> dict[str, Any]:
        return answers.completion(
            request_id=self.request_ids[0],
            created=self.created,
            model=self.request.model,
            choices=choices,
            logprobs=self.request.sampling.logprobs,
        )

    def _chunks(self) -> Chunks:
        return Chunks(
            request_id=self.request_ids[0],
            created=self.created,
            model=self.request.model,
            include_usage=self.request.include_usage,
            n=len(self.request_ids),
        )


class Frames(Protocol):
    """The bytes of a stream: `Chunks`, or another endpoint's."""

    def role(self) -> bytes: ...

    def delta(self, delta: Delta, index: int = 0) -> bytes: ...

    def finish(self, end: Finished, index: int = 0) -> bytes: ...

    def failure(self, error: errors.ApiError) -> bytes: ...

    @property
    def keep_alive(self) -> bytes: ...


async def streamed(request_ids: list[str], frames: Frames) -> StreamingHttpResponse:
    """Raises `ApiError` when a reply fails before anything was sent."""
    feeds = Feeds(request_ids)
    try:
        early = await _first_news(feeds)
        for _, event in early:
            if isinstance(event, Failed):
                raise errors.failure(event.code, event.message, event.param)
    except BaseException:
        await close(feeds)
        raise
    return StreamingHttpResponse(
        Body(frames, feeds, early), content_type=sse.CONTENT_TYPE, headers=sse.HEADERS
    )


async def _first_news(feeds: Feeds) -> list[News]:
    """What arrives in the time that an HTTP status can wait; that a worker took the request does not cut it short."""
    give_up = time.monotonic() + PATIENCE_FOR_A_STATUS
    news: list[News] = []
    while (patience := give_up - time.monotonic()) > 0:
        news += await feeds.take(patience)
        if any(not isinstance(one.event, Started | Waiting) for one in news):
            break
    return news


class Body:
    """The bytes of a streamed reply. Closing it before its end stops the generation.

    Django iterates it on the event loop and calls `close` in a thread when the response is done with, also when
    the client went away before the first iteration; a bare generator would never learn of that.
    """

    def __init__(self, frames: Frames, feeds: Feeds, early: list[News]) -> None:
        self._frames = frames
        self._feeds = feeds
        self._early = early
        self._open = len(feeds)
        self._stopped = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        ended = False
        try:
            news = self._early
            sent, ended = self._bytes(news)
            yield self._frames.role() + sent
            while not ended:
                news = await self._feeds.take(sse.KEEP_ALIVE_AFTER)
                sent, ended = self._bytes(news)
                yield sent if news else self._frames.keep_alive
        finally:
            self._stopped = True
            await close(self._feeds)

    def close(self) -> None:
        if not self._stopped:
            self._stopped = True
            self._feeds.close_from_thread()
            submission.take_back(self._feeds.unread)

    def _bytes(self, news: list[News]) -> tuple[bytes, bool]:
        """The frames, and whether nothing follows them."""
        frames: list[bytes] = []
        for index, event in news:
            match event:
                case Delta():
                    frames.append(self._frames.delta(event, index))
                case Waiting():
                    frames.append(sse.waiting(event))
                case Finished(reason=FinishReason.CANCELLED):
                    return b"".join([*frames, self._frames.failure(errors.cancelled())]), True
                case Finished():
                    frames.append(self._frames.finish(event, index))
                    self._open -= 1
                case Failed():
                    error = errors.failure(event.code, event.message, event.param)
                    return b"".join([*frames, self._frames.failure(error)]), True
        return b"".join(frames), self._open == 0
