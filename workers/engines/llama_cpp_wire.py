"""Requests in the words of llama.cpp's server, and its answers in ours. Pure.

The fields are those of llama.cpp's `tools/server/README.md` (`/v1/chat/completions`, `/completion`).
"""

import json
import re
from collections import deque
from dataclasses import dataclass, replace
from typing import Any

from workers.engines import llguidance_language, tool_calls
from workers.engines.base import Meter, RefusedError
from workers.engines.infilling import Gap
from workers.engines.schemas import dangling, rooted
from workers.engines.tool_calls import CallReader
from workers.protocol import (
    LEAST_LOGPROB,
    ChatMessage,
    Constraint,
    ErrorCode,
    Failed,
    GenerationRequest,
    TokenLogprob,
    Tool,
    ToolCallDelta,
    TopLogprob,
)

ERROR_CODES = {
    "exceed_context_size_error": ErrorCode.CONTEXT_OVERFLOW,
    "invalid_request_error": ErrorCode.INVALID_REQUEST,
}
FORBIDDEN_BIAS = -100.0
TOKENS_OF_AN_IMAGE = 576
"""A guess for the room in the cache, until llama.cpp says it."""
# llama.cpp's own rule lets a model that is held to JSON fill line after line with blanks.
_SPACE_RULE = re.compile(r"^space ::= .*$", re.MULTILINE)
_SPACE = 'space ::= " "?'


@dataclass(frozen=True, slots=True)
class Wish:
    """A request as this engine puts it to llama.cpp."""

    request: GenerationRequest
    grammar: str = ""
    reader: CallReader | None = None
    """Reads tool calls out of the text, where the chat template has no place for them."""
    thinking: bool | None = None
    """Whether to think first; None for a chat template that knows no choice."""
    gap: Gap | None = None
    """How to fill the gap in front of the request's suffix."""
    loras: tuple[float, ...] = ()
    """The scale of each adapter that llama.cpp has."""


def prepare(
    request: GenerationRequest,
    *,
    native_tools: bool,
    can_think: bool,
    gap: Gap | None = None,
    loras: tuple[float, ...] = (),
) -> Wish:
    """Raises `RefusedError` for a constraint that cannot be enforced."""
    reader = None
    if request.tools and request.tool_choice == "none":
        request = replace(request, tools=())
    if request.tools and not native_tools:
        plan = tool_calls.plan(request)
        request = replace(request, messages=plan.messages, constraint=plan.constraint, tools=())
        reader = plan.reader
    elif not native_tools:
        request = replace(request, messages=tool_calls.plain_messages(request.messages))
    thinking = None if not can_think or not request.reasoning_effort else request.reasoning_effort != "none"
    # With tools of its own llama.cpp makes one grammar of the calls and the schema.
    own = request.constraint if request.tools else None
    grammar = grammar_of(request.constraint) if request.constraint and own is None else ""
    return Wish(request, grammar, reader, thinking, gap if request.suffix else None, loras)


def grammar_of(constraint: Constraint) -> str:
    """In llama.cpp's GBNF, or in llguidance's language, which llama.cpp tells by its first line."""
    if constraint.kind == "grammar":
        foreign = constraint.value.startswith(llguidance_language.FIRST_LINE)
        return llguidance_language.checked(constraint.value) if foreign else constraint.value
    if constraint.kind == "regex":
        return llguidance_language.of_regex(constraint.value)
    import xllamacpp

    schema = {"type": "object"} if constraint.kind == "json_object" else json.loads(constraint.value)
    schema = rooted(schema) if isinstance(schema, dict) else schema
    if isinstance(schema, dict) and (missing := dangling(schema)):
        raise RefusedError(
            f"The JSON schema refers to {missing[0]}; only its own definitions in $defs can be referred to.",
            "response_format",
        )
    try:
        grammar = str(xllamacpp.json_schema_to_grammar(json.dumps(schema)))
    except Exception as error:  # its text quotes the schema, which is the caller's own
        raise RefusedError(
            f"llama.cpp cannot enforce this JSON schema: {str(error)[:300]}", "response_format"
        ) from error
    return _SPACE_RULE.sub(lambda _: _SPACE, grammar)


