"""Responses in the OpenAPI document."""

from typing import Final

from workers.api.chat import protocol as chat_protocol
from workers.api.chat import tools as chat_tools
from workers.api.chat.openapi import JSON_SCHEMA, LENGTH, TOOL_NAME
from workers.api.describing import (
    BOOLEAN,
    INTEGER,
    LABELS,
    MAYBE_SECONDS,
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
    deleted,
    nullable,
    obj,
    one_of,
    paging,
    ref,
    said,
)
from workers.api.responses import items, protocol

# --- the request -----------------------------------------------------------------------------------------------

PART: Final = any_of(
    {
        "type": "object",
        "properties": {"type": one_of(["input_text", "output_text", "text"]), "text": STRING},
        "required": ["type", "text"],
    },
    {
        "type": "object",
        "properties": {"type": const("refusal"), "refusal": STRING},
        "required": ["type", "refusal"],
    },
    {
        "type": "object",
        "properties": {
            "type": const("input_image"),
            "image_url": said(STRING, "A data: URL of a picture in base64."),
        },
        "required": ["type", "image_url"],
    },
)
CALL_ID: Final[Schema] = {"type": "string", "maxLength": 200}
ITEM: Final = any_of(
    closed(
        {
            "type": const("message"),
            "role": one_of(items.ROLES),
            "content": any_of(STRING, array(PART, minItems=1, maxItems=items.MOST_ITEMS)),
            "id": {},
            "status": {},
            "phase": {},
        },
        required=["role", "content"],
    ),
    {
        "type": "object",
        "properties": {
            "type": const("function_call"),
            "call_id": CALL_ID,
            "name": CALL_ID,
            "arguments": said(STRING, "JSON, in a string."),
        },
        "required": ["type", "call_id", "name", "arguments"],
    },
    {
        "type": "object",
        "properties": {
            "type": const("function_call_output"),
            "call_id": CALL_ID,
            "output": any_of(STRING, array(PART, maxItems=items.MOST_ITEMS)),
        },
        "required": ["type", "call_id", "output"],
    },
    {"type": "object", "properties": {"type": const("reasoning")}, "required": ["type"]},
)
_TOOL: Final[dict[str, Schema]] = {
    "type": const("function"),
    "name": TOOL_NAME,
    "description": {"type": "string", "maxLength": chat_tools.LONGEST_DESCRIPTION},
    "parameters": JSON_SCHEMA,
    "strict": BOOLEAN,
}
TOOL: Final = closed(
    {**{name: {} for name in sorted(protocol.TOOL_KEYS)}, **_TOOL}, required=["type", "name"]
)
TOOL_CHOICE: Final = any_of(
    one_of(chat_tools.CHOICES),
    closed({"type": const("function"), "name": STRING}, required=["type", "name"]),
    closed(
        {
            "type": const("allowed_tools"),
            "mode": one_of(["auto", "required"]),
            "tools": array(
                {"type": "object", "properties": {"name": STRING}, "required": ["name"]},
                minItems=1,
                maxItems=chat_tools.MOST_TOOLS,
            ),
        },
        required=["type", "mode", "tools"],
    ),
)
FORMAT: Final = any_of(
    closed({"type": one_of(["text", "json_object"])}, required=["type"]),
    closed(
        {
            "type": const("json_schema"),
            "name": TOOL_NAME,
            "schema": JSON_SCHEMA,
            "strict": BOOLEAN,
            "description": {"type": "string", "maxLength": chat_tools.LONGEST_DESCRIPTION},
        },
        required=["type", "name", "schema"],
    ),
)
ASKED: Final[dict[str, Schema]] = {
    "model": MODEL,
    "input": any_of(STRING, array(ref("ResponseItem"), minItems=1, maxItems=items.MOST_ITEMS)),
    "instructions": said(STRING, "A system message, for this response alone."),
    "previous_response_id": {
        "type": "string",
        "maxLength": protocol.LONGEST_ID,
        "description": "The response that this one goes on from.",
    },
    "tools": array(TOOL, maxItems=chat_tools.MOST_TOOLS),
    "tool_choice": TOOL_CHOICE,
    "parallel_tool_calls": BOOLEAN,
    "text": closed({"format": FORMAT, "verbosity": const("medium")}),
    "reasoning": closed(
        {
            "effort": one_of(sorted(chat_protocol.EFFORTS)),
            "summary": const("auto"),
            "generate_summary": const("auto"),
        }
    ),
}
REQUEST: Final = body(
    {
        **ASKED,
        "stream": said(BOOLEAN, "Answer with server-sent events, each with its type and number."),
        "stream_options": closed({"include_obfuscation": BOOLEAN}, description="Only with 'stream': true."),
        "store": {**BOOLEAN, "default": True},
        "background": said(BOOLEAN, "Answer at once and go on; needs 'store'."),
        "max_output_tokens": LENGTH,
        "temperature": {"type": "number", **chat_protocol.NUMBERS["temperature"]},
        "top_p": {"type": "number", **chat_protocol.NUMBERS["top_p"]},
        "metadata": LABELS,
    },
    required=["model", "input"],
    without_effect=chat_protocol.WITHOUT_EFFECT,
    unsupported=protocol.UNSUPPORTED,
)
COUNT: Final = body(ASKED, required=["model", "input"], unsupported=protocol.UNSUPPORTED_IN_COUNT)

