"""The wire of Anthropic's `/v1/messages`: what a request may say. https://docs.anthropic.com/en/api/messages

As with OpenAI's endpoints, a parameter is honoured, accepted without effect (with the reason), or refused by name.
"""

import json
from dataclasses import dataclass
from typing import Any, Final

from workers.api import pictures, schemas
from workers.api.chat import tools as openai_tools
from workers.api.chat.protocol import LENGTH, LONGEST_STOP, MOST_TOKENS
from workers.api.errors import InvalidParameter
from workers.api.fields import LONGEST_MODEL, Bounds, Fields, Whole, items, kind, neutral_only, text
from workers.protocol import ChatMessage, Constraint, Role, Sampling, Tool, ToolCall, ToolChoice

MOST_MESSAGES: Final = 4096
MOST_BLOCKS: Final = 4096
MOST_STOPS: Final = 16

COUNTED: Final = frozenset(
    {"model", "messages", "system", "tools", "tool_choice", "thinking", "output_config"}
)
HONOURED: Final = COUNTED | {"max_tokens", "temperature", "top_p", "top_k", "stop_sequences", "stream"}
WITHOUT_EFFECT: Final[dict[str, tuple[type, str]]] = {
    "metadata": (dict, "names the caller's own user for abuse reports"),
    "cache_control": (dict, "a hint; the prefix cache needs none"),
    "service_tier": (str, "any tier may be served as the default one"),
    "speed": (str, "there is one speed"),
    "inference_geo": (str, "the server is where it is"),
    "user_profile_id": (str, "names the caller's own user"),
    "workspace_id": (str, "names the caller's own workspace"),
}
UNSUPPORTED: Final[dict[str, tuple[Any, ...]]] = {"container": (), "diagnostics": ()}
NUMBERS: Final[dict[str, Bounds]] = {
    "temperature": {"minimum": 0, "maximum": 1},
    "top_p": {"minimum": 0, "maximum": 1},
}
TOP_K: Final[Whole] = {"minimum": 0, "maximum": MOST_TOKENS}
TOOL_KEYS: Final = frozenset(
    {
        "type", "name", "description", "input_schema", "strict", "cache_control", "input_examples",
        "allowed_callers", "defer_loading", "eager_input_streaming",
    }
)  # fmt: skip
EFFORTS: Final = frozenset({"low", "medium", "high", "xhigh", "max"})


@dataclass(frozen=True, slots=True)
class MessagesRequest:
    """What the caller asked for, checked."""

    model: str
    messages: tuple[ChatMessage, ...]
    sampling: Sampling
    stream: bool = False
    tools: tuple[Tool, ...] = ()
    tool_choice: ToolChoice = "auto"
    parallel_tool_calls: bool = True
    constraint: Constraint | None = None
    reasoning_effort: str = ""


def parse(body: dict[str, Any]) -> MessagesRequest:
    """Raises `InvalidParameter` for the first thing that is wrong."""
    fields = Fields(body)
    fields.refuse_unknown(HONOURED | WITHOUT_EFFECT.keys() | UNSUPPORTED.keys())
    fields.required("max_tokens")
    sampling = Sampling(
        temperature=fields.number("temperature", **NUMBERS["temperature"]),
        top_p=fields.number("top_p", **NUMBERS["top_p"]),
        top_k=fields.integer("top_k", **TOP_K),
        max_tokens=fields.integer("max_tokens", **LENGTH),
        stop=_stops(fields.get_or("stop_sequences", [])),
    )
    return _request(fields, sampling, stream=fields.boolean("stream"))


def parse_count(body: dict[str, Any]) -> MessagesRequest:
    """For `count_tokens`. Raises `InvalidParameter`."""
    fields = Fields(body)
    fields.refuse_unknown(COUNTED | WITHOUT_EFFECT.keys())
    return _request(fields, Sampling(), stream=False)


def _request(fields: Fields, sampling: Sampling, *, stream: bool) -> MessagesRequest:
    neutral_only(fields, UNSUPPORTED)
    for name, (wanted, _) in WITHOUT_EFFECT.items():
        fields.check_type(name, wanted)
    effort, constraint = _output_config(fields)
    tools, choice, parallel = _tools(fields)
    return MessagesRequest(
        model=text(fields.required("model"), "model", longest=LONGEST_MODEL),
        messages=(*_system(fields), *_messages(fields.required("messages"))),
        sampling=sampling,
        stream=stream,
        tools=tools,
        tool_choice=choice,
        parallel_tool_calls=parallel,
        constraint=constraint,
        reasoning_effort=_thinking(fields, effort),
    )


