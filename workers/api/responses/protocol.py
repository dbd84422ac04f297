"""The wire of `/v1/responses`: what a request may say, and the object that answers it.

Every parameter is honoured, accepted without effect, or refused unless it asks for nothing; see `chat.protocol`.
"""

from dataclasses import dataclass
from typing import Any, Final

from workers.api import metadata
from workers.api.chat import tools as chat_tools
from workers.api.chat.protocol import EFFORTS, LENGTH, NUMBERS, WITHOUT_EFFECT
from workers.api.errors import InvalidParameter
from workers.api.fields import LONGEST_MODEL, Fields, items, neutral_only, text
from workers.api.responses.items import parse as parse_items
from workers.protocol import Constraint, Sampling, Tool, ToolChoice

COUNTED: Final = frozenset(
    {
        "model", "input", "instructions", "previous_response_id", "tools", "tool_choice", "parallel_tool_calls", "text",
        "reasoning",
    }
)  # fmt: skip
"""What `input_tokens` takes as well."""
HONOURED: Final = COUNTED | {
    "stream", "stream_options", "store", "background", "max_output_tokens", "temperature", "top_p", "metadata",
}  # fmt: skip
UNSUPPORTED: Final[dict[str, tuple[Any, ...]]] = {
    "context_management": ([],),
    "conversation": (),
    "include": ([],),
    "max_tool_calls": (),
    "moderation": (),
    "prompt": (),
    "top_logprobs": (0,),
    "truncation": ("disabled",),
}
UNSUPPORTED_IN_COUNT: Final[dict[str, tuple[Any, ...]]] = {
    name: UNSUPPORTED[name] for name in ("conversation", "truncation")
} | {"personality": ()}


LONGEST_ID: Final = 200


@dataclass(frozen=True, slots=True)
class Asked:
    """What the chat model is told, which is also what is counted."""

    model: str
    items: list[dict[str, Any]]
    instructions: str
    previous_response_id: str
    tools: tuple[Tool, ...]
    tool_choice: ToolChoice
    parallel_tool_calls: bool
    constraint: Constraint | None
    reasoning_effort: str


@dataclass(frozen=True, slots=True)
class ResponseRequest:
    asked: Asked
    stream: bool
    store: bool
    background: bool
    sampling: Sampling
    metadata: dict[str, str]
    echoed: dict[str, Any]
    """What the response's object says about the request, as the caller wrote it."""


def parse(body: dict[str, Any]) -> ResponseRequest:
    """Raises `InvalidParameter` for the first thing that is wrong."""
    fields = Fields(body)
    fields.refuse_unknown(HONOURED | WITHOUT_EFFECT.keys() | UNSUPPORTED.keys())
    neutral_only(fields, UNSUPPORTED)
    for name, (wanted, _) in WITHOUT_EFFECT.items():
        fields.check_type(name, wanted)
    background, store = fields.boolean("background"), fields.boolean("store", default=True)
    if background and not store:
        raise InvalidParameter("background", "needs 'store': nothing else keeps the response for you.")
    labels = metadata.read(fields.get("metadata"))
    return ResponseRequest(
        asked=_asked(fields),
        stream=_stream(fields),
        store=store,
        background=background,
        sampling=Sampling(
            temperature=fields.number("temperature", **NUMBERS["temperature"]),
            top_p=fields.number("top_p", **NUMBERS["top_p"]),
            max_tokens=fields.integer("max_output_tokens", **LENGTH),
        ),
        metadata=labels,
        echoed=_echoed(fields, labels),
    )


def parse_count(body: dict[str, Any]) -> Asked:
    """For `input_tokens`. Raises `InvalidParameter`."""
    fields = Fields(body)
    fields.refuse_unknown(COUNTED | UNSUPPORTED_IN_COUNT.keys())
    neutral_only(fields, UNSUPPORTED_IN_COUNT)
    return _asked(fields)


def _asked(fields: Fields) -> Asked:
    offered, choice = _tool_choice(fields.get("tool_choice"), _tools(fields.get("tools")))
    return Asked(
        model=text(fields.required("model"), "model", longest=LONGEST_MODEL),
        items=parse_items(fields.required("input")),
        instructions=fields.text("instructions") or "",
        previous_response_id=fields.text("previous_response_id", longest=LONGEST_ID) or "",
        tools=offered,
        tool_choice=choice,
        parallel_tool_calls=fields.boolean("parallel_tool_calls", default=True),
        constraint=_constraint(fields.get("text")),
        reasoning_effort=_reasoning(fields.get("reasoning")),
    )


def _stream(fields: Fields) -> bool:
    stream = fields.boolean("stream")
    if fields.get("stream_options") is not None:
        if not stream:
            raise InvalidParameter("stream_options", "is only allowed when 'stream' is true.")
        options = Fields(fields.get("stream_options"), "stream_options")
        options.refuse_unknown({"include_obfuscation"})
        options.boolean("include_obfuscation")
    return stream


def _tools(value: Any) -> tuple[Tool, ...]:
    if value is None:
        return ()
    found = items(value, "tools", most=chat_tools.MOST_TOOLS)
    return tuple(_tool(tool, f"tools[{index}]") for index, tool in enumerate(found))


