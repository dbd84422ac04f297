import json
from typing import Any

import jsonschema
import pytest

from tests.workers.support import make_request
from workers.engines.schemas import dangling, rooted
from workers.engines.tool_calls import BEGIN, END, CallReader, Form, calls_schema, plan
from workers.protocol import ChatMessage, Constraint, Delta, Gathering, Tool, ToolCall

CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
WEATHER = Tool("weather", "The weather of a city.", json.dumps(CITY))
TIME = Tool("time", "", "{}")
ARGUMENTS = '{"city": "Köln \\"}{<tool_call>", "more": [1, {"a": "}"}]}'
CALL = f'{{"name": "weather", "arguments": {ARGUMENTS}}}'
OTHER = '{"name": "time", "arguments": {}}'


def read(form: Form, text: str, size: int, *, parallel: bool = True) -> tuple[str, list[tuple[str, str]]]:
    """The text and the calls that a reader finds when `text` comes in pieces of `size` letters."""
    reader, whole = CallReader(form, parallel=parallel), Gathering()
    pieces = [text[place : place + size] for place in range(0, len(text), size)]
    for found in [*map(reader.feed, pieces), reader.rest()]:
        whole.add(Delta(found.text, tool_calls=found.tool_calls))
    assert all(call.id.startswith("call_") for call in whole.tool_calls)
    assert len({call.id for call in whole.tool_calls}) == len(whole.tool_calls)
    return whole.text, [(call.name, call.arguments) for call in whole.tool_calls]


SIZES = [1, 2, 3, 5, 7, 1000]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    ("text", "said", "calls"),
    [
        ("It rains. <b> <tool", "It rains. <b> <tool", []),
        (BEGIN + CALL + END, "", [("weather", ARGUMENTS)]),
        (f"\n{BEGIN}\n{CALL}\n{END}\n", "", [("weather", ARGUMENTS)]),
        (f"Let me look.\n{BEGIN}{CALL}{END}", "Let me look.", [("weather", ARGUMENTS)]),
        (BEGIN + CALL + END + "\n" + BEGIN + OTHER + END, "", [("weather", ARGUMENTS), ("time", "{}")]),
        (BEGIN + '{"arguments": {"a": 1}, "name": "f"}' + END, "", [("f", '{"a": 1}')]),
        (BEGIN + '{"name": "f", "parameters": {}}' + END, "", [("f", "{}")]),
        (BEGIN + '{"name": "f", "parameters": {}}', "", [("f", "{}")]),
        (BEGIN + "no call" + END + " at all", BEGIN + "no call" + END + " at all", []),
        (BEGIN + "cut", BEGIN + "cut", []),
        (BEGIN + '{"name": "weather", "arguments": {"city": "K', "", [("weather", '{"city": "K')]),
        (BEGIN + CALL, "", [("weather", ARGUMENTS)]),
    ],
)
def test_it_reads_marked_calls_however_the_text_is_cut(size, text, said, calls):
    assert read(Form.MARKED, text, size) == (said, calls)


@pytest.mark.parametrize("size", SIZES)
def test_it_reads_an_array_of_calls(size):
    assert read(Form.ARRAY, f"[{CALL}, \n{OTHER}]", size) == ("", [("weather", ARGUMENTS), ("time", "{}")])


@pytest.mark.parametrize("size", SIZES)
def test_it_tells_calls_from_an_answer(size):
    assert read(Form.EITHER, f" [{OTHER}]", size) == ("", [("time", "{}")])
    assert read(Form.EITHER, '{"answer": [1]}', size) == ('{"answer": [1]}', [])


def test_one_call_is_enough_where_calls_may_not_be_parallel():
    reader = CallReader(Form.MARKED, parallel=False)
    reader.feed(BEGIN + OTHER + END)
    assert reader.done
    assert read(Form.MARKED, BEGIN + OTHER + END + BEGIN + CALL + END, 4, parallel=False) == (
        "",
        [("time", "{}")],
    )


def test_arguments_are_passed_on_as_they_come():
    reader = CallReader(Form.ARRAY)
    assert reader.feed('[{"name": "weather", "arguments": ').tool_calls == ()
    first, second = reader.feed('{"city": "K').tool_calls
    assert (first.name, second.arguments) == ("weather", '{"city": "K')
    assert [piece.arguments for piece in reader.feed('öln"}}').tool_calls] == ['öln"}']


# --- what the model is told --------------------------------------------------------------------------------


