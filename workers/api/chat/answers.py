"""How replies and chunks of a chat completion look."""

import json
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from workers.api import sse
from workers.protocol import Delta, Finished, FinishReason, Gathering, TokenLogprob, ToolCall, Usage

FINISH_REASONS: Final = {FinishReason.STOP: "stop", FinishReason.LENGTH: "length"}


class Choice(NamedTuple):
    """One of the `n` replies, whole."""

    said: Gathering
    end: Finished


def finish_reason(reason: FinishReason, *, called: bool) -> str:
    return "tool_calls" if called and reason is FinishReason.STOP else FINISH_REASONS[reason]


def total_usage(usages: Sequence[Usage]) -> Usage:
    """Of several replies to one prompt, which counts once."""
    return Usage(
        prompt_tokens=usages[0].prompt_tokens,
        completion_tokens=sum(usage.completion_tokens for usage in usages),
        cached_tokens=usages[0].cached_tokens,
    )


def usage_object(usage: Usage) -> dict[str, Any]:
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
    }


def completion(
    *, request_id: str, created: int, model: str, choices: Sequence[Choice], logprobs: bool = False
) -> dict[str, Any]:
    return {
        "id": f"chatcmpl-{request_id}",
        "object": "chat.completion",
        "created": created,
        "model": model,
        "choices": [
            {
                "index": index,
                "message": message(choice.said),
                "logprobs": logprobs_object(choice.said.logprobs) if logprobs else None,
                "finish_reason": finish_reason(choice.end.reason, called=bool(choice.said.tool_calls)),
            }
            for index, choice in enumerate(choices)
        ],
        "usage": usage_object(total_usage([choice.end.usage for choice in choices])),
    }


def message(said: Gathering) -> dict[str, Any]:
    values: dict[str, Any] = {"role": "assistant", "content": said.text, "refusal": None}
    if said.tool_calls:
        values["content"] = said.text or None
        values["tool_calls"] = [tool_call(call) for call in said.tool_calls]
    return values | reasoning(said.reasoning)


def reasoning(text: str) -> dict[str, str]:
    """Under both names: one half of the ecosystem reads the one, the other half the other."""
    return {"reasoning": text, "reasoning_content": text} if text else {}


def tool_call(call: ToolCall) -> dict[str, Any]:
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}


def logprobs_object(tokens: Sequence[TokenLogprob]) -> dict[str, Any]:
    return {"content": [_logprob(token) for token in tokens], "refusal": None}


def _logprob(token: TokenLogprob) -> dict[str, Any]:
    return {
        "token": token.token,
        "logprob": token.logprob,
        "bytes": list(token.bytes),
        "top_logprobs": [
            {"token": other.token, "logprob": other.logprob, "bytes": list(other.bytes)}
            for other in token.top
        ],
    }


class Chunks(sse.OpenAiStream):
    """The frames of a streamed completion. What stays the same in each of them is encoded once."""

    def __init__(self, *, request_id: str, created: int, model: str, include_usage: bool, n: int = 1) -> None:
        self._constant = {
            "id": f"chatcmpl-{request_id}",
            "object": "chat.completion.chunk",
            "created": created,
            "model": model,
        }
        self._include_usage = include_usage
        self._n = n
        self._called: set[int] = set()
        self._usages: dict[int, Usage] = {}
        self._plain = [
            sse.split_frame(self._chunk({"content": sse.HOLE}, None, index=index)) for index in range(n)
        ]

    def role(self) -> bytes:
        """Goes first."""
        opening = {"role": "assistant", "content": "", "refusal": None}
        return b"".join(sse.frame(self._chunk(dict(opening), None, index=index)) for index in range(self._n))

    def delta(self, delta: Delta, index: int = 0) -> bytes:
        if delta.plain:
            before, after = self._plain[index]
            return before + json.dumps(delta.text).encode("ascii") + after
        values: dict[str, Any] = reasoning(delta.reasoning)
        if delta.text:
            values["content"] = delta.text
        if delta.tool_calls:
            self._called.add(index)
            values["tool_calls"] = [_tool_call_piece(piece) for piece in delta.tool_calls]
        logprobs = logprobs_object(delta.logprobs) if delta.logprobs else None
        return sse.frame(self._chunk(values, None, index=index, logprobs=logprobs))

    def finish(self, end: Finished, index: int = 0) -> bytes:
        """The end of one reply; behind the last one everything that ends the stream."""
        self._usages[index] = end.usage
        reason = finish_reason(end.reason, called=index in self._called)
        frames = sse.frame(self._chunk({}, reason, index=index))
        if len(self._usages) < self._n:
            return frames
        if self._include_usage:
            usage = total_usage([self._usages[number] for number in range(self._n)])
            frames += sse.frame({**self._constant, "choices": [], "usage": usage_object(usage)})
        return frames + sse.DONE

    def _chunk(
        self,
        delta: dict[str, Any],
        finish_reason: str | None,
        *,
        index: int,
        logprobs: dict[str, Any] | None = None,
    ) -> dict[str, Any]:
        choice = {"index": index, "delta": delta, "logprobs": logprobs, "finish_reason": finish_reason}
        chunk: dict[str, Any] = {**self._constant, "choices": [choice]}
        # Clients that asked for it may rely on the key, which OpenAI sends as null in all chunks but the last.
        return {**chunk, "usage": None} if self._include_usage else chunk


def _tool_call_piece(piece: Any) -> dict[str, Any]:
    function = {"arguments": piece.arguments}
    if not piece.name:
        return {"index": piece.index, "function": function}
    return {
        "index": piece.index,
        "id": piece.id,
        "type": "function",
        "function": {"name": piece.name, **function},
    }
