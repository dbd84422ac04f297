"""What a chat completion may ask for beyond a plain answer. The scripted engine does all of it, word for word."""

import base64
import json
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

import jsonschema
import pytest
from openai.types.chat import completion_create_params

from tests.factories import make_chat_model
from tests.workers.api.conftest import error_of
from workers.api import schemas
from workers.api.chat import protocol
from workers.api.errors import InvalidParameter
from workers.engines.scripted import ScriptedEngine
from workers.protocol import Ability, ChatMessage, Constraint, HostedModel, ToolCall

CITY = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
WEATHER = {
    "type": "function",
    "function": {"name": "weather", "description": "Of a city.", "parameters": CITY},
}
TIME = {"type": "function", "function": {"name": "time"}}
PNG = "data:image/png;base64," + base64.b64encode(b"\x89PNG\r\n\x1a\nrest").decode()
CALL = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Rome"}'}}
ROUND_TRIP = [
    {"role": "user", "content": "Weather?"},
    {"role": "assistant", "content": None, "tool_calls": [CALL]},
    {"role": "tool", "tool_call_id": "call_1", "content": "It is sunny."},
]


def schema_format(schema: Any, **extra: Any) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": "it", "schema": schema, "strict": True, **extra}}


# --- every parameter of the true client --------------------------------------------------------------------


CLIENTS_OWN = set(get_type_hints(completion_create_params.CompletionCreateParamsStreaming))


def test_every_parameter_of_the_client_is_in_exactly_one_group():
    groups = [set(protocol.HONOURED), set(protocol.WITHOUT_EFFECT), set(protocol.UNSUPPORTED)]
    for name in CLIENTS_OWN:
        assert sum(name in group for group in groups) == 1, name
    extensions = {"top_k", "min_p", "repetition_penalty"}
    assert set.union(*groups) == CLIENTS_OWN | extensions


VALUES: dict[str, Any] = {
    "model": "parrot",
    "messages": [{"role": "user", "content": "Hello there"}],
    "temperature": 0.3,
    "top_p": 0.4,
    "stop": ["never"],
    "seed": 7,
    "presence_penalty": 0.1,
    "frequency_penalty": 0.2,
    "logit_bias": {"5": -100},
    "top_k": 3,
    "min_p": 0.05,
    "repetition_penalty": 1.1,
    "max_tokens": 9,
    "max_completion_tokens": 9,
    "n": 2,
    "stream": True,
    "stream_options": {"include_usage": True},
    "logprobs": True,
    "top_logprobs": 2,
    "tools": [WEATHER],
    "tool_choice": "required",
    "parallel_tool_calls": False,
    "response_format": {"type": "json_object"},
    "reasoning_effort": "low",
    "store": True,
    "metadata": {"project": "rivers"},
}
BESIDE: dict[str, dict[str, Any]] = {
    "stream_options": {"stream": True},
    "top_logprobs": {"logprobs": True},
    "tool_choice": {"tools": [WEATHER]},
}


@pytest.mark.parametrize("name", sorted(protocol.HONOURED))
def test_what_is_honoured_changes_the_answer_or_what_the_workers_are_asked(api, workers_client, name):
    extra = BESIDE.get(name, {})
    plain = api.chat(**extra)
    asked = api.chat(**extra, **{name: VALUES[name]})
    assert (plain.status_code, asked.status_code) == (200, 200), asked.content
    if name in {"model", "messages", "store", "metadata"}:
        return  # what `chat` sends anyway; what is stored is in the tests of stored completions
    requests = [json.loads(request.to_json()) for request in workers_client.requests]
    for request in requests:
        del request["id"], request["deadline"]
    same_request = all(request == requests[0] for request in requests) and len(requests) == 2
    # What only concerns the stream is in `test_true_client_wishes`.
    assert not same_request or plain.streaming != asked.streaming or name == "stream_options"


UNSUPPORTED_VALUES: dict[str, Any] = {
    "audio": {"voice": "alloy", "format": "mp3"},
    "function_call": {"name": "f"},
    "functions": [{"name": "f"}],
    "modalities": ["text", "audio"],
    "moderation": {"model": "m"},
    "prediction": {"type": "content", "content": "x"},
    "verbosity": "low",
    "web_search_options": {},
}


