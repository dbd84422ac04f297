"""Chat completions in the OpenAPI document."""

from typing import Any, Final

from workers.api import schemas
from workers.api.chat import messages, protocol, tools
from workers.api.describing import (
    BOOLEAN,
    INTEGER,
    LABELS,
    MAYBE_STRING,
    MODEL,
    OBJECT,
    SECONDS,
    STRING,
    Operation,
    Schema,
    any_of,
    array,
    body,
    closed,
    const,
    define,
    define_lists,
    nullable,
    obj,
    one_of,
    paging,
    ref,
    said,
)
from workers.api.describing import deleted as deleted_object

# --- messages --------------------------------------------------------------------------------------------------

TEXT_PART: Final = closed(
    {"type": const("text"), "text": STRING, "prompt_cache_breakpoint": {}}, required=["type", "text"]
)
IMAGE_PART: Final = closed(
    {
        "type": const("image_url"),
        "image_url": closed(
            {
                "url": {
                    "type": "string",
                    "description": "A data: URL of a PNG, JPEG, GIF or WebP picture in base64.",
                },
                "detail": {"type": "string", "maxLength": 16},
            },
            required=["url"],
        ),
    },
    required=["type", "image_url"],
)
TOOL_CALL: Final = closed(
    {
        "id": {"type": "string", "maxLength": 128},
        "type": const("function"),
        "index": {},
        "function": closed(
            {
                "name": {"type": "string", "maxLength": 128},
                "arguments": {"type": "string", "description": "JSON, in a string."},
            },
            required=["name"],
        ),
    },
    required=["id", "function"],
)


def _content(*parts: Schema) -> Schema:
    return any_of(STRING, array(any_of(*parts), minItems=1, maxItems=messages.MOST_PARTS))


def _message(role: str) -> Schema:
    """What a message of that role may hold, from the tables of `chat.messages`."""
    inner = messages.ROLES[role]
    properties: dict[str, Schema] = {
        "role": const(role),
        "content": _content(TEXT_PART, IMAGE_PART) if inner == "user" else _content(TEXT_PART),
        "name": {"type": "string", "maxLength": 64},
        "tool_call_id": {"type": "string", "maxLength": 128} if inner == "tool" else const(None),
        "tool_calls": array(TOOL_CALL, maxItems=tools.MOST_TOOLS if inner == "assistant" else 0),
    }
    if inner == "assistant":
        properties |= {"reasoning": STRING, "reasoning_content": STRING}
    for name, neutral in messages.UNSUPPORTED.items():
        properties[name] = one_of([*neutral, None])
    if inner == "assistant":
        spoken = {"required": ["content"], "properties": {"content": {"type": ["string", "array"]}}}
        called = {"required": ["tool_calls"], "properties": {"tool_calls": {"type": "array", "minItems": 1}}}
        return closed(properties, required=["role"], anyOf=[spoken, called])
    required = ["role", "content", *(["tool_call_id"] if inner == "tool" else [])]
    return closed(properties, required=required)


MESSAGE: Final = any_of(*map(_message, messages.ROLES))
MESSAGES: Final = array(ref("ChatMessage"), minItems=1, maxItems=messages.MOST_MESSAGES)

# --- tools and the shape of the answer -------------------------------------------------------------------------

TOOL_NAME: Final[Schema] = {"type": "string", "pattern": f"^{tools.NAME.pattern}$"}
JSON_SCHEMA: Final[Schema] = {"type": "object", "description": "A JSON schema."}
TOOL: Final = closed(
    {
        "type": const("function"),
        "function": closed(
            {
                "name": TOOL_NAME,
                "description": {"type": "string", "maxLength": tools.LONGEST_DESCRIPTION},
                "parameters": JSON_SCHEMA,
                "strict": BOOLEAN,
            },
            required=["name"],
        ),
    },
    required=["type", "function"],
)
NAMED: Final = {"type": "object", "properties": {"name": STRING}, "required": ["name"]}
TOOL_CHOICE: Final = any_of(
    one_of(tools.CHOICES),
    closed({"type": const("function"), "function": NAMED}, required=["type", "function"]),
    closed(
        {
            "type": const("allowed_tools"),
            "allowed_tools": closed(
                {
                    "mode": one_of(["auto", "required"]),
                    "tools": array(
                        {"type": "object", "properties": {"function": NAMED}, "required": ["function"]},
                        minItems=1,
                        maxItems=tools.MOST_TOOLS,
                    ),
                },
                required=["mode", "tools"],
            ),
        },
        required=["type", "allowed_tools"],
    ),
    description="Which of the tools may or must be called. One that must be needs 'tools'.",
)
SOME_TEXT: Final[Schema] = {"type": "string", "minLength": 1, "maxLength": schemas.LARGEST, "pattern": "\\S"}
RESPONSE_FORMAT: Final = any_of(
    closed({"type": one_of(["text", "json_object"])}, required=["type"]),
    closed(
        {
            "type": const("json_schema"),
            "json_schema": closed(
                {
                    "name": TOOL_NAME,
                    "schema": JSON_SCHEMA,
                    "strict": BOOLEAN,
                    "description": {"type": "string", "maxLength": tools.LONGEST_DESCRIPTION},
                    "type": {},
                },
                required=["schema"],
            ),
        },
        required=["type", "json_schema"],
    ),
    closed({"type": const("grammar"), "grammar": SOME_TEXT}, required=["type", "grammar"]),
    closed({"type": const("regex"), "pattern": SOME_TEXT}, required=["type", "pattern"]),
    description="The shape that the answer has to have. 'grammar' (GBNF) and 'regex' are this server's own.",
)