def _stops(value: Any) -> tuple[str, ...]:
    stops = items(value, "stop_sequences", most=MOST_STOPS)
    for index, stop in enumerate(stops):
        if not text(stop, f"stop_sequences[{index}]", longest=LONGEST_STOP).strip():
            raise InvalidParameter(f"stop_sequences[{index}]", "must not be blank.")
    return tuple(stops)


def _thinking(fields: Fields, effort: str) -> str:
    if fields.get("thinking") is None:
        return effort
    thinking = Fields(fields.get("thinking"), "thinking")
    thinking.refuse_unknown({"type", "budget_tokens", "display"})
    wanted = text(thinking.required("type"), "thinking.type")
    if wanted not in ("enabled", "disabled", "adaptive"):
        raise InvalidParameter("thinking.type", "must be enabled, disabled or adaptive.")
    thinking.integer("budget_tokens", **LENGTH)
    if wanted == "disabled":
        return "none"
    return effort or ("high" if wanted == "enabled" else "")


def _output_config(fields: Fields) -> tuple[str, Constraint | None]:
    if fields.get("output_config") is None:
        return "", None
    config = Fields(fields.get("output_config"), "output_config")
    config.refuse_unknown({"effort", "format"})
    effort = config.text("effort") or ""
    if effort and effort not in EFFORTS:
        raise InvalidParameter("output_config.effort", f"must be one of {', '.join(sorted(EFFORTS))}.")
    if config.get("format") is None:
        return effort, None
    wanted = Fields(config.get("format"), "output_config.format")
    if wanted.get("type") != "json_schema":
        raise InvalidParameter("output_config.format.type", "must be 'json_schema'.")
    wanted.refuse_unknown({"type", "schema"})
    schema = schemas.check(wanted.required("schema"), "output_config.format.schema", strict=True)
    return effort, Constraint("json_schema", json.dumps(schema, ensure_ascii=False))


# --- tools -------------------------------------------------------------------------------------------------


def _tools(fields: Fields) -> tuple[tuple[Tool, ...], ToolChoice, bool]:
    listed = items(fields.get_or("tools", []), "tools", most=openai_tools.MOST_TOOLS)
    tools = tuple(_tool(tool, f"tools[{index}]") for index, tool in enumerate(listed))
    if fields.get("tool_choice") is None:
        return tools, "auto", True
    choice = Fields(fields.get("tool_choice"), "tool_choice")
    choice.refuse_unknown({"type", "name", "disable_parallel_tool_use"})
    parallel = not choice.boolean("disable_parallel_tool_use")
    match text(choice.required("type"), "tool_choice.type"):
        case "auto":
            return tools, "auto", parallel
        case "none":
            return tools, "none", parallel
        case "any" if tools:
            return tools, "required", parallel
        case "tool":
            name = text(choice.required("name"), "tool_choice.name")
            return openai_tools.only(tools, name, "tool_choice.name"), "required", parallel
    raise InvalidParameter("tool_choice.type", "must be auto, any, tool or none; any and tool need 'tools'.")


def _tool(value: Any, path: str) -> Tool:
    fields = Fields(value, path)
    if fields.get("type") not in (None, "custom"):
        raise InvalidParameter(
            fields.param("type"),
            "is a tool of Anthropic's own servers, which is not here.",
            code="unsupported_value",
        )
    fields.refuse_unknown(TOOL_KEYS)
    fields.required("input_schema")
    return openai_tools.tool_of(fields, parameters="input_schema")


# --- messages ----------------------------------------------------------------------------------------------


def _system(fields: Fields) -> tuple[ChatMessage, ...]:
    value = fields.get("system")
    if value is None or value in ("", []):
        return ()
    return (ChatMessage("system", _text_of(value, "system")),)


def _messages(value: Any) -> list[ChatMessage]:
    listed = items(value, "messages", fewest=1, most=MOST_MESSAGES)
    found: list[ChatMessage] = []
    for index, message in enumerate(listed):
        said = _message(message, f"messages[{index}]")
        _check_results(said, found, f"messages[{index}]")
        found += said
    return found


def _check_results(said: list[ChatMessage], before: list[ChatMessage], path: str) -> None:
    """A result without its call would be refused by Anthropic as well, and confuses chat templates."""
    calls = {call.id for message in before for call in message.tool_calls}
    for message in said:
        if message.role == "tool" and message.tool_call_id not in calls:
            raise InvalidParameter(path, "holds a tool_result whose tool_use_id no earlier tool_use has.")