# --- the answer ------------------------------------------------------------------------------------------------

RESPONSE: Final = obj(
    {
        "id": STRING,
        "object": const("response"),
        "created_at": SECONDS,
        "completed_at": MAYBE_SECONDS,
        "status": one_of(["queued", "in_progress", "completed", "incomplete", "failed", "cancelled"]),
        "background": BOOLEAN,
        "model": STRING,
        "output": array(obj({"id": STRING, "type": one_of(["message", "reasoning", "function_call"])})),
        "usage": nullable(obj({"input_tokens": INTEGER, "output_tokens": INTEGER, "total_tokens": INTEGER})),
        "error": nullable(OBJECT),
        "incomplete_details": nullable(OBJECT),
        "instructions": MAYBE_STRING,
        "previous_response_id": MAYBE_STRING,
        "metadata": LABELS,
    }
)
define(
    {
        "ResponseItem": ITEM,
        "ResponseRequest": REQUEST,
        "ResponseCountRequest": COUNT,
        "Response": RESPONSE,
        "StoredItem": obj({"id": STRING, "type": STRING}),
    }
)
define_lists({"StoredItemList": "StoredItem"})

TAG: Final = "Responses"
CREATE: Final = Operation(
    id="createResponse",
    tag=TAG,
    summary="Answer, and keep the turn",
    description="The server keeps the conversation: the next response names this one in 'previous_response_id' and "
    "brings only what is new.",
    body=ref("ResponseRequest"),
    example={"model": "MODEL", "input": "Name three rivers.", "max_output_tokens": 100},
    answer=ref("Response"),
    streams=True,
    works=True,
    code={
        "python": """\
from openai import OpenAI

client = OpenAI(base_url="BASE_URL/v1", api_key="KEY")
first = client.responses.create(model="MODEL", input="Name three rivers.")
print(first.output_text)
second = client.responses.create(
    model="MODEL", input="Which is the longest?", previous_response_id=first.id
)
print(second.output_text)
""",
        "node": """\
import OpenAI from "openai";

const client = new OpenAI({ baseURL: "BASE_URL/v1", apiKey: "KEY" });
const first = await client.responses.create({ model: "MODEL", input: "Name three rivers." });
console.log(first.output_text);
const second = await client.responses.create({
  model: "MODEL",
  input: "Which is the longest?",
  previous_response_id: first.id,
});
console.log(second.output_text);
""",
    },
)
RETRIEVE: Final = Operation(
    id="getResponse",
    tag=TAG,
    summary="Retrieve a response, or read its stream again",
    query={
        "stream": one_of(["true", "false"], default="false"),
        "starting_after": {
            "type": "integer",
            "minimum": 0,
            "maximum": 10**9,
            "description": "The number of the last event that you have. Only with stream=true.",
        },
    },
    answer=ref("Response"),
    streams=True,
)
DELETE: Final = Operation(
    id="deleteResponse", tag=TAG, summary="Delete a response", answer=deleted("response")
)
CANCEL: Final = Operation(
    id="cancelResponse",
    tag=TAG,
    summary="Cancel a response in the background",
    answer=ref("Response"),
)
ITEMS: Final = Operation(
    id="listInputItems",
    tag=TAG,
    summary="List what a response answered",
    query=paging(),
    answer=ref("StoredItemList"),
)
INPUT_TOKENS: Final = Operation(
    id="countInputTokens",
    tag=TAG,
    summary="Count the tokens of a prompt",
    body=ref("ResponseCountRequest"),
    example={"model": "MODEL", "input": "Name three rivers."},
    answer=obj({"object": const("response.input_tokens"), "input_tokens": INTEGER}),
    works=True,
)
