"""Requests and stream chunks between our words and those of OpenAI's chat completions. Pure.

Source of the formats: OpenAI's API reference, "Chat completions" and "Streaming"; vLLM's "Extra parameters".
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from workers.engine_settings.presets import Quirk
from workers.engine_settings.upstream import Upstream
from workers.protocol import (
    LEAST_LOGPROB,
    ChatMessage,
    FinishReason,
    GenerationRequest,
    TokenLogprob,
    Tool,
    ToolCallDelta,
    TopLogprob,
    Usage,
)

MOST_STOPS = 4  # OpenAI takes no more; the rest is looked for here, as all of them are


def path_of(request: GenerationRequest) -> str:
    return "/chat/completions" if request.prompt is None else "/completions"


def body_of(request: GenerationRequest, upstream: Upstream) -> dict[str, Any]:
    """The JSON body of a streaming request."""
    body: dict[str, Any] = {"model": upstream.model, "stream": True}
    if Quirk.NO_USAGE_OPTION not in upstream.quirks:
        body["stream_options"] = {"include_usage": True}
    if request.prompt is None:
        body |= _chat(request, upstream)
    else:
        body["prompt"] = request.prompt if isinstance(request.prompt, str) else list(request.prompt)
        body |= {"suffix": request.suffix} if request.suffix else {}
    return body | _sampling(request, upstream)


def can_continue(upstream: Upstream) -> bool:
    """Whether the server goes on with a reply that has begun."""
    return bool({Quirk.CONTINUES, Quirk.CONTINUES_LAST} & upstream.quirks)


def _chat(request: GenerationRequest, upstream: Upstream) -> dict[str, Any]:
    messages = [_message(message) for message in request.messages]
    body: dict[str, Any] = {"messages": messages}
    if request.prefix:
        messages.append({"role": "assistant", "content": request.prefix})
        if Quirk.CONTINUES in upstream.quirks:
            body |= {"continue_final_message": True, "add_generation_prompt": False}
    if request.tools:
        body["tools"] = [_tool(tool) for tool in request.tools]
        body["tool_choice"] = request.tool_choice
        if not request.parallel_tool_calls:
            body["parallel_tool_calls"] = False
    if request.constraint is not None:
        body |= _constraint(request.constraint.kind, request.constraint.value)
    if request.reasoning_effort:
        body["reasoning_effort"] = request.reasoning_effort
    return body


def _message(message: ChatMessage) -> dict[str, Any]:
    content: Any = message.content
    if message.images:
        pictures = [{"type": "image_url", "image_url": {"url": url}} for url in message.images]
        content = [*pictures, {"type": "text", "text": message.content}]
    sent: dict[str, Any] = {"role": message.role, "content": content}
    if message.tool_calls:
        sent["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in message.tool_calls
        ]
        sent["content"] = message.content or None
    if message.tool_call_id:
        sent["tool_call_id"] = message.tool_call_id
    elif message.name:
        sent["name"] = message.name
    return sent


def _tool(tool: Tool) -> dict[str, Any]:
    function: dict[str, Any] = {"name": tool.name, "parameters": json.loads(tool.parameters)}
    if tool.description:
        function["description"] = tool.description
    if tool.strict:
        function["strict"] = True
    return {"type": "function", "function": function}


def _constraint(kind: str, value: str) -> dict[str, Any]:
    if kind == "json_schema":
        schema = {"name": "answer", "strict": True, "schema": json.loads(value)}
        return {"response_format": {"type": "json_schema", "json_schema": schema}}
    if kind == "json_object":
        return {"response_format": {"type": "json_object"}}
    return {kind: value}  # `grammar` of llama.cpp's server


def _sampling(request: GenerationRequest, upstream: Upstream) -> dict[str, Any]:
    sampling, quirks = request.sampling, upstream.quirks
    old_name = Quirk.MAX_TOKENS in quirks or request.prompt is not None
    values: dict[str, Any] = {
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "max_tokens" if old_name else "max_completion_tokens": sampling.max_tokens,
        "stop": None if Quirk.NO_STOP in quirks else list(sampling.stop[:MOST_STOPS]) or None,
        "seed": None if Quirk.NO_SEED in quirks else sampling.seed,
        "cache_prompt": False if Quirk.CACHE_PROMPT in quirks and sampling.seed is not None else None,
        "top_k": sampling.top_k,
        "min_p": sampling.min_p,
        "repetition_penalty": sampling.repetition_penalty,
        "logit_bias": {str(token): bias for token, bias in sampling.logit_bias} or None,
    }
    if Quirk.NO_PENALTIES not in quirks:
        values |= {
            "presence_penalty": sampling.presence_penalty,
            "frequency_penalty": sampling.frequency_penalty,
        }
    if sampling.logprobs:
        chat = {"logprobs": True, "top_logprobs": sampling.top_logprobs or None}
        values |= chat if request.prompt is None else {"logprobs": sampling.top_logprobs}
    return {name: value for name, value in values.items() if value is not None}


@dataclass(slots=True)
class Piece:
    """What one chunk adds."""

    text: str = ""
    reasoning: str = ""
    tool_calls: tuple[ToolCallDelta, ...] = ()
    logprobs: tuple[TokenLogprob, ...] = ()
    finish: FinishReason | None = None
    usage: Usage | None = None


class UnreadableChunkError(ValueError):
    """The server sent something that is no chunk of a stream."""


@dataclass
class Chunks:
    """Reads the chunks of one reply, in order."""

    _named: set[int] = field(default_factory=set)
    """Tool calls whose name has been passed on."""

    def read(self, data: Any) -> Piece:
        """Raises `UnreadableChunkError` for what is not the chunk of a chat completion or a completion."""
        if not isinstance(data, dict):
            raise UnreadableChunkError("a chunk that is no object")
        piece = Piece(usage=_usage(data.get("usage")))
        choices = data.get("choices") or []
        if not isinstance(choices, list) or not all(isinstance(choice, dict) for choice in choices):
            raise UnreadableChunkError("a chunk without readable choices")
        for choice in choices[:1]:  # we ask for one
            delta = choice.get("delta") or {}
            if not isinstance(delta, dict):
                raise UnreadableChunkError("a choice without a readable delta")
            piece.text = _text(delta.get("content", choice.get("text")))
            piece.reasoning = _text(delta.get("reasoning_content") or delta.get("reasoning"))
            piece.tool_calls = tuple(self._calls(delta.get("tool_calls") or []))
            piece.logprobs = tuple(_logprobs(choice.get("logprobs")))
            if reason := choice.get("finish_reason"):
                piece.finish = FinishReason.LENGTH if reason == "length" else FinishReason.STOP
        return piece

    def _calls(self, calls: Any) -> Iterator[ToolCallDelta]:
        for place, call in enumerate(call for call in calls if isinstance(call, dict)):
            index = call.get("index")
            number = index if isinstance(index, int) else place
            function = call.get("function") or {}
            first = number not in self._named
            self._named.add(number)
            yield ToolCallDelta(
                number,
                id=(_text(call.get("id")) or f"call_{number}") if first else "",
                name=_text(function.get("name")) if first else "",
                arguments=_text(function.get("arguments")),
            )


def prompt_tokens_of(answer: Any) -> int:
    """What an answer that is not a stream says about its prompt."""
    usage = _usage(answer.get("usage")) if isinstance(answer, dict) else None
    return usage.prompt_tokens if usage else 0


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _usage(usage: Any) -> Usage | None:
    if not isinstance(usage, dict):
        return None
    details = usage.get("prompt_tokens_details") or {}
    return Usage(
        _count(usage.get("prompt_tokens")),
        _count(usage.get("completion_tokens")),
        _count(details.get("cached_tokens")),
    )


def _count(value: Any) -> int:
    return value if isinstance(value, int) and value > 0 else 0


def _logprobs(logprobs: Any) -> Iterator[TokenLogprob]:
    content = logprobs.get("content") if isinstance(logprobs, dict) else None
    for token in content or []:
        top = tuple(
            TopLogprob(_text(other.get("token")), _logprob(other.get("logprob")), _bytes(other))
            for other in token.get("top_logprobs") or []
        )
        yield TokenLogprob(_text(token.get("token")), _logprob(token.get("logprob")), _bytes(token), top)


def _logprob(value: Any) -> float:
    return max(float(value), LEAST_LOGPROB) if isinstance(value, int | float) else LEAST_LOGPROB


def _bytes(token: dict[str, Any]) -> tuple[int, ...]:
    given = token.get("bytes")
    return tuple(given) if isinstance(given, list) else tuple(_text(token.get("token")).encode())