def payload(wish: Wish, *, before: int = 0) -> dict[str, Any]:
    """The body for llama.cpp. `before`: tokens of the request's prefix."""
    request = wish.request
    sampling = request.sampling
    values: dict[str, Any] = {
        "stream": True,
        "timings_per_token": True,  # exact counts also for a reply that is stopped
        "return_progress": True,  # a call back per prompt step, so that a stop is seen while a prompt is read
        "stream_options": {"include_usage": True},
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "max_tokens": None if sampling.max_tokens is None else sampling.max_tokens - before,
        "seed": None if sampling.seed is None else sampling.seed % 2**32,
        # K/V that were computed in another batch differ in their last bits, which is enough for another word. Who
        # gives a seed wants the same answer again, and waits for the prompt to be read anew.
        "cache_prompt": None if sampling.seed is None else False,
        "presence_penalty": sampling.presence_penalty,
        "frequency_penalty": sampling.frequency_penalty,
        "top_k": sampling.top_k,
        "min_p": sampling.min_p,
        "repeat_penalty": sampling.repetition_penalty,
        "logit_bias": [[token, _bias(bias)] for token, bias in sampling.logit_bias] or None,
        "grammar": wish.grammar or None,
        # An adapter that is not named is off; with none named llama.cpp would apply all of them.
        "lora": [{"id": number, "scale": scale} for number, scale in enumerate(wish.loras)] or None,
        **_what_to_answer(wish),
    }
    return {name: value for name, value in values.items() if value is not None}


def _what_to_answer(wish: Wish) -> dict[str, Any]:
    request, sampling = wish.request, wish.request.sampling
    probabilities = max(1, sampling.top_logprobs) if sampling.logprobs else None
    if request.prompt is not None:
        return {"prompt": raw_prompt(request, wish.gap), "logprobs": probabilities}
    values: dict[str, Any] = {
        "messages": _messages(request),
        "logprobs": sampling.logprobs or None,
        "top_logprobs": probabilities,
    }
    if wish.thinking is not None:
        values["chat_template_kwargs"] = {
            "enable_thinking": wish.thinking,
            "reasoning_effort": request.reasoning_effort,
        }
    if request.tools:
        values |= {
            "tools": [tool_object(tool) for tool in request.tools],
            "tool_choice": request.tool_choice,
            "parallel_tool_calls": request.parallel_tool_calls,
        }
        if request.constraint is not None and request.constraint.kind != "grammar":
            schema = json.loads(request.constraint.value or '{"type": "object"}')
            values["response_format"] = {"type": "json_schema", "json_schema": {"schema": schema}}
    return values


def raw_prompt(request: GenerationRequest, gap: Gap | None = None) -> Any:
    """Text, ids, or ids with the text of the prefix behind them: llama.cpp takes all three."""
    if gap is not None:
        prompt = (request.prompt,) if isinstance(request.prompt, str) else (request.prompt or ())
        return [*gap.around(prompt, request.suffix), *([request.prefix] if request.prefix else ())]
    if isinstance(request.prompt, str):
        return request.prompt + request.prefix
    return [*(request.prompt or ()), *([request.prefix] if request.prefix else ())]


def _messages(request: GenerationRequest) -> list[dict[str, Any]]:
    messages = [message_object(message) for message in request.messages]
    if request.prefix:  # an open turn of the assistant, which the model goes on with
        if messages[-1]["role"] == "assistant":  # llama.cpp refuses two of them
            messages[-1]["content"] += request.prefix
        else:
            messages.append({"role": "assistant", "content": request.prefix})
    return messages


def message_object(message: ChatMessage) -> dict[str, Any]:
    values: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.images:
        pictures = [{"type": "image_url", "image_url": {"url": url}} for url in message.images]
        values["content"] = [*pictures, {"type": "text", "text": message.content}]
    if message.tool_calls:
        values["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": call.arguments},
            }
            for call in message.tool_calls
        ]
    extras = {
        "tool_call_id": message.tool_call_id,
        "name": message.name,
        "reasoning_content": message.reasoning,
    }
    return values | {name: value for name, value in extras.items() if value}