# --- the request -----------------------------------------------------------------------------------------------

_STOP: Final[Schema] = {"type": "string", "minLength": 1, "maxLength": protocol.LONGEST_STOP}
SAMPLING: Final[dict[str, Schema]] = {
    **{name: {"type": "number", **bounds} for name, bounds in protocol.NUMBERS.items()},
    **{name: {"type": "integer", **bounds} for name, bounds in protocol.INTEGERS.items()},
    "stop": any_of(_STOP, array(_STOP, maxItems=protocol.MOST_STOPS)),
    "logit_bias": {
        "type": "object",
        "maxProperties": protocol.MOST_BIASES,
        "propertyNames": {"pattern": f"^{protocol.TOKEN_ID.pattern}$"},
        "additionalProperties": nullable({"type": "number", **protocol.BIAS}),
        "description": "Token id → bias; -100 forbids a token. See POST /v1/tokenize.",
    },
}
LENGTH: Final[Schema] = {"type": "integer", **protocol.LENGTH}
STREAM_OPTIONS: Final = closed(
    {"include_usage": BOOLEAN, "include_obfuscation": BOOLEAN},
    description="Only with 'stream': true.",
)

REQUEST: Final = body(
    {
        "model": MODEL,
        "messages": MESSAGES,
        **SAMPLING,
        "max_tokens": said(LENGTH, "The older name of 'max_completion_tokens'."),
        "max_completion_tokens": said(LENGTH, "Without it: to the end of the context."),
        "n": {"type": "integer", **protocol.CHOICES, "description": "Replies to the same messages."},
        "stream": said(BOOLEAN, "Answer with server-sent events, the last of them [DONE]."),
        "stream_options": STREAM_OPTIONS,
        "logprobs": BOOLEAN,
        "top_logprobs": {"type": "integer", **protocol.TOP_LOGPROBS, "description": "Only with 'logprobs': true."},
        "tools": array(TOOL, maxItems=tools.MOST_TOOLS),
        "tool_choice": TOOL_CHOICE,
        "parallel_tool_calls": BOOLEAN,
        "response_format": RESPONSE_FORMAT,
        "reasoning_effort": one_of(sorted(protocol.EFFORTS)),
        "store": said(BOOLEAN, "Keep the completion: GET /v1/chat/completions lists it."),
        "metadata": LABELS,
    },
    required=["model", "messages"],
    without_effect=protocol.WITHOUT_EFFECT,
    unsupported=protocol.UNSUPPORTED,
)  # fmt: skip

# --- the answer ------------------------------------------------------------------------------------------------

