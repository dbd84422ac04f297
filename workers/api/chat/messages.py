"""The messages of a chat completion, checked."""

from typing import Any, Final

from workers.api import pictures
from workers.api.chat import tools
from workers.api.errors import InvalidParameter
from workers.api.fields import Fields, items, kind, neutral_only, text
from workers.protocol import ChatMessage, Role

MOST_MESSAGES: Final = 4096
MOST_PARTS: Final = 4096

ROLES: Final[dict[str, Role]] = {
    "system": "system",
    "developer": "system",  # OpenAI's newer name for it
    "user": "user",
    "assistant": "assistant",
    "tool": "tool",
}
# What OpenAI's own client puts into a message that it hands back, as null or [].
UNSUPPORTED: Final[dict[str, tuple[Any, ...]]] = {
    "annotations": ([],),
    "audio": (),
    "function_call": (),
    "refusal": (),
}
OF_ROLE: Final[dict[Role, frozenset[str]]] = {
    "system": frozenset(),
    "user": frozenset(),
    "assistant": frozenset({"tool_calls", "reasoning", "reasoning_content", *UNSUPPORTED}),
    "tool": frozenset({"tool_call_id"}),
}


def read(value: Any) -> tuple[ChatMessage, ...]:
    """Raises `InvalidParameter`; `messages[2].content[0].text` is the kind of place it names."""
    listed = items(value, "messages", fewest=1, most=MOST_MESSAGES)
    messages = tuple(_message(message, f"messages[{index}]") for index, message in enumerate(listed))
    _check_results(messages)
    return messages


def _message(value: Any, path: str) -> ChatMessage:
    fields = Fields(value, path)
    role = _role(fields)
    fields.refuse_unknown({"role", "content", "name", *OF_ROLE[role], *_absent(fields)})
    neutral_only(fields, UNSUPPORTED)
    calls = tools.read_calls(fields.get_or("tool_calls", []), fields.param("tool_calls"))
    name = fields.text("name", longest=64)
    content, images = _content(fields, role, optional=bool(calls))
    return ChatMessage(
        role=role,
        content=content,
        images=images,
        tool_calls=calls,
        tool_call_id=_call_id(fields) if role == "tool" else "",
        name=name if role == "tool" and name else "",  # chat templates have no place for a speaker's
        reasoning=_reasoning(fields),
    )


def _absent(fields: Fields) -> list[str]:
    """What a client hands back as null or [] says nothing, whatever the role."""
    known = {
        "tool_calls": ([], None),
        "tool_call_id": (None,),
        **{name: (*v, None) for name, v in UNSUPPORTED.items()},
    }
    return [name for name, neutral in known.items() if fields.get(name) in neutral]


def _role(fields: Fields) -> Role:
    param = fields.param("role")
    role = text(fields.required("role"), param)
    if role == "function":
        raise InvalidParameter(
            param,
            "is 'function', OpenAI's old name. Use 'tool' with a 'tool_call_id'.",
            code="unsupported_value",
        )
    if role not in ROLES:
        raise InvalidParameter(param, f"must be one of {', '.join(ROLES)}.")
    return ROLES[role]


def _call_id(fields: Fields) -> str:
    return text(fields.required("tool_call_id"), fields.param("tool_call_id"), longest=128)


def _reasoning(fields: Fields) -> str:
    """Under either of the names that the ecosystem has for it."""
    return fields.text("reasoning") or fields.text("reasoning_content") or ""


def _check_results(messages: tuple[ChatMessage, ...]) -> None:
    """A result without its call would be refused by OpenAI as well, and confuses chat templates."""
    calls: set[str] = set()
    for index, message in enumerate(messages):
        calls |= {call.id for call in message.tool_calls}
        if message.role == "tool" and message.tool_call_id not in calls:
            raise InvalidParameter(
                f"messages[{index}].tool_call_id", "is not the id of a tool call in an earlier message."
            )


def _content(fields: Fields, role: Role, *, optional: bool) -> tuple[str, tuple[str, ...]]:
    """Text and pictures."""
    param = fields.param("content")
    value = fields.get("content") if optional else fields.required("content")
    if value is None:
        return "", ()
    if isinstance(value, str):
        return text(value, param), ()
    if not isinstance(value, list):
        raise InvalidParameter(
            param, f"must be a string or a list of parts, not {kind(value)}.", code="invalid_type"
        )
    parts = items(value, param, fewest=1, most=MOST_PARTS)
    read_parts = [_part(part, f"{param}[{index}]", role) for index, part in enumerate(parts)]
    texts = [part for kind_, part in read_parts if kind_ == "text"]
    return "\n".join(texts), tuple(part for kind_, part in read_parts if kind_ == "image")


def _part(value: Any, path: str, role: Role) -> tuple[str, str]:
    fields = Fields(value, path)
    part_type = text(fields.required("type"), fields.param("type"))
    if part_type == "text":
        fields.refuse_unknown({"type", "text", "prompt_cache_breakpoint"})
        return "text", text(fields.required("text"), fields.param("text"))
    if part_type == "image_url" and role == "user":
        fields.refuse_unknown({"type", "image_url"})
        image = Fields(fields.required("image_url"), fields.param("image_url"))
        image.refuse_unknown({"url", "detail"})
        image.text("detail", longest=16)
        return "image", pictures.read(text(image.required("url"), image.param("url")), image.param("url"))
    allowed = "'text' or 'image_url'" if role == "user" else "'text'"
    raise InvalidParameter(fields.param("type"), f"can only be {allowed}.", code="unsupported_value")
