"""The wire of `/v1/responses`: what a request may say, and the object that answers it.

Every parameter is honoured, accepted without effect, or refused unless it asks for nothing; see `chat.protocol`.
"""

import json
from dataclasses import dataclass
from typing import Any, Final

from workers.api import metadata
from workers.api.errors import InvalidParameter
from workers.api.fields import Fields, items, text
from workers.api.responses.items import parse as parse_items
from workers.protocol import Constraint, Sampling, Tool, ToolChoice

LONGEST_MODEL: Final = 200
MOST_TOOLS: Final = 128
MOST_TOKENS: Final = 2**31 - 1

HONOURED: Final = frozenset(
    {
        "model", "input", "instructions", "previous_response_id", "stream", "stream_options", "store", "background",
        "max_output_tokens", "temperature", "top_p", "tools", "tool_choice", "parallel_tool_calls", "text", "reasoning",
        "metadata",
    }
)  # fmt: skip
WITHOUT_EFFECT: Final[dict[str, type]] = {
    "prompt_cache_key": str,
    "prompt_cache_retention": str,
    "safety_identifier": str,
    "service_tier": str,
    "user": str,
}
UNSUPPORTED: Final[dict[str, tuple[Any, ...]]] = {
    "context_management": ([],),
    "conversation": (),
    "include": ([],),
    "max_tool_calls": (),
    "moderation": (),
    "prompt": (),
    "prompt_cache_options": (),
    "top_logprobs": (0,),
    "truncation": ("disabled",),
}


@dataclass(frozen=True, slots=True)
class ResponseRequest:
    model: str
    items: list[dict[str, Any]]
    instructions: str
    previous_response_id: str
    stream: bool
    store: bool
    background: bool
    sampling: Sampling
    tools: tuple[Tool, ...]
    tool_choice: ToolChoice
    parallel_tool_calls: bool
    constraint: Constraint | None
    reasoning_effort: str
    metadata: dict[str, str]
    echoed: dict[str, Any]
    """What the response's object says about the request, as the caller wrote it."""


def parse(body: dict[str, Any]) -> ResponseRequest:
    """Raises `InvalidParameter` for the first thing that is wrong."""
    fields = Fields(body)
    fields.refuse_unknown(HONOURED | WITHOUT_EFFECT.keys() | UNSUPPORTED.keys())
    _refuse_unsupported(fields)
    for name, wanted in WITHOUT_EFFECT.items():
        fields.check_type(name, wanted)
    background, store = fields.boolean("background"), fields.boolean("store", default=True)
    if background and not store:
        raise InvalidParameter("background", "needs 'store': nothing else keeps the response for you.")
    tools = _tools(fields.get("tools"))
    tools_offered, choice = _tool_choice(fields.get("tool_choice"), tools)
    labels = metadata.read(fields.get("metadata"))
    return ResponseRequest(
        model=text(fields.required("model"), "model", longest=LONGEST_MODEL),
        items=parse_items(fields.required("input")),
        instructions=fields.text("instructions") or "",
        previous_response_id=fields.text("previous_response_id", longest=200) or "",
        stream=_stream(fields),
        store=store,
        background=background,
        sampling=Sampling(
            temperature=fields.number("temperature", minimum=0, maximum=2),
            top_p=fields.number("top_p", minimum=0, maximum=1),
            max_tokens=fields.integer("max_output_tokens", minimum=1, maximum=MOST_TOKENS),
        ),
        tools=tools_offered,
        tool_choice=choice,
        parallel_tool_calls=fields.boolean("parallel_tool_calls", default=True),
        constraint=_constraint(fields.get("text")),
        reasoning_effort=_reasoning(fields.get("reasoning")),
        metadata=labels,
        echoed=_echoed(fields, labels),
    )


def _refuse_unsupported(fields: Fields) -> None:
    for name, neutral in UNSUPPORTED.items():
        value = fields.get(name)
        if value is None or any(type(value) is type(other) and value == other for other in neutral):
            continue
        allowed = f" or set it to {' or '.join(map(json.dumps, neutral))}" if neutral else ""
        raise InvalidParameter(
            name, f"is not supported here. Leave it out{allowed}.", code="unsupported_parameter"
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
    found = items(value, "tools", most=MOST_TOOLS)
    return tuple(_tool(tool, f"tools[{index}]") for index, tool in enumerate(found))


def _tool(value: Any, path: str) -> Tool:
    fields = Fields(value, path)
    if text(fields.required("type"), fields.param("type")) != "function":
        raise InvalidParameter(fields.param("type"), "can only be 'function' here.", code="unsupported_value")
    fields.refuse_unknown(
        {"type", "name", "description", "parameters", "strict", "defer_loading", "output_schema"}
    )
    fields.check_type("parameters", dict)
    return Tool(
        name=text(fields.required("name"), fields.param("name"), longest=64),
        description=fields.text("description") or "",
        parameters=json.dumps(fields.get("parameters") or {}),
        strict=fields.boolean("strict"),
    )


def _tool_choice(value: Any, tools: tuple[Tool, ...]) -> tuple[tuple[Tool, ...], ToolChoice]:
    """The tools that are offered, and whether one must be called."""
    if value is None or value == "auto":
        return tools, "auto"
    if value in ("none", "required"):
        if value == "required" and not tools:
            raise InvalidParameter("tool_choice", "is 'required', and there are no 'tools'.")
        return tools, "none" if value == "none" else "required"
    if isinstance(value, str):
        raise InvalidParameter("tool_choice", "must be 'none', 'auto', 'required' or a function.")
    fields = Fields(value, "tool_choice")
    if fields.get("type") != "function":
        raise InvalidParameter("tool_choice.type", "can only be 'function' here.", code="unsupported_value")
    named = tuple(tool for tool in tools if tool.name == fields.get("name"))
    if not named:
        raise InvalidParameter("tool_choice.name", "is the name of none of the 'tools'.")
    return named, "required"


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
            return None
        case "json_object":
            return Constraint("json_object")
        case "json_schema":
            wanted.refuse_unknown({"type", "name", "schema", "strict", "description"})
            text(wanted.required("name"), "text.format.name", longest=64)
            wanted.check_type("schema", dict)
            wanted.boolean("strict")
            return Constraint("json_schema", json.dumps(wanted.required("schema")))
        case _:
            raise InvalidParameter("text.format.type", "must be 'text', 'json_object' or 'json_schema'.")


def _reasoning(value: Any) -> str:
    if value is None:
        return ""
    fields = Fields(value, "reasoning")
    fields.refuse_unknown({"effort", "summary", "generate_summary"})
    if fields.get("summary") not in (None, "auto") or fields.get("generate_summary") is not None:
        raise InvalidParameter(
            "reasoning.summary", "is not supported: the whole reasoning is sent.", code="unsupported_value"
        )
    return fields.text("effort", longest=20) or ""


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
