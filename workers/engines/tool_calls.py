"""Tool calls for chat models whose chat template has no place for tools. Pure: messages and text in, deltas out.

The tools are described in the system message, and calls are read out of the text. Three ways of writing them:

* `auto`: the model answers in words, or writes `<tool_call>{"name": …, "arguments": {…}}</tool_call>` blocks (the form
  that Hermes and Qwen models were taught);
* `required`: the text is a JSON array of such objects, and a JSON schema holds the model to it;
* `auto` with a JSON schema for the answer: the schema allows either the answer, an object, or that array.
"""

import json
import re
import secrets
from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import Any

from workers.engines.schemas import apart
from workers.protocol import ChatMessage, Constraint, GenerationRequest, Tool, ToolCallDelta

BEGIN, END = "<tool_call>", "</tool_call>"
RESULT_BEGIN, RESULT_END = "<tool_response>", "</tool_response>"
MOST_CALLS = 16
"""In one forced reply: a model that finds no end would fill its context with calls."""

_HEAD = re.compile(r'\s*\{\s*"name"\s*:\s*("(?:[^"\\]|\\.)*")\s*,\s*"arguments"\s*:\s*(?=\{)')


@dataclass(frozen=True, slots=True)
class Plan:
    """What to ask the model instead of the request, and how to read its text."""

    messages: tuple[ChatMessage, ...]
    constraint: Constraint | None
    reader: "CallReader"


def plan(request: GenerationRequest) -> Plan:
    """For a request with tools that may be called."""
    forced = request.tool_choice == "required"
    constraint, form = request.constraint, Form.MARKED
    if forced:
        constraint, form = Constraint("json_schema", json.dumps(calls_schema(request))), Form.ARRAY
    elif constraint is not None and constraint.kind in {"json_schema", "json_object"}:
        answer = json.loads(constraint.value or '{"type": "object"}')
        constraint = Constraint("json_schema", json.dumps(_either(calls_schema(request), answer)))
        form = Form.EITHER
    return Plan(
        messages=with_instructions(plain_messages(request.messages), instructions(request)),
        constraint=constraint,
        reader=CallReader(form, parallel=request.parallel_tool_calls),
    )


def instructions(request: GenerationRequest) -> str:
    """What the system message says about the tools."""
    tools = "\n".join(json.dumps(_described(tool), ensure_ascii=False) for tool in request.tools)
    example = '{"name": "NAME", "arguments": {…}}'
    if request.tool_choice == "required":
        how = f"Answer with a JSON array of calls and nothing else: [{example}]"
    elif request.constraint is not None:
        how = f"To call tools answer with a JSON array: [{example}]. Otherwise answer with a JSON object."
    else:
        how = f"To call one write {BEGIN}{example}{END} and nothing else. Otherwise answer in words."
    several = "" if request.parallel_tool_calls else " Call one tool at a time."
    return f"You can call these tools, each described by a JSON schema:\n{tools}\n{how}{several}"


def calls_schema(request: GenerationRequest) -> dict[str, Any]:
    """The JSON schema of an array of calls of the request's tools."""
    calls = [_call_schema(tool, number) for number, tool in enumerate(request.tools)]
    definitions: dict[str, Any] = {}
    for call in calls:
        definitions.update(call.pop("$defs", {}))
    schema: dict[str, Any] = {
        "type": "array",
        "items": calls[0] if len(calls) == 1 else {"anyOf": calls},
        "minItems": 1,
        "maxItems": MOST_CALLS if request.parallel_tool_calls else 1,
    }
    return {**schema, "$defs": definitions} if definitions else schema


def plain_messages(messages: tuple[ChatMessage, ...]) -> tuple[ChatMessage, ...]:
    """Messages without tool calls and tool results, which are written out as text."""
    return tuple(_plain(message) for message in messages)


def with_instructions(messages: tuple[ChatMessage, ...], text: str) -> tuple[ChatMessage, ...]:
    """`text` at the end of the system message; a new one where there is none."""
    if messages and messages[0].role == "system":
        first = messages[0]
        return (replace(first, content=f"{first.content}\n\n{text}"), *messages[1:])
    return (ChatMessage("system", text), *messages)


