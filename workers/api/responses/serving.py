"""What happens to a response between its request and its last byte, and to those that are kept."""

import json
import logging
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Any

from django.conf import settings
from django.http import StreamingHttpResponse
from django.http.response import HttpResponseBase

from chatsite.accounts.models import ApiKey, User
from workers import client
from workers.api import errors, sse, submission, threads
from workers.api.base import json_response
from workers.api.chat.serving import with_system_prompt
from workers.api.feed import Feed
from workers.api.models.serving import find as find_model
from workers.api.pages import as_id
from workers.api.responses import items, protocol, recording
from workers.api.responses.protocol import Asked, ResponseRequest
from workers.api.responses.turn import Event, Turn
from workers.api.tokens.serving import Counted, deadline, tokens_of
from workers.connections import UNREACHABLE
from workers.models import ChatModel, StoredResponse
from workers.protocol import (
    ChatMessage,
    Failed,
    GenerationRequest,
    Started,
    StreamEvent,
    TokenizeRequest,
    Waiting,
)
from workers.services import stored
from workers.usage_log import USAGE_TASK

logger = logging.getLogger(__name__)

RECORD_TASK = "workers.record_response"
# How long an early failure can still become an HTTP status; see `chat.serving`.
PATIENCE_FOR_A_STATUS = 0.05  # seconds
PATIENCE_FOR_A_CANCELLATION = 5.0  # seconds


def submit(*, request: ResponseRequest, api_key: ApiKey, request_id: str) -> "Reply":
    """Hand the request to the workers. Raises `ApiError`."""
    asked = request.asked
    chat_model = find_model(asked.model)
    previous = _previous(api_key.owner, asked.previous_response_id)
    new_items = items.with_ids(asked.items, request_id)
    earlier = _context(previous) if previous else []
    items.check_results([*earlier, *new_items], earlier=len(earlier))
    generation = _generation(request, chat_model, [*earlier, *new_items], api_key, request_id)
    body = protocol.response_object(
        public_id=f"resp_{request_id}",
        created=int(time.time()),
        chat_model=chat_model.name,
        sampling=generation.sampling,
        background=request.background,
        echoed=request.echoed,
    )
    if request.store:
        stored.open_response(
            api_key=api_key,
            request_id=request_id,
            body=body,
            chat_model=chat_model.name,
            items=new_items,
            previous=previous,
        )
    try:
        submission.submit(generation)
    except BaseException:
        if request.store:
            stored.forget_response(request_id=request_id)
        raise
    return Reply(
        request_id=request_id,
        body=body,
        stored=request.store,
        background=request.background,
        stream=request.stream,
    )


def _generation(
    request: ResponseRequest,
    chat_model: ChatModel,
    context: list[dict[str, Any]],
    api_key: ApiKey,
    request_id: str,
) -> GenerationRequest:
    asked = request.asked
    sampling = request.sampling
    who = {"user": api_key.owner_id, "api_key": api_key.pk, "source": "api", "chat_model": chat_model.name}
    return GenerationRequest(
        id=request_id,
        chat_model=chat_model.name,
        messages=_messages(asked, chat_model, context),
        deadline=time.time() + settings.GENERATION_TIMEOUT,
        sampling=replace(
            sampling,
            temperature=chat_model.temperature if sampling.temperature is None else sampling.temperature,
            top_p=chat_model.top_p if sampling.top_p is None else sampling.top_p,
        ),
        report_task=RECORD_TASK if request.store else USAGE_TASK,
        report_key=json.dumps(who),
        tools=() if asked.tool_choice == "none" else asked.tools,
        tool_choice=asked.tool_choice,
        parallel_tool_calls=asked.parallel_tool_calls,
        constraint=asked.constraint,
        reasoning_effort=asked.reasoning_effort,
    )


def _messages(asked: Asked, chat_model: ChatModel, context: list[dict[str, Any]]) -> tuple[ChatMessage, ...]:
    return with_system_prompt(items.to_messages(asked.instructions, context), chat_model)