USAGE: Final = obj(
    {
        "prompt_tokens": INTEGER,
        "completion_tokens": INTEGER,
        "total_tokens": INTEGER,
        "prompt_tokens_details": obj({"cached_tokens": INTEGER}),
    }
)
ANSWERED_CALL: Final = obj(
    {"id": STRING, "type": const("function"), "function": obj({"name": STRING, "arguments": STRING})}
)
FINISH_REASON: Final = one_of(["stop", "length", "tool_calls"])
COMPLETION: Final = obj(
    {
        "id": STRING,
        "object": const("chat.completion"),
        "created": SECONDS,
        "model": STRING,
        "choices": array(
            obj(
                {
                    "index": INTEGER,
                    "message": obj(
                        {
                            "role": const("assistant"),
                            "content": MAYBE_STRING,
                            "refusal": MAYBE_STRING,
                            "reasoning": STRING,
                            "reasoning_content": STRING,
                            "tool_calls": array(ANSWERED_CALL),
                        },
                        required=["role", "content", "refusal"],
                    ),
                    "logprobs": nullable(OBJECT),
                    "finish_reason": FINISH_REASON,
                }
            )
        ),
        "usage": ref("Usage"),
        "metadata": said(LABELS, "Of a stored completion."),
    },
    required=["id", "object", "created", "model", "choices", "usage"],
)
CHUNK: Final = obj(
    {
        "id": STRING,
        "object": const("chat.completion.chunk"),
        "created": SECONDS,
        "model": STRING,
        "choices": array(
            obj(
                {
                    "index": INTEGER,
                    "delta": OBJECT,
                    "logprobs": nullable(OBJECT),
                    "finish_reason": nullable(FINISH_REASON),
                }
            )
        ),
        "usage": any_of(ref("Usage"), const(None)),
    },
    required=["id", "object", "created", "model", "choices"],
)
STORED_MESSAGE: Final = obj({"id": STRING, "role": STRING}, required=["id"])
STORED: Final = {
    **COMPLETION,
    "properties": {**COMPLETION["properties"], "usage": any_of(ref("Usage"), const(None))},
}

define(
    {
        "ChatMessage": MESSAGE,
        "ChatCompletionRequest": REQUEST,
        "ChatCompletion": COMPLETION,
        "ChatCompletionChunk": CHUNK,
        "StoredCompletion": STORED,
        "StoredMessage": STORED_MESSAGE,
        "Usage": USAGE,
    }
)

EXAMPLE: Final[dict[str, Any]] = {
    "model": "MODEL",
    "messages": [{"role": "user", "content": "Name three rivers."}],
    "max_completion_tokens": 100,
}
TAG: Final = "Chat completions"
CREATE: Final = Operation(
    id="createChatCompletion",
    tag=TAG,
    summary="Answer a conversation",
    description="With 'stream': true the answer comes as it is written, in chunks. What the chosen chat model cannot "
    "do is refused with 400 and the parameter's name; nothing is dropped silently.",
    body=ref("ChatCompletionRequest"),
    example=EXAMPLE,
    answer=ref("ChatCompletion"),
    streams=True,
    works=True,
    code={
        "python": """\
from openai import OpenAI

client = OpenAI(base_url="BASE_URL/v1", api_key="KEY")
stream = client.chat.completions.create(
    model="MODEL",
    messages=[{"role": "user", "content": "Name three rivers."}],
    stream=True,
)
for chunk in stream:
    print(chunk.choices[0].delta.content or "", end="", flush=True)
""",
        "node": """\
import OpenAI from "openai";

const client = new OpenAI({ baseURL: "BASE_URL/v1", apiKey: "KEY" });
const stream = await client.chat.completions.create({
  model: "MODEL",
  messages: [{ role: "user", content: "Name three rivers." }],
  stream: true,
});
for await (const chunk of stream) {
  process.stdout.write(chunk.choices[0]?.delta?.content ?? "");
}
""",
    },
)
LIST: Final = Operation(
    id="listChatCompletions",
    tag=TAG,
    summary="List what was made with 'store': true",
    query={
        **paging(order="asc"),
        "model": said(STRING, "Only those of this chat model. Labels filter as well: metadata[name]=value."),
    },
    answer=ref("StoredCompletionList"),
)
RETRIEVE: Final = Operation(
    id="getChatCompletion", tag=TAG, summary="Retrieve a stored completion", answer=ref("StoredCompletion")
)
UPDATE: Final = Operation(
    id="updateChatCompletion",
    tag=TAG,
    summary="Replace the labels of a stored completion",
    body=closed({"metadata": LABELS}, required=["metadata"]),
    example={"metadata": {"project": "rivers"}},
    answer=ref("StoredCompletion"),
)
DELETE: Final = Operation(
    id="deleteChatCompletion",
    tag=TAG,
    summary="Delete a stored completion",
    answer=deleted_object("chat.completion.deleted"),
)
MESSAGES_OF: Final = Operation(
    id="getChatCompletionMessages",
    tag=TAG,
    summary="List the messages that a stored completion answered",
    query=paging(order="asc"),
    answer=ref("StoredMessageList"),
)
define_lists({"StoredCompletionList": "StoredCompletion", "StoredMessageList": "StoredMessage"})
