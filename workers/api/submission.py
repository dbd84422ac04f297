"""Hands generations to the workers on behalf of the caller: within their limits, and with an account of the use."""

import json
import math
from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from chatsite.accounts.services import quotas
from workers import client
from workers.api import caller, errors
from workers.protocol import EmbeddingRequest, GenerationRequest, WorkerRequest

# Set aside for a reply whose length nobody bounded.
UNBOUNDED_REPLY: Final = 1024  # tokens
# Of UTF-8 per token, in most languages and vocabularies. Only until the true number is reported.
BYTES_PER_TOKEN: Final = 4


def submit(generation: WorkerRequest) -> None:
    """Submit it, with its tokens reserved.

    Raises `ApiError`: the caller's limit is used up, nobody serves the chat model, too many requests wait.
    """
    who = caller.current()
    if who is not None and who.resumes and client.state(generation.id) is not None:
        return
    reserved = who is not None and _reserve(who, generation)
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


def estimate(generation: WorkerRequest) -> int:
    """The most tokens that the request is expected to use."""
    match generation:
        case GenerationRequest():
            reply = generation.sampling.max_tokens or UNBOUNDED_REPLY
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