@pytest.mark.parametrize("name", sorted(protocol.UNSUPPORTED))
def test_what_is_not_supported_is_refused_by_name(api, workers_client, name):
    response = api.chat(**{name: UNSUPPORTED_VALUES[name]})
    assert response.status_code == 400
    assert error_of(response)["param"] == name
    assert error_of(response)["code"] == "unsupported_parameter"
    assert workers_client.requests == []


def test_every_literal_that_the_client_allows_for_an_effort_is_understood(api):
    hint = get_type_hints(completion_create_params.CompletionCreateParamsStreaming)["reasoning_effort"]
    found: set[str] = set()
    waiting = [hint]
    while waiting:
        one = waiting.pop()
        waiting += [part for part in get_args(one) if get_origin(part) or not isinstance(part, str)]
        found |= {part for part in get_args(one) if isinstance(part, str)}
    assert found
    assert found <= protocol.EFFORTS


# --- tools -------------------------------------------------------------------------------------------------


def test_a_forced_call_comes_as_openais(api):
    body = api.chat(tools=[WEATHER, TIME], tool_choice="required").json()
    choice = body["choices"][0]
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"]["content"] is None
    (call,) = choice["message"]["tool_calls"]
    assert call["type"] == "function"
    assert call["function"]["name"] == "weather"
    jsonschema.validate(json.loads(call["function"]["arguments"]), CITY)
    assert call["id"].startswith("call_")


@pytest.mark.parametrize(
    "choice",
    [
        {"type": "function", "function": {"name": "time"}},
        {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [TIME]}},
    ],
    ids=["named", "allowed"],
)
def test_a_tool_can_be_chosen_by_its_name(api, workers_client, choice):
    body = api.chat(tools=[WEATHER, TIME], tool_choice=choice).json()
    (call,) = body["choices"][0]["message"]["tool_calls"]
    assert call["function"]["name"] == "time"
    assert [tool.name for tool in workers_client.requests[0].tools] == ["time"]


@pytest.mark.parametrize("choice", ["none", "auto"])
def test_words_are_an_answer_where_no_tool_is_forced(api, choice):
    body = api.chat(tools=[WEATHER], tool_choice=choice).json()
    assert body["choices"][0]["message"]["content"] == "Hello there"
    assert "tool_calls" not in body["choices"][0]["message"]
    assert body["choices"][0]["finish_reason"] == "stop"


def test_the_result_of_a_call_goes_back(api, workers_client):
    body = api.chat(messages=ROUND_TRIP, tools=[WEATHER]).json()
    assert body["choices"][0]["message"]["content"] == "It is sunny."
    assert workers_client.requests[0].messages[1:] == (
        ChatMessage("assistant", "", tool_calls=(ToolCall("call_1", "weather", '{"city": "Rome"}'),)),
        ChatMessage("tool", "It is sunny.", tool_call_id="call_1"),
    )


def with_call(**changes: Any) -> list[Any]:
    return [ROUND_TRIP[0], {"role": "assistant", "tool_calls": [{**CALL, **changes}]}]


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"tools": "all"}, "tools"),
        ({"tools": [{"type": "code"}]}, "tools[0].type"),
        ({"tools": [{"type": "function"}]}, "tools[0].function"),
        ({"tools": [{"type": "function", "function": {"name": "a b"}}]}, "tools[0].function.name"),
        ({"tools": [TIME, TIME]}, "tools"),
        (
            {"tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "array"}}}]},
            "tools[0].function.parameters.type",
        ),
        (
            {"tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "thing"}}}]},
            "tools[0].function.parameters.type",
        ),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"tools": [TIME], "tool_choice": "perhaps"}, "tool_choice"),
        (
            {"tools": [TIME], "tool_choice": {"type": "function", "function": {"name": "weather"}}},
            "tool_choice.function.name",
        ),
        ({"tools": [TIME], "tool_choice": {"type": "custom"}}, "tool_choice.type"),
        ({"messages": ROUND_TRIP[2:]}, "messages[0].tool_call_id"),
        ({"messages": [*ROUND_TRIP[:2], {"role": "tool", "content": "x"}]}, "messages[2].tool_call_id"),
        (
            {"messages": with_call(function={"name": "f", "arguments": "{"})},
            "messages[1].tool_calls[0].function.arguments",
        ),
        ({"messages": with_call(id=None)}, "messages[1].tool_calls[0].id"),
        ({"messages": [{"role": "user", "content": "x", "tool_calls": [CALL]}]}, "messages[0].tool_calls"),
        ({"messages": [{"role": "function", "content": "x", "name": "f"}]}, "messages[0].role"),
    ],
)
def test_a_tool_that_makes_no_sense_is_named(api, workers_client, body, param):
    response = api.chat(**body)
    assert response.status_code == 400
    assert error_of(response)["param"] == param
    assert workers_client.requests == []


