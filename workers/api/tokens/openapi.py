"""Counting and naming tokens, in the OpenAPI document."""

from typing import Final

from workers.api.chat.openapi import MESSAGES, TOOL
from workers.api.chat.tools import MOST_TOOLS
from workers.api.completions.openapi import TOKEN
from workers.api.describing import (
    BOOLEAN,
    INTEGER,
    MODEL,
    STRING,
    Operation,
    array,
    body,
    closed,
    define,
    obj,
    ref,
    said,
)
from workers.api.tokens import protocol

TOKENIZE_REQUEST: Final = body(
    {
        "model": MODEL,
        "prompt": STRING,
        "messages": said(MESSAGES, "Counted as a chat would be. Either these or 'prompt'."),
        "tools": array(TOOL, maxItems=MOST_TOOLS),
        "add_special_tokens": {**BOOLEAN, "default": True},
        "return_token_strs": BOOLEAN,
    },
    required=["model"],
    oneOf=[
        {"required": ["prompt"], "properties": {"prompt": STRING, "messages": {"type": "null"}}},
        {"required": ["messages"], "properties": {"messages": {"type": "array"}, "prompt": {"type": "null"}}},
    ],
)
DETOKENIZE_REQUEST: Final = body(
    {"model": MODEL, "tokens": array(TOKEN, maxItems=protocol.MOST_TOKENS)}, required=["model", "tokens"]
)
CHECK_REQUEST: Final = body(
    {
        "prompts": array(
            closed(
                {"model": MODEL, "prompt": STRING, "max_tokens": {"type": "integer", **protocol.WANTED}},
                required=["model", "prompt", "max_tokens"],
            ),
            minItems=1,
            maxItems=protocol.MOST_CHECKED,
        )
    },
    required=["prompts"],
)
TOKENIZED: Final = obj(
    {"count": INTEGER, "max_model_len": INTEGER, "tokens": array(INTEGER), "token_strs": array(STRING)},
    required=["count", "max_model_len", "tokens"],
)
CHECKED: Final = obj({"fits": BOOLEAN, "contextLength": INTEGER, "tokenCount": INTEGER})
define(
    {
        "TokenizeRequest": TOKENIZE_REQUEST,
        "DetokenizeRequest": DETOKENIZE_REQUEST,
        "TokenCheckRequest": CHECK_REQUEST,
        "Tokenized": TOKENIZED,
    }
)
TAG: Final = "Tokens"
TOKENIZE: Final = Operation(
    id="tokenize",
    tag=TAG,
    summary="Count and list the tokens of a text or a conversation",
    body=ref("TokenizeRequest"),
    example={"model": "MODEL", "prompt": "Name three rivers.", "return_token_strs": True},
    answer=ref("Tokenized"),
    works=True,
)
DETOKENIZE: Final = Operation(
    id="detokenize",
    tag=TAG,
    summary="The text of tokens",
    body=ref("DetokenizeRequest"),
    example={"model": "MODEL", "tokens": [1, 2, 3]},
    answer=obj({"prompt": STRING}),
    works=True,
)
TOKEN_CHECK: Final = Operation(
    id="tokenCheck",
    tag=TAG,
    summary="FastChat's question whether prompts fit into the context",
    body=ref("TokenCheckRequest"),
    example={"prompts": [{"model": "MODEL", "prompt": "Name three rivers.", "max_tokens": 100}]},
    answer=obj({"prompts": array(CHECKED)}),
    works=True,
)
