"""How Anthropic's messages, stream events and errors look."""

import json
from typing import Any, Final

from workers.api.chat.answers import Choice
from workers.api.errors import ApiError
from workers.protocol import Delta, Finished, FinishReason, ToolCallDelta, Usage

ERROR_TYPES: Final = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
}


def error_object(status: int, message: str) -> dict[str, Any]:
    kind = ERROR_TYPES.get(status, "invalid_request_error" if status < 500 else "api_error")
    return {"type": "error", "error": {"type": kind, "message": message}}


def stopped(end: Finished, *, called: bool) -> dict[str, str | None]:
    """`stop_reason`, and the stop string where one ended the message."""
    if end.reason is FinishReason.LENGTH:
        return {"stop_reason": "max_tokens", "stop_sequence": None}
    if end.stop_string:
        return {"stop_reason": "stop_sequence", "stop_sequence": end.stop_string}
    return {"stop_reason": "tool_use" if called else "end_turn", "stop_sequence": None}


def usage_object(usage: Usage) -> dict[str, int]:
    """Anthropic counts the cached part of the prompt apart."""
    return {
        "input_tokens": usage.prompt_tokens - usage.cached_tokens,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": usage.cached_tokens,
        "output_tokens": usage.completion_tokens,
    }


def message(*, request_id: str, model: str, choice: Choice) -> dict[str, Any]:
    said = choice.said
    content: list[dict[str, Any]] = []
    if said.reasoning:
        content.append({"type": "thinking", "thinking": said.reasoning, "signature": ""})
    if said.text:
        content.append({"type": "text", "text": said.text})
    content += [
        {"type": "tool_use", "id": call.id, "name": call.name, "input": _input(call.arguments)}
        for call in said.tool_calls
    ]
    return {
        **_empty(request_id, model),
        "content": content,
        **stopped(choice.end, called=bool(said.tool_calls)),
        "usage": usage_object(choice.end.usage),
    }


def _empty(request_id: str, model: str) -> dict[str, Any]:
    return {
        "id": f"msg_{request_id}",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": usage_object(Usage()),
    }


def _input(arguments: str) -> dict[str, Any]:
    """Arguments that were cut off by the token limit are no JSON; there is no place for half of an object."""
    try:
        value = json.loads(arguments or "{}")
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


class Events:
    """The events of a streamed message, one open block at a time."""

    def __init__(self, *, request_id: str, model: str) -> None:
        self._message = _empty(request_id, model)
        self._index = -1
        self._open = ""
        """Type of the open block, with the number of the call for a tool's."""
        self._called = False

    keep_alive = b'event: ping\ndata: {"type": "ping"}\n\n'

    def role(self) -> bytes:
        return _event("message_start", message=self._message)

    def delta(self, delta: Delta, index: int = 0) -> bytes:
        frames = b""
        if delta.reasoning:
            frames += self._in("thinking", {"type": "thinking", "thinking": "", "signature": ""})
            frames += self._piece({"type": "thinking_delta", "thinking": delta.reasoning})
        if delta.text:
            frames += self._in("text", {"type": "text", "text": ""})
            frames += self._piece({"type": "text_delta", "text": delta.text})
        return frames + b"".join(map(self._call, delta.tool_calls))

    def finish(self, end: Finished, index: int = 0) -> bytes:
        reason = stopped(end, called=self._called)
        frames = self._close() + _event("message_delta", delta=reason, usage=usage_object(end.usage))
        return frames + _event("message_stop")

    def failure(self, error: ApiError) -> bytes:
        return _frame("error", error_object(error.status, error.message))

    def _call(self, piece: ToolCallDelta) -> bytes:
        frames = b""
        if piece.name:
            self._called = True
            block = {"type": "tool_use", "id": piece.id, "name": piece.name, "input": {}}
            frames += self._in(f"tool_use {piece.index}", block)
        if piece.arguments:
            frames += self._piece({"type": "input_json_delta", "partial_json": piece.arguments})
        return frames

    def _in(self, name: str, block: dict[str, Any]) -> bytes:
        """Open a block of that kind, unless it is the one that is open."""
        if self._open == name:
            return b""
        frames = self._close()
        self._open = name
        self._index += 1
        return frames + _event("content_block_start", index=self._index, content_block=block)

    def _piece(self, delta: dict[str, Any]) -> bytes:
        return _event("content_block_delta", index=self._index, delta=delta)

    def _close(self) -> bytes:
        if not self._open:
            return b""
        self._open = ""
        return _event("content_block_stop", index=self._index)


def _event(name: str, **values: Any) -> bytes:
    return _frame(name, {"type": name, **values})


def _frame(name: str, data: dict[str, Any]) -> bytes:
    return f"event: {name}\ndata: {json.dumps(data)}\n\n".encode("ascii")