# --- the shape of the answer -------------------------------------------------------------------------------


def test_an_answer_is_held_to_a_schema(api):
    body = api.chat(response_format=schema_format(CITY)).json()
    jsonschema.validate(json.loads(body["choices"][0]["message"]["content"]), CITY)


def test_an_answer_is_held_to_json(api):
    content = api.chat(response_format={"type": "json_object"}).json()["choices"][0]["message"]["content"]
    assert isinstance(json.loads(content), dict)


CORPUS = json.loads((Path(__file__).parents[2] / "data" / "schemas.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", CORPUS)
def test_each_schema_of_the_corpus_can_be_strict(name):
    assert schemas.check(CORPUS[name], "schema", strict=True) == CORPUS[name]


def obj(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties}


NOT_KEPT = [
    (obj(a={"type": "array", "uniqueItems": True}), "schema.properties.a.uniqueItems"),
    (obj(a={"type": "number", "minimum": 5}), "schema.properties.a.minimum"),
    (obj(a={"type": "integer", "multipleOf": 5}), "schema.properties.a.multipleOf"),
    (obj(a={"not": {"type": "string"}}), "schema.properties.a.not"),
    (obj(a={"type": "string", "pattern": "abc"}), "schema.properties.a.pattern"),
    (obj(a={"type": "string", "pattern": r"^\d+$"}), "schema.properties.a.pattern"),
    ({**obj(), "patternProperties": {}}, "schema.patternProperties"),
    ({**obj(), "minProperties": 1}, "schema.minProperties"),
    ({**obj(), "if": {}, "then": {}}, "schema.if"),
    ({**obj(), "required": ["a"]}, "schema.required"),
    (obj(a={"items": {"anyOf": [{"contains": {}}]}}), "schema.properties.a.items.anyOf[0].contains"),
    ({**obj(), "$defs": {"x": {"dependentRequired": {}}}}, "schema.$defs.x.dependentRequired"),
]


@pytest.mark.parametrize(("schema", "place"), NOT_KEPT)
def test_a_promise_that_cannot_be_kept_is_refused_where_it_is_strict(schema, place):
    with pytest.raises(InvalidParameter) as caught:
        schemas.check(schema, "schema", strict=True)
    assert caught.value.param == place
    assert caught.value.code == "unsupported_schema"
    assert schemas.check(schema, "schema", strict=False) == schema


BROKEN: list[tuple[Any, str]] = [
    ("object", "schema"),
    ({"type": "thing"}, "schema.type"),
    ({"type": ["string", 5]}, "schema.type"),
    ({"properties": []}, "schema.properties"),
    ({"properties": {"a": 5}}, "schema.properties.a"),
    ({"required": "a"}, "schema.required"),
    ({"enum": []}, "schema.enum"),
    ({"anyOf": []}, "schema.anyOf"),
    ({"minLength": -1}, "schema.minLength"),
    ({"maxItems": 10**9}, "schema.maxItems"),
    ({"minimum": "0"}, "schema.minimum"),
    ({"pattern": 5}, "schema"),
    ({"$ref": "#/$defs/a"}, "schema.$ref"),
    ({"$ref": "https://example.org/s"}, "schema.$ref"),
    ({"items": {"$ref": "#/properties/a"}}, "schema.items.$ref"),
    ({"description": "x" * 70_000}, "schema"),
    ({"$ref": "#"}, "schema"),
    ({"anyOf": [{"type": "null"}, {"$ref": "#"}]}, "schema"),
    ({"items": {"$ref": "#/$defs/a"}, "$defs": {"a": {"allOf": [{"$ref": "#/$defs/a"}]}}}, "schema.$defs.a"),
    (
        {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"oneOf": [{"$ref": "#/$defs/a"}]}}},
        "schema.$defs.a",
    ),
]


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize(("schema", "place"), BROKEN, ids=lambda value: str(value)[:40])
def test_a_schema_that_is_none_is_refused_strict_or_not(schema, place, strict):
    with pytest.raises(InvalidParameter) as caught:
        schemas.check(schema, "schema", strict=strict)
    assert caught.value.param == place


