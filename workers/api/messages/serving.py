"""What happens to one of Anthropic's requests between its arrival and its last byte."""

import time
from dataclasses import dataclass

from django.http.response import HttpResponseBase

from chatsite.accounts.models import ApiKey
from workers.api import submission
from workers.api.base import json_response
from workers.api.chat.serving import gather, streamed, time_limit, with_defaults, with_system_prompt
from workers.api.messages import answers
from workers.api.messages.answers import Events
from workers.api.messages.protocol import MessagesRequest
from workers.api.models.serving import find
from workers.api.single import events_of
from workers.api.tokens.serving import deadline, tokens_of
from workers.protocol import GenerationRequest, TokenizeRequest
from workers.usage_log import USAGE_TASK


def submit(
    *, request: MessagesRequest, api_key: ApiKey, request_id: str, read_timeout: float | None = None
) -> "Message":
    """Raises `ApiError`."""
    chat_model = find(request.model)
    submission.submit(
        GenerationRequest(
            id=request_id,
            chat_model=chat_model.name,
            messages=with_system_prompt(request.messages, chat_model),
            sampling=with_defaults(request.sampling, chat_model),
            deadline=time.time() + time_limit(None if request.stream else read_timeout),
            report_task=USAGE_TASK,
            report_key=submission.report_key(api_key, chat_model.name),
            tools=() if request.tool_choice == "none" else request.tools,
            tool_choice=request.tool_choice,
            parallel_tool_calls=request.parallel_tool_calls,
            constraint=request.constraint,
            reasoning_effort=request.reasoning_effort,
        )
    )
    return Message(request=request, request_id=request_id)


@dataclass(slots=True, kw_only=True)
class Message:
    """A request that the workers have."""

    request: MessagesRequest
    request_id: str

    async def respond(self) -> HttpResponseBase:
        if self.request.stream:
            events = Events(request_id=self.request_id, model=self.request.model)
            return await streamed([self.request_id], events)
        (choice,) = await gather([self.request_id])
        return json_response(
            answers.message(request_id=self.request_id, model=self.request.model, choice=choice)
        )

    def abandon(self) -> None:
        submission.take_back([self.request_id])


def count(*, request: MessagesRequest, request_id: str) -> "Count":
    """Raises `ApiError`."""
    chat_model = find(request.model)
    messages = with_system_prompt(request.messages, chat_model)
    tools = () if request.tool_choice == "none" else request.tools
    submission.submit(
        TokenizeRequest(request_id, chat_model.name, deadline(), messages=messages, tools=tools)
    )
    return Count(request_id)


@dataclass(slots=True)
class Count:
    """A request that the workers have."""

    request_id: str

    async def respond(self) -> HttpResponseBase:
        found = tokens_of(await events_of(self.request_id))
        return json_response({"input_tokens": len(found.tokens)})

    def abandon(self) -> None:
        submission.take_back([self.request_id])
