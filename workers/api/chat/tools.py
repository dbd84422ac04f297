"""Tools and the shape of the answer, as a chat completion asks for them."""

import json
import re
from typing import Any, Final, NamedTuple

from workers.api import schemas
from workers.api.errors import InvalidParameter
from workers.api.fields import Fields, items, text
from workers.protocol import Constraint, Tool, ToolCall, ToolChoice

MOST_TOOLS: Final = 128
LONGEST_DESCRIPTION: Final = 32 * 1024
NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")
CHOICES: Final[dict[str, ToolChoice]] = {"none": "none", "auto": "auto", "required": "required"}


class Tools(NamedTuple):
    tools: tuple[Tool, ...] = ()
    choice: ToolChoice = "auto"
    parallel: bool = True


def read(fields: Fields) -> Tools:
    """`tools`, `tool_choice` and `parallel_tool_calls`."""
    tools = tuple(
        _tool(tool, f"tools[{number}]")
        for number, tool in enumerate(items(fields.get_or("tools", []), "tools", most=MOST_TOOLS))
    )
    names = [tool.name for tool in tools]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise InvalidParameter("tools", f"has two functions of the name '{twice}'.")
    chosen, choice = _choice(fields.get("tool_choice"), tools)
    return Tools(chosen, choice, fields.boolean("parallel_tool_calls", default=True))


def tool_of(fields: Fields, *, parameters: str = "parameters", strict: bool | None = None) -> Tool:
    """A function's name, description and schema; the schema is the key `parameters`."""
    name = text(fields.required("name"), fields.param("name"))
    if not NAME.fullmatch(name):
        raise InvalidParameter(
            fields.param("name"), "must have 1 to 64 letters, digits, dots, dashes or underscores."
        )
    held = fields.boolean("strict") if strict is None else strict
    fields.check_type(parameters, dict)
    schema = fields.get(parameters) or {}
    schemas.check(schema, fields.param(parameters), strict=held)
    if schema.get("type", "object") != "object":
        raise InvalidParameter(f"{fields.param(parameters)}.type", "must be 'object'.")
    return Tool(
        name=name,
        description=fields.text("description", longest=LONGEST_DESCRIPTION) or "",
        parameters=json.dumps(schema, ensure_ascii=False),
        strict=held,
    )


def read_calls(value: Any, path: str) -> tuple[ToolCall, ...]:
    """The `tool_calls` of an assistant's message."""
    return tuple(
        _call(call, f"{path}[{number}]") for number, call in enumerate(items(value, path, most=MOST_TOOLS))
    )


def read_format(fields: Fields) -> Constraint | None:
    """`response_format`."""
    if fields.get("response_format") is None:
        return None
    chosen = Fields(fields.get("response_format"), "response_format")
    kind = text(chosen.required("type"), "response_format.type")
    match kind:
        case "text":
            chosen.refuse_unknown({"type"})
            return None
        case "json_object":
            chosen.refuse_unknown({"type"})
            return Constraint("json_object")
        case "json_schema":
            chosen.refuse_unknown({"type", "json_schema"})
            return schema_of(Fields(chosen.required("json_schema"), "response_format.json_schema"))
        case "grammar":
            chosen.refuse_unknown({"type", "grammar"})
            return Constraint("grammar", _some_text(chosen, "grammar"))
        case "regex":
            chosen.refuse_unknown({"type", "pattern"})
            return Constraint("regex", _some_text(chosen, "pattern"))
    raise InvalidParameter(
        "response_format.type", "must be text, json_object, json_schema, grammar or regex."
    )


def schema_of(fields: Fields) -> Constraint:
    """`{"name", "schema", "strict", "description"}`."""
    fields.refuse_unknown({"name", "schema", "strict", "description", "type"})
    name = fields.text("name", longest=64)
    if name is not None and not NAME.fullmatch(name):
        raise InvalidParameter(
            fields.param("name"), "must have 1 to 64 letters, digits, dashes or underscores."
        )
    fields.text("description", longest=LONGEST_DESCRIPTION)
    schema = schemas.check(fields.required("schema"), fields.param("schema"), strict=fields.boolean("strict"))
    return Constraint("json_schema", json.dumps(schema, ensure_ascii=False))