def count(*, asked: Asked, api_key: ApiKey, request_id: str) -> Counted:
    """How many tokens the request's prompt would have. Raises `ApiError`."""
    chat_model = find_model(asked.model)
    previous = _previous(api_key.owner, asked.previous_response_id)
    earlier = _context(previous) if previous else []
    context = [*earlier, *asked.items]
    items.check_results(context, earlier=len(earlier))
    messages = _messages(asked, chat_model, context)
    tools = () if asked.tool_choice == "none" else asked.tools
    submission.submit(
        TokenizeRequest(request_id, chat_model.name, deadline(), messages=messages, tools=tools)
    )

    def answer(found: list[list[StreamEvent]]) -> dict[str, Any]:
        return {"object": "response.input_tokens", "input_tokens": len(tokens_of(found[0]).tokens)}

    return Counted([request_id], answer)


def _previous(owner: User, public_id: str) -> StoredResponse | None:
    if not public_id:
        return None
    previous = find(owner, public_id, param="previous_response_id")
    if previous.status in StoredResponse.OPEN:
        raise errors.InvalidParameter("previous_response_id", "names a response that is not finished yet.")
    return previous


def _context(last: StoredResponse) -> list[dict[str, Any]]:
    """All items of the conversation up to and with `last`."""
    try:
        turns = stored.turns(last=last)
    except stored.ChainTooLong:
        raise errors.InvalidParameter(
            "previous_response_id", f"leads back through more than {stored.LONGEST_CHAIN} responses."
        ) from None
    return [item for turn in turns for item in (*turn.input, *turn.body["output"])]


@dataclass(slots=True, kw_only=True)
class Reply:
    """A response that the workers have."""

    request_id: str
    body: dict[str, Any]
    stored: bool
    background: bool
    stream: bool

    async def respond(self) -> HttpResponseBase:
        if self.background and not self.stream:
            return json_response(self.body)
        following = Following(self.request_id, self.body, stored=self.stored, lives_on=self.background)
        return await following.streamed() if self.stream else await following.whole()

    def abandon(self) -> None:
        if not self.background:
            _cancel(self.request_id)


def _cancel(request_id: str) -> None:
    """Raises nothing: there is nobody to tell."""
    try:
        client.cancel(request_id)
    except UNREACHABLE:
        logger.warning("Request %s could not be cancelled: the broker is away.", request_id)


class Following:
    """Somebody who watches a response being made. Unless it `lives_on`, it is stopped when they go away."""

    def __init__(self, request_id: str, body: dict[str, Any], *, stored: bool, lives_on: bool) -> None:
        self.turn = Turn(body, request_id)
        self.feed = Feed(request_id)
        self._request_id = request_id
        self._stored = stored
        self._lives_on = lives_on

    async def whole(self) -> HttpResponseBase:
        self.turn.begin()
        failure: Failed | None = None
        try:
            while not self.turn.ended:
                for event in await self.feed.take():
                    self.turn.take(event)
                    failure = event if isinstance(event, Failed) else failure
        finally:
            await self.close()
        await self.record()
        if failure is not None:
            raise errors.failure(failure.code, failure.message, failure.param)
        if self.turn.body["status"] == "cancelled" and not self._lives_on:
            raise errors.cancelled()
        return json_response(self.turn.body)

    async def streamed(self, after: int = -1) -> HttpResponseBase:
        try:
            early = await self._early() if after < 0 else []
        except BaseException:
            await self.close()
            raise
        return StreamingHttpResponse(
            Frames(self, early, after), content_type=sse.CONTENT_TYPE, headers=sse.HEADERS
        )

    async def _early(self) -> list[StreamEvent]:
        """What comes while a failure can still be an HTTP status."""
        events = await self.feed.take(PATIENCE_FOR_A_STATUS)
        if events and isinstance(events[-1], Started | Waiting):
            events += await self.feed.take(PATIENCE_FOR_A_STATUS)
        told = [event for event in events if not isinstance(event, Started | Waiting)]
        if told and isinstance(told[0], Failed) and not self._lives_on:
            self.turn.begin()
            self.turn.take(told[0])
            await self.record()
            raise errors.failure(told[0].code, told[0].message, told[0].param)
        return events

    async def record(self) -> None:
        if self._stored:
            await threads.run(stored.close_response, request_id=self._request_id, body=self.turn.body)

    async def close(self) -> None:
        self.feed.close()
        if not self.feed.ended and not self._lives_on:
            await threads.run(_cancel, self._request_id)

    def close_from_thread(self) -> None:
        self.feed.close_from_thread()
        if not self.feed.ended and not self._lives_on:
            _cancel(self._request_id)


