"""Hands generations to the workers on behalf of the caller: within their limits, and with an account of the use."""

import json
import logging
import math
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Final

from chatsite.accounts.models import ApiKey
from chatsite.accounts.services import quotas
from workers import client
from workers.api import caller, errors
from workers.connections import UNREACHABLE
from workers.protocol import EmbeddingRequest, GenerationRequest, WorkerRequest, lack

logger = logging.getLogger(__name__)

# Set aside for a reply whose length nobody bounded.
UNBOUNDED_REPLY: Final = 1024  # tokens
# Of UTF-8 per token, in most languages and vocabularies. Only until the true number is reported.
BYTES_PER_TOKEN: Final = 4


def submit(generation: WorkerRequest) -> None:
    """Submit it, with its tokens reserved.

    Raises `ApiError`: the caller's limit is used up, nobody serves the chat model, too many requests wait.
    """
    check_abilities(generation)
    who = caller.current()
    if who is not None and who.resumes and client.state(generation.id) is not None:
        return
    if who is not None:
        generation = replace(generation, asker=_asker(who))
    reserved = who is not None and bool(generation.report_key) and _reserve(who, generation)
    if reserved:
        generation = replace(
            generation, report_key=json.dumps({**json.loads(generation.report_key), "reserved": True})
        )
    try:
        client.submit(generation)
    except BaseException as error:
        if reserved:
            quotas.settle(request_id=generation.id, tokens=0)
        if isinstance(error, client.Submission):
            raise errors.submission_error(error) from error
        raise


def _asker(who: caller.Caller) -> str:
    """A person takes one turn with all of their keys and pages; batches take one together."""
    return f"user-{who.api_key.owner_id}" if who.limited else "batches"


def nth_id(request_id: str, number: int) -> str:
    """The id of one of several requests that answer an API request together.

    The same each time, so that a request that is taken up again finds its replies.
    """
    return uuid.uuid5(uuid.UUID(request_id), str(number)).hex if number else request_id


def submit_all(generations: Sequence[WorkerRequest]) -> None:
    """Submit all of them or, when one is refused, none."""
    for number, generation in enumerate(generations):
        try:
            submit(generation)
        except BaseException:
            take_back([earlier.id for earlier in generations[:number]])
            raise


def take_back(request_ids: Sequence[str]) -> None:
    """Nobody reads the replies any more. Raises nothing: there is nobody to tell."""
    for request_id in request_ids:
        try:
            client.cancel(request_id)
        except UNREACHABLE:
            logger.warning("Request %s could not be cancelled: the broker is away.", request_id)


def check_abilities(request: WorkerRequest) -> None:
    """Refuse what no live worker can do with the chat model. Raises `InvalidParameter` that names the parameter."""
    hosted = [
        model
        for status in client.statuses()
        for model in status.models
        if model.name == request.chat_model and status.serves(model.name)
    ]
    missing = [lack(request, model) for model in hosted]
    if hosted and all(missing) and (first := missing[0]):
        raise errors.unsupported(first.param, first.message)


def report_key(api_key: ApiKey, chat_model: str, source: str = "api") -> str:
    """For the report of a request's usage: whom the tokens are counted to."""
    return json.dumps(
        {"user": api_key.owner_id, "api_key": api_key.pk, "source": source, "chat_model": chat_model}
    )


def without_prompt(key: str) -> str:
    """A `report_key` for a further reply to a prompt that another one of them pays for."""
    return json.dumps({**json.loads(key), "prompt_paid": True})


def estimate(generation: WorkerRequest) -> int:
    """The most tokens that the request is expected to use."""
    match generation:
        case GenerationRequest():
            reply = generation.sampling.max_tokens or UNBOUNDED_REPLY
            if generation.report_key and "prompt_paid" in json.loads(generation.report_key):
                return reply
            spoken = [
                (m.content, m.reasoning, *(c.arguments for c in m.tool_calls)) for m in generation.messages
            ]
            tools = [(tool.name, tool.description, tool.parameters) for tool in generation.tools]
            texts = [text for group in (*spoken, *tools) for text in group]
            return reply + 4 * len(spoken) + _tokens(texts) + _tokens([generation.prompt or ""])
        case EmbeddingRequest():
            return _tokens(generation.inputs)
        case _:
            return 0  # tokenizing is no generation


def _tokens(texts: Iterable[str | tuple[int, ...]]) -> int:
    return sum(
        math.ceil(len(text.encode()) / BYTES_PER_TOKEN) if isinstance(text, str) else len(text)
        for text in texts
    )


def _reserve(who: caller.Caller, generation: WorkerRequest) -> bool:
    try:
        return who.reserve(generation.id, estimate(generation))
    except quotas.OverLimit as error:
        raise errors.over_limit(error) from error
