"""Turns what a worker says into the typed events of a response, and into its output items. Pure.

The events' numbers depend on the worker's events alone, so a stream that is read again from its beginning has the same
ones: that is what lets a client go on behind the last number it saw.
"""

import time
from copy import deepcopy
from typing import Any, Final

from workers.protocol import (
    Delta,
    ErrorCode,
    Failed,
    Finished,
    FinishReason,
    StreamEvent,
    ToolCallDelta,
    Usage,
)

# OpenAI's codes of a response's `error`; the rest are the workers' own.
ERRORS: Final = {ErrorCode.ENGINE_FAILURE: "server_error", ErrorCode.QUEUE_FULL: "rate_limit_exceeded"}

Event = dict[str, Any]


class Turn:
    """One response while it is made. `body` is its object, always as far as it has come."""

    def __init__(self, body: dict[str, Any], response_hex: str) -> None:
        self.body = {**body, "status": "in_progress", "output": []}
        self.ended = False
        self._hex = response_hex
        self._number = -1
        self._open: dict[str, Any] | None = None
        """The output item that grows."""
        self._calls: dict[int, dict[str, Any]] = {}

    def begin(self) -> list[Event]:
        """What is sent before the worker has said anything."""
        return [self._event(f"response.{name}", response=self.body) for name in ("created", "in_progress")]

    def take(self, event: StreamEvent) -> list[Event]:
        match event:
            case Delta():
                return self._delta(event)
            case Finished():
                return self._finish(event)
            case Failed():
                return self._fail(event)
            case _:
                return []

    # --- text and thoughts ---------------------------------------------------------------------------------

    def _delta(self, delta: Delta) -> list[Event]:
        events = []
        if delta.reasoning:
            events += self._grow("reasoning", delta.reasoning)
        if delta.text:
            events += self._grow("message", delta.text)
        for call in delta.tool_calls:
            events += self._call(call)
        return events

    def _grow(self, kind: str, piece: str) -> list[Event]:
        events = []
        if self._open is None or self._open["type"] != kind:
            events += self._close_item() + self._open_item(kind)
        assert self._open is not None
        item = self._open
        item["content"][0]["text"] += piece
        name = "response.reasoning_text.delta" if kind == "reasoning" else "response.output_text.delta"
        extra: dict[str, Any] = {} if kind == "reasoning" else {"logprobs": []}
        return [*events, self._of_item(name, item, content_index=0, delta=piece, **extra)]

    def _open_item(self, kind: str) -> list[Event]:
        output = self.body["output"]
        if kind == "reasoning":
            item: dict[str, Any] = {
                "id": self._id("rs"),
                "type": "reasoning",
                "summary": [],
                "content": [],
                "status": "in_progress",
            }
            part: dict[str, Any] = {"type": "reasoning_text", "text": ""}
        else:
            item = {
                "id": self._id("msg"),
                "type": "message",
                "role": "assistant",
                "content": [],
                "status": "in_progress",
            }
            part = {"type": "output_text", "text": "", "annotations": [], "logprobs": []}
        output.append(item)
        self._open = item
        added = [self._event("response.output_item.added", output_index=len(output) - 1, item=item)]
        item["content"] = [part]
        return [*added, self._of_item("response.content_part.added", item, content_index=0, part=part)]

    # --- function calls ------------------------------------------------------------------------------------

    def _call(self, piece: ToolCallDelta) -> list[Event]:
        events: list[Event] = []
        call = self._calls.get(piece.index)
        if call is None:
            events += self._close_item()
            call = self._calls[piece.index] = {
                "id": self._id("fc"),
                "type": "function_call",
                "call_id": piece.id,
                "name": piece.name,
                "arguments": "",
                "status": "in_progress",
            }
            self.body["output"].append(call)
            index = len(self.body["output"]) - 1
            events.append(self._event("response.output_item.added", output_index=index, item=call))
        if piece.arguments:
            call["arguments"] += piece.arguments
            events.append(
                self._of_item("response.function_call_arguments.delta", call, delta=piece.arguments)
            )
        return events

    # --- the end -------------------------------------------------------------------------------------------

    def _close_item(self, status: str = "completed") -> list[Event]:
        """End the text or the thought that grows, if there is one."""
        item, self._open = self._open, None
        if item is None:
            return []
        item["status"] = status
        part = item["content"][0]
        kind = "reasoning_text" if item["type"] == "reasoning" else "output_text"
        extra: dict[str, Any] = {} if kind == "reasoning_text" else {"logprobs": []}
        return [
            self._of_item(f"response.{kind}.done", item, content_index=0, text=part["text"], **extra),
            self._of_item("response.content_part.done", item, content_index=0, part=part),
            self._done(item),
        ]

    def _close_calls(self, status: str) -> list[Event]:
        events = []
        for call in self._calls.values():
            call["status"] = status
            events.append(
                self._of_item(
                    "response.function_call_arguments.done",
                    call,
                    name=call["name"],
                    arguments=call["arguments"],
                )
            )
            events.append(self._done(call))
        self._calls = {}
        return events

    def _finish(self, end: Finished) -> list[Event]:
        if end.reason is FinishReason.CANCELLED:
            return self._close("cancelled", end.usage)
        cut = end.reason is FinishReason.LENGTH
        if cut:
            self.body["incomplete_details"] = {"reason": "max_output_tokens"}
        return self._close("incomplete" if cut else "completed", end.usage)

    def _fail(self, end: Failed) -> list[Event]:
        self.body["error"] = {"code": ERRORS.get(end.code, str(end.code)), "message": end.message}
        return self._close("failed", end.usage)

    def _close(self, status: str, usage: Usage) -> list[Event]:
        items = "completed" if status == "completed" else "incomplete"
        # A model that says nothing has answered with an empty message.
        silent = not self.body["output"] and status == "completed"
        events = self._open_item("message") if silent else []
        events += self._close_item(items) + self._close_calls(items)
        self.ended = True
        self.body["status"] = status
        self.body["completed_at"] = int(time.time()) if status == "completed" else None
        self.body["usage"] = usage_object(usage)
        # OpenAI has no event for a cancelled response: its stream ends with the object that says so.
        name = "response.incomplete" if status == "cancelled" else f"response.{status}"
        return [*events, self._event(name, response=self.body)]

    # --- events --------------------------------------------------------------------------------------------

    def _of_item(self, name: str, item: dict[str, Any], /, **values: Any) -> Event:
        return self._event(name, output_index=self._index(item), item_id=item["id"], **values)

    def _done(self, item: dict[str, Any]) -> Event:
        return self._event("response.output_item.done", output_index=self._index(item), item=item)

    def _index(self, item: dict[str, Any]) -> int:
        return next(number for number, other in enumerate(self.body["output"]) if other is item)

    def _event(self, name: str, /, **values: Any) -> Event:
        self._number += 1
        # A copy: what it shows grows on.
        return {"type": name, "sequence_number": self._number, **deepcopy(values)}

    def _id(self, prefix: str) -> str:
        return f"{prefix}_{self._hex}_{len(self.body['output'])}"


def usage_object(usage: Usage) -> dict[str, Any]:
    return {
        "input_tokens": usage.prompt_tokens,
        "input_tokens_details": {"cached_tokens": usage.cached_tokens},
        "output_tokens": usage.completion_tokens,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
    }