def _some_text(fields: Fields, name: str) -> str:
    value = text(fields.required(name), fields.param(name), longest=schemas.LARGEST)
    if not value.strip():
        raise InvalidParameter(fields.param(name), "must not be empty.")
    return value


def _tool(value: Any, path: str) -> Tool:
    fields = Fields(value, path)
    kind = text(fields.required("type"), fields.param("type"))
    if kind != "function":
        raise InvalidParameter(fields.param("type"), "can only be 'function'.", code="unsupported_value")
    fields.refuse_unknown({"type", "function"})
    function = Fields(fields.required("function"), fields.param("function"))
    function.refuse_unknown({"name", "description", "parameters", "strict"})
    return tool_of(function)


def _choice(value: Any, tools: tuple[Tool, ...]) -> tuple[tuple[Tool, ...], ToolChoice]:
    """The tools that may be called, and whether one must be."""
    if value is None:
        return tools, "auto"
    if isinstance(value, str):
        if value not in CHOICES:
            raise InvalidParameter("tool_choice", "must be none, auto, required or an object.")
        if value == "required" and not tools:
            raise InvalidParameter("tool_choice", "is 'required', and there are no 'tools'.")
        return tools, CHOICES[value]
    fields = Fields(value, "tool_choice")
    kind = text(fields.required("type"), "tool_choice.type")
    if kind == "function":
        fields.refuse_unknown({"type", "function"})
        function = Fields(fields.required("function"), "tool_choice.function")
        return only(tools, text(function.required("name"), "tool_choice.function.name")), "required"
    if kind == "allowed_tools":
        fields.refuse_unknown({"type", "allowed_tools"})
        return _allowed(Fields(fields.required("allowed_tools"), "tool_choice.allowed_tools"), tools)
    raise InvalidParameter("tool_choice.type", "must be 'function' or 'allowed_tools'.")


def only(tools: tuple[Tool, ...], name: str, param: str = "tool_choice.function.name") -> tuple[Tool, ...]:
    """The one tool of that name."""
    found = tuple(tool for tool in tools if tool.name == name)
    if not found:
        raise InvalidParameter(param, "is not the name of one of the 'tools'.")
    return found


def _allowed(fields: Fields, tools: tuple[Tool, ...]) -> tuple[tuple[Tool, ...], ToolChoice]:
    fields.refuse_unknown({"mode", "tools"})
    mode = text(fields.required("mode"), fields.param("mode"))
    if mode not in ("auto", "required"):
        raise InvalidParameter(fields.param("mode"), "must be 'auto' or 'required'.")
    allowed: tuple[Tool, ...] = ()
    listed = items(fields.required("tools"), fields.param("tools"), fewest=1, most=MOST_TOOLS)
    for number, entry in enumerate(listed):
        path = f"{fields.param('tools')}[{number}]"
        function = Fields(Fields(entry, path).required("function"), f"{path}.function")
        allowed += only(
            tools, text(function.required("name"), function.param("name")), function.param("name")
        )
    return allowed, CHOICES[mode]


def _call(value: Any, path: str) -> ToolCall:
    fields = Fields(value, path)
    fields.refuse_unknown({"id", "type", "function", "index"})
    kind = fields.text("type")
    if kind not in (None, "function"):
        raise InvalidParameter(fields.param("type"), "can only be 'function'.", code="unsupported_value")
    function = Fields(fields.required("function"), fields.param("function"))
    function.refuse_unknown({"name", "arguments"})
    arguments = function.text("arguments") or "{}"
    try:
        json.loads(arguments)
    except (ValueError, RecursionError):
        # It would end up in a prompt as broken JSON, and in some chat templates as an exception.
        raise InvalidParameter(function.param("arguments"), "must be JSON in a string.") from None
    return ToolCall(
        id=text(fields.required("id"), fields.param("id"), longest=128),
        name=text(function.required("name"), function.param("name"), longest=128),
        arguments=arguments,
    )