def _tool(value: Any, path: str) -> Tool:
    fields = Fields(value, path)
    if text(fields.required("type"), fields.param("type")) != "function":
        raise InvalidParameter(fields.param("type"), "can only be 'function' here.", code="unsupported_value")
    fields.refuse_unknown(TOOL_KEYS)
    return chat_tools.tool_of(fields)


TOOL_KEYS: Final = frozenset(
    {
        "type",
        "name",
        "description",
        "parameters",
        "strict",
        "defer_loading",
        "output_schema",
        "allowed_callers",
    }
)


def _tool_choice(value: Any, tools: tuple[Tool, ...]) -> tuple[tuple[Tool, ...], ToolChoice]:
    """The tools that are offered, and whether one must be called."""
    if value is None:
        return tools, "auto"
    if isinstance(value, str):
        if value not in chat_tools.CHOICES:
            raise InvalidParameter("tool_choice", "must be 'none', 'auto', 'required' or an object.")
        if value == "required" and not tools:
            raise InvalidParameter("tool_choice", "is 'required', and there are no 'tools'.")
        return tools, chat_tools.CHOICES[value]
    fields = Fields(value, "tool_choice")
    match fields.required("type"):
        case "function":
            fields.refuse_unknown({"type", "name"})
            return _named(fields, tools), "required"
        case "allowed_tools":
            return _allowed(fields, tools)
    raise InvalidParameter(
        "tool_choice.type", "must be 'function' or 'allowed_tools'.", code="unsupported_value"
    )


def _named(fields: Fields, tools: tuple[Tool, ...]) -> tuple[Tool, ...]:
    name = text(fields.required("name"), fields.param("name"))
    return chat_tools.only(tools, name, fields.param("name"))


def _allowed(fields: Fields, tools: tuple[Tool, ...]) -> tuple[tuple[Tool, ...], ToolChoice]:
    fields.refuse_unknown({"type", "mode", "tools"})
    mode = text(fields.required("mode"), "tool_choice.mode")
    if mode not in ("auto", "required"):
        raise InvalidParameter("tool_choice.mode", "must be 'auto' or 'required'.")
    allowed: tuple[Tool, ...] = ()
    listed = items(fields.required("tools"), "tool_choice.tools", fewest=1, most=chat_tools.MOST_TOOLS)
    for number, entry in enumerate(listed):
        allowed += _named(Fields(entry, f"tool_choice.tools[{number}]"), tools)
    return allowed, chat_tools.CHOICES[mode]


def _constraint(value: Any) -> Constraint | None:
    if value is None:
        return None
    fields = Fields(value, "text")
    fields.refuse_unknown({"format", "verbosity"})
    if fields.get("verbosity") not in (None, "medium"):
        raise InvalidParameter("text.verbosity", "can only be 'medium' here.", code="unsupported_value")
    if fields.get("format") is None:
        return None
    wanted = Fields(fields.get("format"), "text.format")
    match wanted.required("type"):
        case "text":
            wanted.refuse_unknown({"type"})
            return None
        case "json_object":
            wanted.refuse_unknown({"type"})
            return Constraint("json_object")
        case "json_schema":
            wanted.required("name")
            return chat_tools.schema_of(wanted)
        case _:
            raise InvalidParameter("text.format.type", "must be 'text', 'json_object' or 'json_schema'.")


def _reasoning(value: Any) -> str:
    if value is None:
        return ""
    fields = Fields(value, "reasoning")
    fields.refuse_unknown({"effort", "summary", "generate_summary"})
    for name in ("summary", "generate_summary"):
        if fields.get(name) not in (None, "auto"):
            raise InvalidParameter(
                fields.param(name), "is not supported: the whole reasoning is sent.", code="unsupported_value"
            )
    effort = fields.text("effort")
    if effort is not None and effort not in EFFORTS:
        raise InvalidParameter("reasoning.effort", f"must be one of {', '.join(sorted(EFFORTS))}.")
    return effort or ""


def _echoed(fields: Fields, labels: dict[str, str]) -> dict[str, Any]:
    return {
        "instructions": fields.get("instructions"),
        "max_output_tokens": fields.get("max_output_tokens"),
        "parallel_tool_calls": fields.boolean("parallel_tool_calls", default=True),
        "previous_response_id": fields.get("previous_response_id"),
        "reasoning": {"effort": None, "summary": None, **(fields.get("reasoning") or {})},
        "store": fields.boolean("store", default=True),
        "text": {"format": {"type": "text"}, **(fields.get("text") or {})},
        "tool_choice": fields.get("tool_choice") or "auto",
        "tools": fields.get("tools") or [],
        "truncation": "disabled",
        "user": fields.get("user"),
        "metadata": labels,
    }


def response_object(
    *,
    public_id: str,
    created: int,
    chat_model: str,
    sampling: Sampling,
    background: bool,
    echoed: dict[str, Any],
) -> dict[str, Any]:
    """A response that nothing is known of yet but the request."""
    return {
        "id": public_id,
        "object": "response",
        "created_at": created,
        "status": "queued" if background else "in_progress",
        "background": background,
        "completed_at": None,
        "error": None,
        "incomplete_details": None,
        "model": chat_model,
        "output": [],
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "usage": None,
        **echoed,
    }