class Frames:
    """The bytes of a streamed response. See `chat.serving.Body` for why it is no bare generator."""

    def __init__(self, following: Following, early: list[StreamEvent], after: int) -> None:
        self._following = following
        self._early = early
        self._after = after
        self._stopped = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        following, turn = self._following, self._following.turn
        try:
            yield self._frames(turn.begin())
            events = self._early
            while True:
                typed = [out for event in events for out in turn.take(event)]
                if turn.ended:
                    await following.record()
                waiting = (sse.waiting(event) for event in events if isinstance(event, Waiting))
                yield self._frames(typed) + b"".join(waiting)
                if turn.ended:
                    return
                events = await following.feed.take(sse.KEEP_ALIVE_AFTER)
                if not events:
                    yield sse.KEEP_ALIVE
        finally:
            self._stopped = True
            await following.close()

    def _frames(self, events: list[Event]) -> bytes:
        return b"".join(_frame(event) for event in events if event["sequence_number"] > self._after)

    def close(self) -> None:
        if not self._stopped:
            self._stopped = True
            self._following.close_from_thread()


def _frame(event: Event) -> bytes:
    name: str = event["type"]
    return b"event: " + name.encode() + b"\n" + sse.frame(event)


# --- those that are kept -----------------------------------------------------------------------------------


def find(owner: User, public_id: str, param: str | None = None) -> StoredResponse:
    row = StoredResponse.objects.filter(owner=owner, public_id=as_id(public_id)).first()
    if row is None:
        raise errors.NotFound(
            f"There is no response '{public_id[:60]}'.", param=param, code="response_not_found"
        )
    if row.status in StoredResponse.OPEN:
        recording.settle(row)
    return row


@dataclass(slots=True)
class Resumption:
    """A stream of a response that was begun before, from behind the event numbered `after` on."""

    row: StoredResponse
    after: int

    async def respond(self) -> HttpResponseBase:
        row = self.row
        body = {**row.body, "output": [], "status": "queued" if row.background else "in_progress"}
        body |= {"usage": None, "error": None, "incomplete_details": None, "completed_at": None}
        return await Following(row.request_id, body, stored=True, lives_on=True).streamed(self.after)

    def abandon(self) -> None:
        """It goes on for whoever comes next."""


def resume(row: StoredResponse, after: int) -> Resumption:
    if client.state(row.request_id) is None:
        raise errors.InvalidRequest(
            "The events of this response are not kept any more. Retrieve it without 'stream'.",
            code="stream_expired",
        )
    return Resumption(row, after)


@dataclass(slots=True)
class Cancellation:
    """Waits for the worker to stop, so that the answer can tell how far it came."""

    row: StoredResponse

    async def respond(self) -> HttpResponseBase:
        row = self.row
        following = Following(row.request_id, row.body, stored=True, lives_on=True)
        following.turn.begin()
        give_up = time.monotonic() + PATIENCE_FOR_A_CANCELLATION
        try:
            while not following.turn.ended and (patience := give_up - time.monotonic()) > 0:
                for event in await following.feed.take(patience):
                    following.turn.take(event)
        finally:
            await following.close()
        if following.turn.ended:
            await following.record()
        return json_response(following.turn.body)

    def abandon(self) -> None:
        """The wish stands."""


def cancel(row: StoredResponse) -> Cancellation | None:
    """None when it has ended already."""
    if not row.background:
        raise errors.InvalidRequest(
            "Only a response that was made with 'background' can be cancelled. Close the stream of any other.",
            code="not_a_background_response",
        )
    if row.status not in StoredResponse.OPEN:
        return None
    client.cancel(row.request_id)
    return Cancellation(row)


def delete(row: StoredResponse) -> None:
    if row.status in StoredResponse.OPEN:
        _cancel(row.request_id)
    row.delete()


def input_items(row: StoredResponse) -> list[dict[str, Any]]:
    """Everything the response answered, oldest first: earlier turns with their outputs, then its own input."""
    return [*(_context(row.previous) if row.previous else []), *row.input]
