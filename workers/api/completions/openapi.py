"""Completions in the OpenAPI document."""

from typing import Final

from workers.api.chat.openapi import LENGTH, RESPONSE_FORMAT, SAMPLING, STREAM_OPTIONS
from workers.api.chat.protocol import CHOICES, MOST_TOKENS
from workers.api.completions import protocol
from workers.api.describing import (
    BOOLEAN,
    INTEGER,
    MODEL,
    OBJECT,
    SECONDS,
    STRING,
    Operation,
    Schema,
    any_of,
    array,
    body,
    const,
    define,
    nullable,
    obj,
    one_of,
    ref,
    said,
)

TOKEN: Final[Schema] = {"type": "integer", "minimum": 0, "maximum": protocol.LARGEST_TOKEN}
TOKENS: Final = array(TOKEN, minItems=1)


def inputs(most: int, *, shortest: int = 0) -> Schema:
    """What `protocol.read_inputs` takes."""
    one: Schema = {"type": "string", "minLength": shortest}
    return any_of(
        one,
        TOKENS,
        array(any_of(one, TOKENS), minItems=1, maxItems=most),
        description="A text, a list of texts, a list of token ids, or a list of lists of them.",
    )


REQUEST: Final = body(
    {
        "model": MODEL,
        "prompt": inputs(protocol.MOST_PROMPTS),
        **SAMPLING,
        "suffix": said(STRING, "What follows the gap; for chat models that can fill one."),
        "max_tokens": {
            **LENGTH,
            "minimum": 0,
            "maximum": MOST_TOKENS,
            "default": protocol.DEFAULT_TOKENS,
            "description": "0 is for 'echo' with 'logprobs'.",
        },
        "echo": BOOLEAN,
        "n": {"type": "integer", **CHOICES},
        "best_of": {"type": "integer", **CHOICES, "description": "Only the same as 'n'."},
        "logprobs": {"type": "integer", "minimum": 0, "maximum": protocol.MOST_LOGPROBS},
        "stream": BOOLEAN,
        "stream_options": STREAM_OPTIONS,
        "response_format": RESPONSE_FORMAT,
    },
    required=["model", "prompt"],
    without_effect=protocol.WITHOUT_EFFECT,
)
COMPLETION: Final = obj(
    {
        "id": STRING,
        "object": const("text_completion"),
        "created": SECONDS,
        "model": STRING,
        "choices": array(
            obj(
                {
                    "index": INTEGER,
                    "text": STRING,
                    "logprobs": nullable(OBJECT),
                    "finish_reason": nullable(one_of(["stop", "length"])),
                }
            )
        ),
        "usage": any_of(ref("Usage"), const(None)),
    },
    required=["id", "object", "created", "model", "choices"],
)
define({"CompletionRequest": REQUEST, "Completion": COMPLETION})
CREATE: Final = Operation(
    id="createCompletion",
    tag="Completions",
    summary="Go on with a raw prompt",
    description="No chat template is applied.",
    body=ref("CompletionRequest"),
    example={"model": "MODEL", "prompt": "The longest river of Europe is", "max_tokens": 20},
    answer=ref("Completion"),
    streams=True,
    works=True,
)