def _plain(message: ChatMessage) -> ChatMessage:
    if message.role == "tool":
        return ChatMessage("user", f"{RESULT_BEGIN}\n{message.content}\n{RESULT_END}")
    if not message.tool_calls:
        return message
    calls = [
        f'{BEGIN}{{"name": {json.dumps(call.name)}, "arguments": {call.arguments or "{}"}}}{END}'
        for call in message.tool_calls
    ]
    return ChatMessage(message.role, "\n".join([*([message.content] if message.content else []), *calls]))


def _described(tool: Tool) -> dict[str, Any]:
    described = {
        "name": tool.name,
        "description": tool.description,
        "parameters": json.loads(tool.parameters),
    }
    return {name: value for name, value in described.items() if value != ""}


def _call_schema(tool: Tool, number: int) -> dict[str, Any]:
    parameters = json.loads(tool.parameters) or {"type": "object", "properties": {}}
    parameters, definitions = apart(parameters, f"tool{number}_")
    schema = {
        "type": "object",
        "properties": {"name": {"const": tool.name}, "arguments": parameters},
        "required": ["name", "arguments"],
        "additionalProperties": False,
    }
    return {**schema, "$defs": definitions} if definitions else schema


def _either(calls: dict[str, Any], answer: dict[str, Any]) -> dict[str, Any]:
    """A schema for one or the other. Both keep their definitions, under names that cannot meet."""
    definitions = calls.pop("$defs", {})
    answer, of_answer = apart(answer, "answer_")
    schema = {"anyOf": [answer, calls]}
    return {**schema, "$defs": {**definitions, **of_answer}} if definitions or of_answer else schema


class Form(Enum):
    """How calls are written; see the module."""

    MARKED = auto()
    ARRAY = auto()
    EITHER = auto()


@dataclass(frozen=True, slots=True)
class Read:
    """What a piece of the model's text has brought."""

    text: str = ""
    tool_calls: tuple[ToolCallDelta, ...] = ()


class CallReader:
    """Reads calls out of text that comes in pieces. `done` is true when nothing more is wanted."""

    def __init__(self, form: Form, *, parallel: bool = True) -> None:
        self._form = form
        self._parallel = parallel
        self._held = ""
        self._call: _Call | None = None
        self._count = 0
        self._end_expected = False
        self.done = False

    def feed(self, piece: str) -> Read:
        self._held += piece
        text: list[str] = []
        calls: list[ToolCallDelta] = []
        while not self.done and self._step(text, calls):
            pass
        return Read("".join(text), tuple(calls))

    def rest(self) -> Read:
        """What was held back, once it is known that nothing follows. A call that cannot be read is text."""
        held, self._held = self._held, ""
        if self.done or self._form is Form.ARRAY or (self._call is not None and self._call.named):
            return Read()
        if self._call is not None:
            whole = self._call.unread + held
            if found := _loosely(whole.removesuffix(END)):
                return Read("", self._whole_call(found))
            return Read(BEGIN + whole)
        return Read("" if self._count and END.startswith(held.strip()) else held)

    def _step(self, text: list[str], calls: list[ToolCallDelta]) -> bool:
        """Read on as far as is certain. False when more text is needed."""
        if self._form is Form.EITHER:
            return self._decide()
        if self._call is not None:
            return self._read_call(text, calls)
        if self._form is Form.ARRAY:
            place = self._held.find("{")
            self._held = self._held[place:] if place >= 0 else ""
            if place < 0:
                return False
            self._call = _Call(self._count)
            return True
        return self._read_text(text)

    def _decide(self) -> bool:
        """Whether the text is an array of calls or the answer."""
        begun = self._held.lstrip()
        if not begun:
            return False
        self._form = Form.ARRAY if begun[0] == "[" else Form.MARKED
        return True

    def _read_text(self, text: list[str]) -> bool:
        if self._end_expected and not self._pass_end():
            return False
        place = self._held.find(BEGIN)
        if place >= 0:
            text.append(self._held[:place].rstrip())
            self._held = self._held[place + len(BEGIN) :]
            self._call = _Call(self._count)
            return True
        mark = next((n for n in range(len(BEGIN) - 1, 0, -1) if self._held.endswith(BEGIN[:n])), 0)
        # Blanks in front of a call are no text, so they wait for what comes behind them.
        sure = len(self._held[: len(self._held) - mark].rstrip())
        text.append(self._held[:sure])
        self._held = self._held[sure:]
        return False

    def _read_call(self, text: list[str], calls: list[ToolCallDelta]) -> bool:
        call = self._call
        assert call is not None
        self._held, pieces = call.feed(self._held)
        calls += pieces
        if call.ended:
            self._end_call()
            return True
        place = call.unread.find(END) if self._form is not Form.ARRAY and not call.named else -1
        if place < 0:
            return False
        block, self._held = call.unread[:place], call.unread[place + len(END) :]
        if found := _loosely(block):
            calls += self._whole_call(found)
        else:
            text.append(BEGIN + block + END)
            self._call = None
        return True

    def _whole_call(self, found: tuple[str, str]) -> tuple[ToolCallDelta, ...]:
        name, arguments = found
        made = (ToolCallDelta(self._count, new_call_id(), name, arguments),)
        self._end_call()
        return made

    def _end_call(self) -> None:
        self._call = None
        self._count += 1
        self._end_expected = self._form is Form.MARKED
        self.done = not self._parallel and self._form is Form.MARKED

    def _pass_end(self) -> bool:
        """Skip the mark behind a call. False when it may still be coming."""
        begun = self._held.lstrip()
        if END.startswith(begun) and begun != END:
            return False
        self._held = begun.removeprefix(END)
        self._end_expected = False
        return True