def _message(value: Any, path: str) -> list[ChatMessage]:
    """One of ours, or several: Anthropic's puts the results of tools and the words of the person into one."""
    fields = Fields(value, path)
    fields.refuse_unknown({"role", "content"})
    role = text(fields.required("role"), fields.param("role"))
    content, param = fields.required("content"), fields.param("content")
    if role not in ("user", "assistant", "system"):
        raise InvalidParameter(fields.param("role"), "must be user, assistant or system.")
    if isinstance(content, str):
        return [ChatMessage(_role(role), text(content, param))]
    if not isinstance(content, list):
        raise InvalidParameter(
            param, f"must be a string or a list of blocks, not {kind(content)}.", code="invalid_type"
        )
    blocks = [
        Fields(block, f"{param}[{index}]")
        for index, block in enumerate(items(content, param, fewest=1, most=MOST_BLOCKS))
    ]
    return _of_assistant(blocks) if role == "assistant" else _of_user(blocks, _role(role))


def _role(role: str) -> Role:
    return "assistant" if role == "assistant" else "system" if role == "system" else "user"


def _of_user(blocks: list[Fields], role: Role) -> list[ChatMessage]:
    results: list[ChatMessage] = []
    texts: list[str] = []
    images: list[str] = []
    for block in blocks:
        match _type(block):
            case "tool_result":
                results.append(_result(block))
            case "image" if role == "user":
                images.append(_image(block))
            case _:
                texts.append(_text_block(block))
    if texts or images:
        results.append(ChatMessage(role, "\n".join(texts), images=tuple(images)))
    return results


def _of_assistant(blocks: list[Fields]) -> list[ChatMessage]:
    texts: list[str] = []
    thoughts: list[str] = []
    calls: list[ToolCall] = []
    for block in blocks:
        match _type(block):
            case "tool_use":
                calls.append(_call(block))
            case "thinking":
                thoughts.append(block.text("thinking") or "")
            case "redacted_thinking":
                pass  # only Anthropic can read it
            case _:
                texts.append(_text_block(block))
    return [ChatMessage("assistant", "".join(texts), tool_calls=tuple(calls), reasoning="\n".join(thoughts))]


def _type(block: Fields) -> str:
    return text(block.required("type"), block.param("type"))


def _text_block(block: Fields) -> str:
    if _type(block) != "text":
        raise InvalidParameter(
            block.param("type"), "is not supported in this place.", code="unsupported_value"
        )
    block.refuse_unknown({"type", "text", "cache_control", "citations"})
    return text(block.required("text"), block.param("text"))


def _text_of(value: Any, param: str) -> str:
    """A string or a list of text blocks."""
    if isinstance(value, str):
        return text(value, param)
    blocks = items(value, param, most=MOST_BLOCKS, wanted="a string or a list")
    return "\n".join(_text_block(Fields(block, f"{param}[{index}]")) for index, block in enumerate(blocks))


def _result(block: Fields) -> ChatMessage:
    block.refuse_unknown({"type", "tool_use_id", "content", "is_error", "cache_control"})
    content = _text_of(block.get_or("content", ""), block.param("content"))
    if block.boolean("is_error"):
        content = f"Error: {content}"
    call = text(block.required("tool_use_id"), block.param("tool_use_id"), longest=128)
    return ChatMessage("tool", content, tool_call_id=call)


def _call(block: Fields) -> ToolCall:
    block.refuse_unknown({"type", "id", "name", "input", "cache_control", "caller"})
    given = block.get_or("input", {})
    if not isinstance(given, dict):
        raise InvalidParameter(block.param("input"), "must be an object.", code="invalid_type")
    return ToolCall(
        id=text(block.required("id"), block.param("id"), longest=128),
        name=text(block.required("name"), block.param("name"), longest=128),
        arguments=json.dumps(given, ensure_ascii=False),
    )


def _image(block: Fields) -> str:
    block.refuse_unknown({"type", "source", "cache_control"})
    source = Fields(block.required("source"), block.param("source"))
    if source.get("type") == "url":
        return pictures.read(text(source.required("url"), source.param("url")), source.param("url"))
    if source.get("type") != "base64":
        raise InvalidParameter(source.param("type"), "must be base64 or url.", code="unsupported_value")
    media_type = text(source.required("media_type"), source.param("media_type"), longest=50)
    data = text(source.required("data"), source.param("data"))
    return pictures.read(f"data:{media_type};base64,{data}", source.param("data"))
