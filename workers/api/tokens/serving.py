"""Counting tokens and naming them."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from django.http.response import HttpResponseBase

from workers import client
from workers.api import submission
from workers.api.base import json_response
from workers.api.chat.serving import with_system_prompt
from workers.api.models.serving import find
from workers.api.single import events_of
from workers.api.submission import nth_id
from workers.api.tokens import protocol
from workers.protocol import Delta, DetokenizeRequest, Gathering, StreamEvent, Tokenized, TokenizeRequest

PATIENCE = 30.0
"""Seconds that a count may wait behind the replies that the chat model is working on."""


def deadline() -> float:
    return time.time() + PATIENCE


def tokenize(request: TokenizeRequest, *, strings: bool) -> "Counted":
    """Raises `ApiError`."""
    chat_model = find(request.chat_model)
    if request.messages:
        request = replace(request, messages=with_system_prompt(request.messages, chat_model))
    submission.submit(request)
    length = context_length(request.chat_model)

    def answer(found: list[list[StreamEvent]]) -> dict[str, Any]:
        return protocol.tokens_object(tokens_of(found[0]), length, strings=strings)

    return Counted([request.id], answer)


def detokenize(request: DetokenizeRequest) -> "Counted":
    """Raises `ApiError`."""
    find(request.chat_model)
    submission.submit(request)
    return Counted([request.id], lambda found: {"prompt": text_of(found[0])})


def check(prompts: list[tuple[str, str, int]], request_id: str) -> "Counted":
    """FastChat's question whether prompts fit, each with the reply it asks for. Raises `ApiError`."""
    for name in {name for name, _, _ in prompts}:
        find(name)
    requests = [
        TokenizeRequest(nth_id(request_id, number), name, deadline(), prompt=prompt)
        for number, (name, prompt, _) in enumerate(prompts)
    ]
    submission.submit_all(requests)
    lengths = [context_length(name) for name, _, _ in prompts]

    def answer(found: list[list[StreamEvent]]) -> dict[str, Any]:
        checked = []
        for events, length, (_, _, wanted) in zip(found, lengths, prompts, strict=True):
            count = len(tokens_of(events).tokens)
            fits = not length or count + wanted <= length
            checked.append({"fits": fits, "contextLength": length, "tokenCount": count})
        return {"prompts": checked}

    return Counted([request.id for request in requests], answer)


def context_length(chat_model: str) -> int:
    """Tokens; 0 when no worker says."""
    found = (model for status in client.statuses() for model in status.models if model.name == chat_model)
    return next((model.context_length for model in found), 0)


def tokens_of(events: list[StreamEvent]) -> Tokenized:
    return next(event for event in events if isinstance(event, Tokenized))


def text_of(events: list[StreamEvent]) -> str:
    whole = Gathering()
    for event in events:
        if isinstance(event, Delta):
            whole.add(event)
    return whole.text


@dataclass(slots=True)
class Counted:
    """Requests that the workers have, and what to make of their events."""

    request_ids: list[str]
    answer: Callable[[list[list[StreamEvent]]], dict[str, Any]]

    async def respond(self) -> HttpResponseBase:
        found = [await events_of(request_id) for request_id in self.request_ids]
        return json_response(self.answer(found))

    def abandon(self) -> None:
        submission.take_back(self.request_ids)
