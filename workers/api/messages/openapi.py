"""Anthropic's messages in the OpenAPI document."""

from typing import Final

from workers.api.chat.openapi import JSON_SCHEMA, TOOL_NAME
from workers.api.chat.protocol import LENGTH, LONGEST_STOP
from workers.api.chat.tools import LONGEST_DESCRIPTION, MOST_TOOLS
from workers.api.describing import (
    BOOLEAN,
    INTEGER,
    MAYBE_STRING,
    MODEL,
    OBJECT,
    STRING,
    Operation,
    Schema,
    any_of,
    array,
    body,
    closed,
    const,
    define,
    obj,
    one_of,
    ref,
    said,
)
from workers.api.messages import protocol

_ID: Final[Schema] = {"type": "string", "maxLength": 128}
TEXT: Final = closed(
    {"type": const("text"), "text": STRING, "cache_control": {}, "citations": {}}, required=["type", "text"]
)
TEXTS: Final = any_of(STRING, array(TEXT, maxItems=protocol.MOST_BLOCKS))
IMAGE: Final = closed(
    {
        "type": const("image"),
        "source": any_of(
            {
                "type": "object",
                "properties": {
                    "type": const("base64"),
                    "media_type": {"type": "string", "maxLength": 50},
                    "data": STRING,
                },
                "required": ["type", "media_type", "data"],
            },
            {
                "type": "object",
                "properties": {"type": const("url"), "url": STRING},
                "required": ["type", "url"],
            },
        ),
        "cache_control": {},
    },
    required=["type", "source"],
)
RESULT: Final = closed(
    {
        "type": const("tool_result"),
        "tool_use_id": _ID,
        "content": TEXTS,
        "is_error": BOOLEAN,
        "cache_control": {},
    },
    required=["type", "tool_use_id"],
)
USE: Final = closed(
    {
        "type": const("tool_use"),
        "id": _ID,
        "name": _ID,
        "input": OBJECT,
        "cache_control": {},
        "caller": {},
    },
    required=["type", "id", "name"],
)
THINKING: Final = any_of(
    {
        "type": "object",
        "properties": {"type": const("thinking"), "thinking": STRING},
        "required": ["type"],
    },
    {"type": "object", "properties": {"type": const("redacted_thinking")}, "required": ["type"]},
)


def _message(role: str, *blocks: Schema) -> Schema:
    content = any_of(STRING, array(any_of(*blocks), minItems=1, maxItems=protocol.MOST_BLOCKS))
    return closed({"role": const(role), "content": content}, required=["role", "content"])


MESSAGE: Final = any_of(
    _message("user", TEXT, IMAGE, RESULT),
    _message("assistant", TEXT, USE, THINKING),
    _message("system", TEXT, RESULT),
)
TOOL: Final = closed(
    {
        **{name: {} for name in sorted(protocol.TOOL_KEYS)},
        "type": const("custom"),
        "name": TOOL_NAME,
        "description": {"type": "string", "maxLength": LONGEST_DESCRIPTION},
        "input_schema": JSON_SCHEMA,
        "strict": BOOLEAN,
    },
    required=["name", "input_schema"],
)
COUNTED: Final[dict[str, Schema]] = {
    "model": MODEL,
    "messages": array(ref("AnthropicMessageParam"), minItems=1, maxItems=protocol.MOST_MESSAGES),
    "system": TEXTS,
    "tools": array(TOOL, maxItems=MOST_TOOLS),
    "tool_choice": closed(
        {"type": one_of(["auto", "any", "tool", "none"]), "name": STRING, "disable_parallel_tool_use": BOOLEAN},
        required=["type"],
        description="'any' and 'tool' need 'tools'.",
    ),
    "thinking": closed(
        {
            "type": one_of(["enabled", "disabled", "adaptive"]),
            "budget_tokens": {"type": "integer", **LENGTH},
            "display": {},
        },
        required=["type"],
    ),
    "output_config": closed(
        {
            "effort": one_of(sorted(protocol.EFFORTS)),
            "format": closed(
                {"type": const("json_schema"), "schema": JSON_SCHEMA}, required=["type", "schema"]
            ),
        }
    ),
}  # fmt: skip
REQUEST: Final = body(
    {
        **COUNTED,
        "max_tokens": {"type": "integer", **LENGTH},
        "temperature": {"type": "number", **protocol.NUMBERS["temperature"]},
        "top_p": {"type": "number", **protocol.NUMBERS["top_p"]},
        "top_k": {"type": "integer", **protocol.TOP_K},
        "stop_sequences": array(
            {"type": "string", "minLength": 1, "maxLength": LONGEST_STOP, "pattern": "\\S"},
            maxItems=protocol.MOST_STOPS,
        ),
        "stream": said(BOOLEAN, "Answer with Anthropic's events."),
    },
    required=["model", "messages", "max_tokens"],
    without_effect=protocol.WITHOUT_EFFECT,
    unsupported=protocol.UNSUPPORTED,
)
COUNT: Final = body(COUNTED, required=["model", "messages"], without_effect=protocol.WITHOUT_EFFECT)
ANSWER: Final = obj(
    {
        "id": STRING,
        "type": const("message"),
        "role": const("assistant"),
        "model": STRING,
        "content": array(obj({"type": one_of(["text", "thinking", "tool_use"])})),
        "stop_reason": one_of(["end_turn", "max_tokens", "stop_sequence", "tool_use"]),
        "stop_sequence": MAYBE_STRING,
        "usage": obj({"input_tokens": INTEGER, "output_tokens": INTEGER}),
    }
)
define(
    {
        "AnthropicMessageParam": MESSAGE,
        "AnthropicRequest": REQUEST,
        "AnthropicCountRequest": COUNT,
        "AnthropicMessage": ANSWER,
    }
)
EXAMPLE: Final = {
    "model": "MODEL",
    "max_tokens": 100,
    "messages": [{"role": "user", "content": "Name three rivers."}],
}
TAG: Final = "Messages (Anthropic)"
CREATE: Final = Operation(
    id="createMessage",
    tag=TAG,
    summary="Answer a conversation, in Anthropic's language",
    description="For programs made for Anthropic's API, Claude Code among them. Errors have Anthropic's shape.",
    body=ref("AnthropicRequest"),
    example=EXAMPLE,
    answer=ref("AnthropicMessage"),
    streams=True,
    works=True,
    anthropic=True,
    code={
        "python": """\
from anthropic import Anthropic

client = Anthropic(base_url="BASE_URL", api_key="KEY")  # without /v1: the client adds it
with client.messages.stream(
    model="MODEL", max_tokens=100, messages=[{"role": "user", "content": "Name three rivers."}]
) as stream:
    for text in stream.text_stream:
        print(text, end="", flush=True)
""",
    },
)
COUNT_TOKENS: Final = Operation(
    id="countTokens",
    tag=TAG,
    summary="Count the tokens of a prompt",
    body=ref("AnthropicCountRequest"),
    example={name: value for name, value in EXAMPLE.items() if name != "max_tokens"},
    answer=obj({"input_tokens": INTEGER}),
    works=True,
    anthropic=True,
)