def test_a_schema_may_hold_itself_and_follow_a_long_chain_of_names():
    tree: dict[str, Any] = {
        "type": "object",
        "properties": {"child": {"anyOf": [{"$ref": "#"}, {"type": "null"}]}},
    }
    chain = {f"n{number}": {"$ref": f"#/$defs/n{number + 1}"} for number in range(1500)}
    long = {"$ref": "#/$defs/n0", "$defs": {**chain, "n1500": {"type": "string"}}}
    for schema in (tree, long):
        assert schemas.check(schema, "schema", strict=True) == schema


def test_a_schema_without_a_bottom_is_refused():
    schema: dict[str, Any] = {}
    for _ in range(200):
        schema = {"items": schema}
    with pytest.raises(InvalidParameter):
        schemas.check(schema, "schema", strict=False)


@pytest.mark.parametrize(
    ("value", "param"),
    [
        ("json", "response_format"),
        ({}, "response_format.type"),
        ({"type": "xml"}, "response_format.type"),
        ({"type": "json_schema"}, "response_format.json_schema"),
        ({"type": "json_schema", "json_schema": {"name": "x"}}, "response_format.json_schema.schema"),
        (schema_format({"type": "thing"}), "response_format.json_schema.schema.type"),
        (schema_format({}, name="a b"), "response_format.json_schema.name"),
        ({"type": "grammar", "grammar": " "}, "response_format.grammar"),
        ({"type": "text", "extra": 1}, "response_format.extra"),
    ],
)
def test_a_format_that_makes_no_sense_is_named(api, value, param):
    response = api.chat(response_format=value)
    assert response.status_code == 400
    assert error_of(response)["param"] == param


@pytest.mark.parametrize(
    ("value", "constraint"),
    [
        ({"type": "grammar", "grammar": 'root ::= "a"'}, Constraint("grammar", 'root ::= "a"')),
        ({"type": "regex", "pattern": "a+"}, Constraint("regex", "a+")),
    ],
)
def test_a_grammar_goes_to_an_engine_that_can(value, constraint):
    body = {"model": "m", "messages": [{"role": "user", "content": "x"}], "response_format": value}
    assert protocol.parse(body).constraint == constraint


# --- several replies, probabilities, thoughts, pictures ----------------------------------------------------


def test_several_replies_have_seeds_of_their_own_and_pay_the_prompt_once(api, workers_client):
    body = api.chat(n=3, seed=2**63 - 2).json()
    assert [choice["index"] for choice in body["choices"]] == [0, 1, 2]
    assert {choice["message"]["content"] for choice in body["choices"]} == {"Hello there"}
    assert body["usage"]["prompt_tokens"] == 2
    assert body["usage"]["completion_tokens"] == 6
    seeds = [request.sampling.seed for request in workers_client.requests]
    assert len(set(seeds)) == 3
    assert all(-(2**63) <= seed < 2**63 for seed in seeds)
    assert len({request.id for request in workers_client.requests}) == 3


def test_one_of_several_that_fails_fails_them_all(api, workers_client):
    make_chat_model("broken")
    workers_client.host_script("broken", "tokens=5&fail_after=3")
    response = api.chat(model="broken", n=3)
    assert response.status_code == 500
    assert error_of(response)["code"] == "engine_failure"


def test_probabilities_come_with_their_tokens(api):
    content = api.chat(logprobs=True, top_logprobs=2).json()["choices"][0]["logprobs"]["content"]
    assert [entry["token"] for entry in content] == ["Hello", " there"]
    assert content[0]["bytes"] == list(b"Hello")
    assert content[0]["logprob"] == -0.5
    assert len(content[0]["top_logprobs"]) == 2


