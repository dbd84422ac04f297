"""Hands generations to the workers on behalf of the caller: within their limits, and with an account of the use."""

import json
import math
from dataclasses import replace
from typing import Final

from chatsite.accounts.services import quotas
from workers import client
from workers.api import caller, errors
from workers.protocol import GenerationRequest

# Set aside for a reply whose length nobody bounded.
UNBOUNDED_REPLY: Final = 1024  # tokens
# Of UTF-8 per token, in most languages and vocabularies. Only until the true number is reported.
BYTES_PER_TOKEN: Final = 4


def submit(generation: GenerationRequest) -> None:
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


def estimate(generation: GenerationRequest) -> int:
    """The most tokens that the request is expected to use."""
    prompt = sum(4 + math.ceil(len(m.content.encode()) / BYTES_PER_TOKEN) for m in generation.messages)
    return prompt + (generation.sampling.max_tokens or UNBOUNDED_REPLY)


def _reserve(who: caller.Caller, generation: GenerationRequest) -> bool:
    try:
        return who.reserve(generation.id, estimate(generation))
    except quotas.OverLimit as error:
        raise errors.over_limit(error) from error