def tool_object(tool: Tool) -> dict[str, Any]:
    function = {
        "name": tool.name,
        "description": tool.description,
        "parameters": json.loads(tool.parameters) or {"type": "object", "properties": {}},
    }
    return {"type": "function", "function": function}


def _bias(bias: float) -> float | bool:
    return False if bias <= FORBIDDEN_BIAS else bias


def guess_tokens(request: GenerationRequest) -> int:
    """About how many tokens the request begins with; llama.cpp says it exactly a moment later."""
    if request.prompt is not None and not isinstance(request.prompt, str):
        return len(request.prompt)
    letters = sum(len(message.content.encode(errors="replace")) for message in request.messages)
    letters += len((request.prompt or "").encode(errors="replace")) + len(request.prefix)
    images = sum(len(message.images) for message in request.messages)
    return letters // 3 + 8 * len(request.messages) + TOKENS_OF_AN_IMAGE * images


def failure(
    meter: Meter, error: dict[str, Any], *, constrained: bool = False, pictured: bool = False
) -> Failed:
    """llama.cpp's error object as ours. Its message may quote the prompt, so only known kinds are described."""
    code = ERROR_CODES.get(error.get("type", ""), ErrorCode.ENGINE_FAILURE)
    if code is ErrorCode.CONTEXT_OVERFLOW:
        tokens, context = error.get("n_prompt_tokens", "?"), error.get("n_ctx", "?")
        message = f"The conversation has {tokens} tokens, more than the context of {context}."
        return meter.failed(code, message)
    if code is ErrorCode.INVALID_REQUEST and constrained:
        return meter.failed(code, "llama.cpp could not read the grammar.", "response_format")
    if code is ErrorCode.INVALID_REQUEST and pictured:
        return meter.failed(code, "llama.cpp could not read an image of the request.", "messages")
    if code is ErrorCode.INVALID_REQUEST:
        return meter.failed(code, "llama.cpp refused a value of the request.")
    return meter.failed(code, "llama.cpp could not go on with the answer.")


def tool_call_deltas(delta: dict[str, Any]) -> tuple[ToolCallDelta, ...]:
    """Of a chunk's `delta`."""
    return tuple(
        ToolCallDelta(
            index=call.get("index", 0),
            id=call.get("id") or (tool_calls.new_call_id() if call.get("function", {}).get("name") else ""),
            name=call.get("function", {}).get("name") or "",
            arguments=call.get("function", {}).get("arguments") or "",
        )
        for call in delta.get("tool_calls") or ()
    )


class Logprobs:
    """The log-probabilities of tokens, handed out with the text that the tokens have become.

    Text is held back where a stop string may begin, and a token may hold a part of a character; so the two are matched
    by their bytes.
    """

    def __init__(self, top: int) -> None:
        self._top = top
        self._waiting: deque[TokenLogprob] = deque()
        self._handed_out = 0
        self._said = 0

    def add(self, choice: dict[str, Any]) -> None:
        found = (choice.get("logprobs") or {}).get("content") or ()
        self._waiting.extend(_logprob(entry, self._top) for entry in found)

    def take(self, text: str) -> tuple[TokenLogprob, ...]:
        """Those of `text`, which follows what was taken before."""
        self._said += len(text.encode())
        taken = []
        while self._waiting and self._handed_out < self._said:
            token = self._waiting.popleft()
            self._handed_out += len(token.bytes)
            taken.append(token)
        return tuple(taken)


def _logprob(entry: dict[str, Any], top: int) -> TokenLogprob:
    others = tuple(
        TopLogprob(other["token"], _finite(other["logprob"]), tuple(other.get("bytes") or ()))
        for other in entry.get("top_logprobs", ())[:top]
    )
    return TokenLogprob(entry["token"], _finite(entry["logprob"]), tuple(entry.get("bytes") or ()), others)


def _finite(logprob: float | None) -> float:
    return LEAST_LOGPROB if logprob is None else max(LEAST_LOGPROB, logprob)