class _Call:
    """One `{"name": …, "arguments": {…}}`, whose arguments are passed on as they come."""

    def __init__(self, index: int) -> None:
        self.index = index
        self.unread = ""
        """The head, until it is whole."""
        self.named = self.ended = False
        self._depth = 0
        self._in_string = self._escaped = self._closed = False

    def feed(self, text: str) -> tuple[str, list[ToolCallDelta]]:
        """What lies behind the call, and the call's new pieces."""
        pieces: list[ToolCallDelta] = []
        if not self.named:
            self.unread += text
            found = _HEAD.match(self.unread)
            if not found:
                return "", pieces
            self.named = True
            pieces.append(ToolCallDelta(self.index, new_call_id(), json.loads(found[1])))
            text, self.unread = self.unread[found.end() :], ""
        end = self._arguments_end(text)
        if text[:end]:
            pieces.append(ToolCallDelta(self.index, arguments=text[:end]))
        return self._behind(text[end:]), pieces

    def _arguments_end(self, text: str) -> int:
        """How much of `text` still belongs to the arguments."""
        if self._closed:
            return 0
        for place, letter in enumerate(text):
            if self._in_string:
                self._in_string = self._escaped or letter != '"'
                self._escaped = letter == "\\" and not self._escaped
            elif letter == '"':
                self._in_string = True
            elif letter in "{[":
                self._depth += 1
            elif letter in "}]":
                self._depth -= 1
                if self._depth == 0:
                    self._closed = True
                    return place + 1
        return len(text)

    def _behind(self, text: str) -> str:
        place = text.find("}") if self._closed else -1
        if place < 0:
            return ""
        self.ended = True
        return text[place + 1 :]


def new_call_id() -> str:
    return f"call_{secrets.token_hex(12)}"


def _loosely(block: str) -> tuple[str, str] | None:
    """Name and arguments of a call that is written in another order or by another key."""
    try:
        data = json.loads(block)
    except ValueError:
        return None
    if not isinstance(data, dict) or not isinstance(data.get("name"), str):
        return None
    arguments = data.get("arguments", data.get("parameters", {}))
    if isinstance(arguments, dict):
        return data["name"], json.dumps(arguments, ensure_ascii=False)
    return (data["name"], arguments) if isinstance(arguments, str) else None