def test_thoughts_come_under_both_names(api, workers_client):
    make_chat_model("thinker")
    workers_client.host_script("thinker", "reply=Yes.&thinks=Hm.")
    message = api.chat(model="thinker", reasoning_effort="high").json()["choices"][0]["message"]
    assert message["reasoning"] == message["reasoning_content"] == "Hm."
    assert message["content"] == "Yes."


@pytest.mark.parametrize("name", ["reasoning", "reasoning_content"])
def test_thoughts_go_back_under_either_name(api, workers_client, name):
    api.chat(
        messages=[{"role": "assistant", "content": "Yes.", name: "Hm."}, {"role": "user", "content": "Why?"}]
    )
    assert workers_client.requests[0].messages[0].reasoning == "Hm."


def picture(url: str) -> list[Any]:
    parts = [{"type": "text", "text": "What is it?"}, {"type": "image_url", "image_url": {"url": url}}]
    return [{"role": "user", "content": parts}]


def test_a_picture_reaches_the_engine(api, workers_client):
    assert api.chat(messages=picture(PNG)).status_code == 200
    (message,) = workers_client.requests[0].messages
    assert (message.content, message.images) == ("What is it?", (PNG,))


@pytest.mark.parametrize(
    "url",
    [
        "https://example.org/a.png",
        "file:///etc/passwd",
        "data:text/html;base64,AAAA",
        "data:image/png;base64,AAAA",
        "data:image/png;base64,!!",
        "data:image/svg+xml;base64,AAAA",
        "http://[",
        "",
    ],
)
def test_what_is_no_picture_is_refused_where_it_stands(api, workers_client, url):
    response = api.chat(messages=picture(url))
    assert response.status_code == 400
    assert error_of(response)["param"] == "messages[0].content[1].image_url.url"
    assert workers_client.requests == []


def test_only_people_send_pictures(api):
    parts = picture(PNG)[0]["content"]
    response = api.chat(messages=[{"role": "system", "content": parts}, {"role": "user", "content": "x"}])
    assert error_of(response)["param"] == "messages[0].content[1].type"


# --- what the chat model cannot do -------------------------------------------------------------------------


class Plain(ScriptedEngine):
    """Can only chat."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.hosted = HostedModel(name, "scripted", 8192, 4, abilities=(Ability.CHAT.value,))


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"tools": [TIME]}, "tools"),
        ({"response_format": {"type": "json_object"}}, "response_format"),
        ({"logprobs": True}, "logprobs"),
        ({"logit_bias": {"5": 1}}, "logit_bias"),
        ({"reasoning_effort": "high"}, "reasoning_effort"),
        ({"messages": picture(PNG)}, "messages"),
        ({"top_k": 5}, "top_k"),
        ({"min_p": 0.1}, "min_p"),
        ({"repetition_penalty": 1.1}, "repetition_penalty"),
    ],
)
def test_what_the_chat_model_cannot_do_is_refused_before_it_waits_in_a_queue(
    api, workers_client, body, param
):
    make_chat_model("plain")
    workers_client.host(Plain("plain"))
    response = api.chat(model="plain", **body)
    assert response.status_code == 400
    error = error_of(response)
    assert (error["param"], error["code"]) == (param, "unsupported_parameter")
    assert "plain cannot" in error["message"]
    assert workers_client.requests == []


def test_tools_that_must_not_be_called_ask_for_no_ability(api, workers_client):
    make_chat_model("plain")
    workers_client.host(Plain("plain"))
    assert api.chat(model="plain", tools=[TIME], tool_choice="none").status_code == 200


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"logit_bias": {"five": 1}}, "logit_bias"),
        ({"logit_bias": {"5": 101}}, "logit_bias.5"),
        ({"logit_bias": {str(number): 1 for number in range(1100)}}, "logit_bias"),
        ({"top_logprobs": 2}, "top_logprobs"),
        ({"logprobs": True, "top_logprobs": 21}, "top_logprobs"),
        ({"n": 0}, "n"),
        ({"n": 1000}, "n"),
        ({"reasoning_effort": "extreme"}, "reasoning_effort"),
        ({"top_k": 0.5}, "top_k"),
        ({"min_p": 2}, "min_p"),
        ({"repetition_penalty": 0}, "repetition_penalty"),
    ],
)
def test_a_value_out_of_bounds_is_named(api, body, param):
    response = api.chat(**body)
    assert response.status_code == 400
    assert error_of(response)["param"] == param
