"""What happens to a chat completion between its request and its last byte.

A stream is never cut in silence: it ends with a finish reason and `[DONE]`, or with an error object and without. A
reply that was stopped on the server's side is an error, too, because no finish reason of OpenAI's says "not whole".
"""

import json
import logging
import math
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

from django.conf import settings
from django.http import StreamingHttpResponse
from django.http.response import HttpResponseBase

from chatsite.accounts.models import ApiKey
from workers import client
from workers.api import errors, sse, submission, threads
from workers.api.base import json_response
from workers.api.chat import protocol
from workers.api.chat.protocol import ChatCompletionRequest, Chunks
from workers.api.feed import Feed
from workers.api.models.serving import find
from workers.connections import UNREACHABLE
from workers.models import ChatModel
from workers.protocol import (
    ChatMessage,
    Delta,
    Failed,
    Finished,
    FinishReason,
    GenerationRequest,
    Sampling,
    Started,
    StreamEvent,
)

logger = logging.getLogger(__name__)

# A request that fails fails fast, and this long a streaming one is held back so that it can still become an HTTP
# error. Afterwards the headers must be on their way, because only behind them can silence be bridged.
PATIENCE_FOR_A_STATUS = 0.05  # seconds


def submit(
    *, request: ChatCompletionRequest, api_key: ApiKey, request_id: str, read_timeout: float | None = None
) -> "Reply":
    """Hand the request to the workers. `read_timeout`: seconds after which the caller stops waiting for a byte.

    Raises `ApiError`: the model does not exist, nobody serves it, too many requests wait.
    """
    chat_model = find(request.model)
    now = time.time()
    generation = GenerationRequest(
        id=request_id,
        chat_model=chat_model.name,
        messages=_with_system_prompt(request.messages, chat_model),
        sampling=_with_defaults(request.sampling, chat_model),
        # A stream is kept alive and may take its time; a plain request that is late has no reader any more.
        deadline=now + _time_limit(None if request.stream else read_timeout),
        report_task="accounts.record_usage",
        report_key=json.dumps(
            {
                "user": api_key.owner_id,
                "api_key": api_key.pk,
                "source": "api",
                "chat_model": chat_model.name,
            }
        ),
    )
    submission.submit(generation)
    return Reply(request=request, request_id=request_id, created=int(now))


def _with_system_prompt(messages: tuple[ChatMessage, ...], chat_model: ChatModel) -> tuple[ChatMessage, ...]:
    if not chat_model.system_prompt or any(message.role == "system" for message in messages):
        return messages
    return (ChatMessage(role="system", content=chat_model.system_prompt), *messages)


def _with_defaults(sampling: Sampling, chat_model: ChatModel) -> Sampling:
    return replace(
        sampling,
        temperature=chat_model.temperature if sampling.temperature is None else sampling.temperature,
        top_p=chat_model.top_p if sampling.top_p is None else sampling.top_p,
    )


def _time_limit(read_timeout: float | None) -> float:
    limit = float(settings.GENERATION_TIMEOUT)
    if read_timeout is None or not 0 < read_timeout < math.inf:
        return limit
    return min(limit, read_timeout)


@dataclass(slots=True, kw_only=True)
class Reply:
    """A request that the workers have. Whoever holds it either sees its end or takes it back with `abandon`."""

    request: ChatCompletionRequest
    request_id: str
    created: int

    async def respond(self) -> HttpResponseBase:
        return await self._streamed() if self.request.stream else await self._whole()

    def abandon(self) -> None:
        """Nobody reads the reply any more. Raises nothing: there is nobody to tell."""
        try:
            client.cancel(self.request_id)
        except UNREACHABLE:
            logger.warning("Request %s could not be cancelled: the broker is away.", self.request_id)

    async def _whole(self) -> HttpResponseBase:
        feed = Feed(self.request_id)
        pieces: list[str] = []
        try:
            while True:
                for event in await feed.take():
                    match event:
                        case Delta():
                            pieces.append(event.text)
                        case Finished():
                            return self._completion("".join(pieces), event)
                        case Failed():
                            raise errors.failure(event.code, event.message)
        finally:
            await self._close(feed)

    def _completion(self, content: str, end: Finished) -> HttpResponseBase:
        if end.reason is FinishReason.CANCELLED:
            raise errors.cancelled()
        return json_response(
            protocol.completion(
                request_id=self.request_id,
                created=self.created,
                model=self.request.model,
                content=content,
                reason=end.reason,
                usage=end.usage,
            )
        )

    async def _streamed(self) -> HttpResponseBase:
        feed = Feed(self.request_id)
        try:
            early = await _first_events(feed)
            if early and isinstance(early[0], Failed):
                raise errors.failure(early[0].code, early[0].message)
        except BaseException:
            await self._close(feed)
            raise
        return StreamingHttpResponse(
            Body(self, feed, early), content_type=sse.CONTENT_TYPE, headers=sse.HEADERS
        )

    async def _close(self, feed: Feed) -> None:
        feed.close()
        if not feed.ended:
            await threads.run(self.abandon)


async def _first_events(feed: Feed) -> list[StreamEvent]:
    """What arrives in the time that an HTTP status can wait, without news that a worker took the request."""
    give_up = time.monotonic() + PATIENCE_FOR_A_STATUS
    while (patience := give_up - time.monotonic()) > 0:
        if events := _without_started(await feed.take(patience)):
            return events
    return []


def _without_started(events: list[StreamEvent]) -> list[StreamEvent]:
    return [event for event in events if not isinstance(event, Started)]


class Body:
    """The bytes of a streamed reply. Closing it before its end stops the generation.

    Django iterates it on the event loop and calls `close` in a thread when the response is done with, also when
    the client went away before the first iteration; a bare generator would never learn of that.
    """

    def __init__(self, reply: Reply, feed: Feed, early: list[StreamEvent]) -> None:
        self._reply = reply
        self._feed = feed
        self._early = early
        self._stopped = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        chunks = Chunks(
            request_id=self._reply.request_id,
            created=self._reply.created,
            model=self._reply.request.model,
            include_usage=self._reply.request.include_usage,
        )
        try:
            yield chunks.role() + _frames(chunks, self._early)
            events = self._early
            while not (events and isinstance(events[-1], Finished | Failed)):
                events = await self._feed.take(sse.KEEP_ALIVE_AFTER)
                yield _frames(chunks, events) if events else sse.KEEP_ALIVE
        finally:
            self._stopped = True
            await self._reply._close(self._feed)

    def close(self) -> None:
        if not self._stopped:
            self._stopped = True
            self._feed.close_from_thread()
            if not self._feed.ended:
                self._reply.abandon()


def _frames(chunks: Chunks, events: list[StreamEvent]) -> bytes:
    return b"".join(_frame(chunks, event) for event in events)


def _frame(chunks: Chunks, event: StreamEvent) -> bytes:
    match event:
        case Delta():
            return chunks.delta(event.text)
        case Finished(reason=FinishReason.CANCELLED):
            return sse.frame(errors.cancelled().body())
        case Finished():
            return chunks.finish(event.reason, event.usage)
        case Failed():
            return sse.frame(errors.failure(event.code, event.message).body())
        case _:
            return b""