def test_tools_and_results_are_written_out_for_a_template_without_them():
    request = make_request(
        messages=(
            ChatMessage("system", "Be brief."),
            ChatMessage("user", "Weather?"),
            ChatMessage("assistant", "", tool_calls=(ToolCall("call_1", "weather", '{"city": "Rome"}'),)),
            ChatMessage("tool", "sunny", tool_call_id="call_1", name="weather"),
        ),
        tools=(WEATHER, TIME),
    )
    system, question, call, result = plan(request).messages
    assert system.content.startswith("Be brief.\n\n")
    assert '"The weather of a city."' in system.content
    assert question == request.messages[1]
    assert call == ChatMessage(
        "assistant", f'{BEGIN}{{"name": "weather", "arguments": {{"city": "Rome"}}}}{END}'
    )
    assert result.role == "user"
    assert "sunny" in result.content
    assert plan(request).constraint is None


def test_a_system_message_is_made_where_there_is_none():
    first, second = plan(make_request("Hi", tools=(WEATHER,))).messages
    assert (first.role, second.role) == ("system", "user")


def schema_of(**values: Any) -> dict[str, Any]:
    constraint = plan(make_request("Hi", **values)).constraint
    assert constraint is not None
    schema: dict[str, Any] = json.loads(constraint.value)
    jsonschema.Draft202012Validator.check_schema(schema)
    return schema


def fits(value: Any, schema: dict[str, Any]) -> bool:
    return jsonschema.Draft202012Validator(schema).is_valid(value)


def test_forced_calls_are_held_to_the_tools_schemas():
    schema = schema_of(tools=(WEATHER, TIME), tool_choice="required")
    good = {"name": "weather", "arguments": {"city": "Rome"}}
    assert fits([good], schema)
    assert fits([good, {"name": "time", "arguments": {}}], schema)
    for bad in ([], [{"name": "weather", "arguments": {}}], [{"name": "nobody", "arguments": {}}], good):
        assert not fits(bad, schema)


def test_a_single_call_is_all_where_calls_may_not_be_parallel():
    schema = schema_of(tools=(TIME,), tool_choice="required", parallel_tool_calls=False)
    assert fits([{"name": "time", "arguments": {}}], schema)
    assert not fits([{"name": "time", "arguments": {}}] * 2, schema)


def test_an_answer_with_a_schema_and_calls_share_one():
    answer = {
        "type": "object",
        "properties": {
            "next": {"anyOf": [{"$ref": "#"}, {"type": "null"}]},
            "kind": {"$ref": "#/$defs/kind"},
        },
        "required": ["next", "kind"],
        "$defs": {"kind": {"enum": ["a", "b"]}},
    }
    schema = schema_of(tools=(WEATHER,), constraint=Constraint("json_schema", json.dumps(answer)))
    leaf = {"next": None, "kind": "a"}
    assert fits(leaf, schema)
    assert fits({"next": leaf, "kind": "b"}, schema)
    assert fits([{"name": "weather", "arguments": {"city": "Rome"}}], schema)
    assert not fits({"next": {"next": 5}, "kind": "b"}, schema)


def test_definitions_of_two_tools_do_not_meet():
    def tool(name: str, allowed: str) -> Tool:
        schema = {
            "type": "object",
            "properties": {"x": {"$ref": "#/$defs/X"}},
            "required": ["x"],
            "$defs": {"X": {"const": allowed}},
        }
        return Tool(name, "", json.dumps(schema))

    schema = calls_schema(make_request("Hi", tools=(tool("f", "F"), tool("g", "G"))))
    assert fits([{"name": "f", "arguments": {"x": "F"}}, {"name": "g", "arguments": {"x": "G"}}], schema)
    assert not fits([{"name": "f", "arguments": {"x": "G"}}], schema)


def test_a_reference_to_the_whole_becomes_one_to_a_definition():
    tree = {"type": "object", "properties": {"next": {"$ref": "#"}}}
    schema = rooted(tree)
    assert "#/$defs/" in json.dumps(schema)
    values: list[dict[str, Any]] = [{}, {"next": {}}, {"next": {"next": 5}}, {"next": 5}]
    for value in values:
        assert fits(value, schema) == fits(value, tree)
    assert rooted({"type": "string"}) == {"type": "string"}


def test_a_reference_to_nothing_is_found():
    assert dangling(rooted({"type": "object", "properties": {"a": {"$ref": "#/$defs/b"}}})) == ["#/$defs/b"]
    assert dangling(rooted({"$ref": "https://example.org/schema"})) == ["https://example.org/schema"]
    assert dangling(rooted({"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/a"}}})) == []
