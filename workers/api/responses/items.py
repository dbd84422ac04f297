"""The items of a conversation of responses, as they come in and as the workers' messages.

Shapes: OpenAI's API reference, "Responses", `input`. What this server cannot do is refused by its path.
"""

import json
from collections.abc import Sequence
from typing import Any, Final

from workers.api import pictures
from workers.api.errors import InvalidParameter
from workers.api.fields import Fields, items, kind, text
from workers.protocol import ChatMessage, Role, ToolCall

MOST_ITEMS: Final = 4096
ROLES: Final[dict[str, Role]] = {
    "system": "system", "developer": "system", "user": "user", "assistant": "assistant",
}  # fmt: skip
TEXT_PARTS: Final = ("input_text", "output_text", "text", "refusal")


def parse(value: Any) -> list[dict[str, Any]]:
    """The `input`, as a list of items that can be stored. Raises `InvalidParameter`."""
    if isinstance(value, str):
        return [_message("user", [{"type": "input_text", "text": text(value, "input")}])]
    if not isinstance(value, list):
        raise InvalidParameter(
            "input", f"must be a string or a list of items, not {kind(value)}.", code="invalid_type"
        )
    found = items(value, "input", fewest=1, most=MOST_ITEMS)
    return [_item(item, f"input[{index}]") for index, item in enumerate(found)]


def _item(value: Any, path: str) -> dict[str, Any]:
    fields = Fields(value, path)
    kind_of_item = fields.text("type") or "message"
    match kind_of_item:
        case "message":
            return _parse_message(fields)
        case "function_call":
            return {
                "type": "function_call",
                "call_id": text(fields.required("call_id"), fields.param("call_id"), longest=200),
                "name": text(fields.required("name"), fields.param("name"), longest=200),
                "arguments": _arguments(fields),
                "status": "completed",
            }
        case "function_call_output":
            return {
                "type": "function_call_output",
                "call_id": text(fields.required("call_id"), fields.param("call_id"), longest=200),
                "output": _output(fields.required("output"), fields.param("output")),
                "status": "completed",
            }
        case "reasoning":
            return {"type": "reasoning", "summary": [], "content": _reasoning(fields.get("content"))}
        case _:
            raise InvalidParameter(
                fields.param("type"),
                "is a kind of item that is not supported here.",
                code="unsupported_value",
            )


def _arguments(fields: Fields) -> str:
    arguments = text(fields.required("arguments"), fields.param("arguments"))
    try:
        json.loads(arguments)
    except (ValueError, RecursionError):
        raise InvalidParameter(fields.param("arguments"), "must be JSON in a string.") from None
    return arguments


def _parse_message(fields: Fields) -> dict[str, Any]:
    fields.refuse_unknown({"type", "role", "content", "id", "status", "phase"})
    role = text(fields.required("role"), fields.param("role"))
    if role not in ROLES:
        raise InvalidParameter(fields.param("role"), f"must be one of {', '.join(ROLES)}.")
    content, param = fields.required("content"), fields.param("content")
    if isinstance(content, str):
        part = "output_text" if role == "assistant" else "input_text"
        return _message(role, [{"type": part, "text": text(content, param)}])
    parts = items(content, param, fewest=1, most=MOST_ITEMS)
    return _message(role, [_part(part, f"{param}[{index}]") for index, part in enumerate(parts)])


def _part(value: Any, path: str) -> dict[str, Any]:
    fields = Fields(value, path)
    part_type = text(fields.required("type"), fields.param("type"))
    if part_type in TEXT_PARTS:
        name = "refusal" if part_type == "refusal" else "text"
        return {"type": part_type, name: text(fields.required(name), fields.param(name))}
    if part_type == "input_image":
        param = fields.param("image_url")
        url = pictures.read(text(fields.required("image_url"), param), param)
        return {"type": "input_image", "image_url": url, "detail": "auto"}
    raise InvalidParameter(
        fields.param("type"), "is a kind of content that is not supported here.", code="unsupported_value"
    )


def _output(value: Any, param: str) -> str:
    """Of a function: a string, or text parts."""
    if isinstance(value, str):
        return text(value, param)
    parts = items(value, param, most=MOST_ITEMS)
    return "\n".join(_part(part, f"{param}[{index}]").get("text", "") for index, part in enumerate(parts))


def _reasoning(value: Any) -> list[dict[str, Any]]:
    """Earlier thoughts come back to a model only as far as its template wants them."""
    if not isinstance(value, list):
        return []
    texts = [part.get("text") for part in value if isinstance(part, dict)]
    return [{"type": "reasoning_text", "text": thought} for thought in texts if isinstance(thought, str)]


def _message(role: str, content: list[dict[str, Any]]) -> dict[str, Any]:
    return {"type": "message", "role": role, "status": "completed", "content": content}


def check_results(found: Sequence[dict[str, Any]], *, earlier: int) -> None:
    """Each result of a function needs its call before it; `earlier` of the items are not the request's own.

    OpenAI refuses such a one as well, and chat templates are confused by it.
    """
    calls: set[str] = set()
    for index, item in enumerate(found):
        if item["type"] == "function_call":
            calls.add(item["call_id"])
        elif item["type"] == "function_call_output" and index >= earlier and item["call_id"] not in calls:
            raise InvalidParameter(
                f"input[{index - earlier}].call_id",
                "is not the id of a function call that stands before it, here or behind 'previous_response_id'.",
            )


def with_ids(found: Sequence[dict[str, Any]], response_hex: str) -> list[dict[str, Any]]:
    """Each item with an id, by which the list of input items can be paged."""
    return [{"id": f"item_{response_hex}_{number}", **item} for number, item in enumerate(found)]


def to_messages(instructions: str, found: Sequence[dict[str, Any]]) -> tuple[ChatMessage, ...]:
    """What the workers are given: calls in a row are one assistant's message, with what it said before them."""
    messages = [ChatMessage("system", instructions)] if instructions else []
    names: dict[str, str] = {}
    thought = ""
    for item in found:
        match item["type"]:
            case "reasoning":
                thought = "\n".join(part["text"] for part in item.get("content") or [])
            case "function_call":
                call = ToolCall(item["call_id"], item["name"], item["arguments"])
                names[call.id] = call.name
                last = messages[-1] if messages else None
                if last is not None and last.role == "assistant":
                    messages[-1] = ChatMessage(
                        "assistant",
                        last.content,
                        tool_calls=(*last.tool_calls, call),
                        reasoning=last.reasoning,
                    )
                else:
                    messages.append(ChatMessage("assistant", "", tool_calls=(call,), reasoning=thought))
                thought = ""
            case "function_call_output":
                call_id = item["call_id"]
                messages.append(
                    ChatMessage("tool", item["output"], tool_call_id=call_id, name=names.get(call_id, ""))
                )
            case _:
                messages.append(_spoken(item, thought))
                thought = ""
    return tuple(messages)


def _spoken(item: dict[str, Any], thought: str) -> ChatMessage:
    parts = item["content"]
    texts = [part.get("text") or part.get("refusal") or "" for part in parts if part["type"] != "input_image"]
    images = tuple(part["image_url"] for part in parts if part["type"] == "input_image")
    role = ROLES[item["role"]]
    return ChatMessage(
        role, "\n".join(texts), images=images, reasoning=thought if role == "assistant" else ""
    )
