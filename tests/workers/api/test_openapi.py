"""The OpenAPI document: whole, valid, and in agreement with the tables that requests are checked by."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.urls import path
from jsonschema import Draft202012Validator
from rest_framework.request import Request

from training.api import protocol as training
from workers.api import describing
from workers.api.base import ApiView
from workers.api.batches import protocol as batches
from workers.api.chat import protocol as chat
from workers.api.completions import protocol as completions
from workers.api.embeddings import protocol as embeddings
from workers.api.errors import InvalidParameter
from workers.api.messages import protocol as messages
from workers.api.moderations import protocol as moderations
from workers.api.reference import document as building
from workers.api.reference.document import document
from workers.api.responses import protocol as responses
from workers.api.tokens import protocol as tokens

SERVER = "https://chat.example"
TALK = [{"role": "user", "content": "Hello"}]

ODD_VALUES: list[Any] = ["text", "", 1.5, 3, True, [], {}, [1], ["text"], {"a": 1}, [[]], [{}]]

Parse = Callable[[dict[str, Any]], Any]


def tables(module: Any) -> set[str]:
    return (
        set(module.HONOURED)
        | set(getattr(module, "WITHOUT_EFFECT", ()))
        | set(getattr(module, "UNSUPPORTED", ()))
    )


# Component → what its parser knows, the parser, and a body that is fine.
REQUESTS: dict[str, tuple[set[str], Parse, dict[str, Any]]] = {
    "ChatCompletionRequest": (
        tables(chat),
        chat.parse,
        {"model": "parrot", "messages": TALK, "logprobs": True},
    ),
    "CompletionRequest": (tables(completions), completions.parse, {"model": "parrot", "prompt": "Hello"}),
    "EmbeddingsRequest": (tables(embeddings), embeddings.parse, {"model": "parrot", "input": "Hello"}),
    "ResponseRequest": (tables(responses), responses.parse, {"model": "parrot", "input": "Hello"}),
    "ResponseCountRequest": (
        {*responses.COUNTED, *responses.UNSUPPORTED_IN_COUNT},
        responses.parse_count,
        {"model": "parrot", "input": "Hello"},
    ),
    "AnthropicRequest": (
        tables(messages),
        messages.parse,
        {"model": "parrot", "messages": TALK, "max_tokens": 5},
    ),
    "AnthropicCountRequest": (
        {*messages.COUNTED, *messages.WITHOUT_EFFECT},
        messages.parse_count,
        {"model": "parrot", "messages": TALK},
    ),
    "ModerationRequest": (tables(moderations), moderations.parse, {"input": "Hello"}),
    "BatchRequest": (
        tables(batches),
        batches.parse,
        {"input_file_id": "file-1", "endpoint": "/v1/completions", "completion_window": "24h"},
    ),
    "FineTuningRequest": (tables(training), training.parse, {"model": "parrot", "training_file": "file-1"}),
    "TokenizeRequest": (
        set(tokens.TOKENIZE),
        lambda body: tokens.parse_tokenize(body, "0" * 32, 0.0),
        {"model": "parrot", "prompt": "Hello"},
    ),
    "DetokenizeRequest": (
        set(tokens.DETOKENIZE),
        lambda body: tokens.parse_detokenize(body, "0" * 32, 0.0),
        {"model": "parrot", "tokens": [1, 2]},
    ),
    "TokenCheckRequest": (
        set(tokens.CHECK),
        tokens.parse_check,
        {"prompts": [{"model": "parrot", "prompt": "Hello", "max_tokens": 1}]},
    ),
}


@pytest.fixture(scope="module")
def schemas() -> dict[str, Any]:
    found: dict[str, Any] = document(SERVER)["components"]["schemas"]
    return found


def validator(name: str) -> Draft202012Validator:
    return Draft202012Validator({**describing.ref(name), "components": document(SERVER)["components"]})


def test_it_is_read_without_a_key_and_names_the_readers_own_address(client, db):
    response = client.get("/v1/openapi.json", headers={"host": "testserver"})

    assert response.status_code == 200
    assert response.json() == document("http://testserver")
    assert response.json()["openapi"].startswith("3.1")


def test_every_method_of_every_address_is_in_it():
    described = {
        (address, method)
        for address, item in document(SERVER)["paths"].items()
        for method in item
        if method != "parameters"
    }

    assert {("/v1/chat/completions", "post"), ("/v1/fine_tuning/jobs/{id}/pause", "post")} < described
    assert {("/v1/models/{model}", "delete"), ("/api/v1/token_check", "post"), ("/readyz", "get")} < described
    assert described == {(r.path, method) for r in building.routes() for method in r.operations}


def test_an_endpoint_that_does_not_describe_itself_is_named(monkeypatch):
    class Silent(ApiView):
        def get(self, request: Request) -> None: ...

    class Resolver:
        url_patterns = (path("v1/silent", Silent.as_view()),)

    monkeypatch.setattr(building, "get_resolver", Resolver)

    with pytest.raises(LookupError, match=r"Silent \(v1/silent\) does not describe: get"):
        building.routes()


def test_operations_have_names_of_their_own():
    names = [operation.id for route in building.routes() for operation in route.operations.values()]

    assert len(names) == len(set(names))


def test_every_schema_is_one_and_every_reference_leads_somewhere(schemas):
    for schema in schemas.values():
        Draft202012Validator.check_schema(schema)
    for reference in references(document(SERVER)):
        assert reference.removeprefix("#/components/schemas/") in schemas


@pytest.mark.parametrize("name", REQUESTS)
def test_it_has_the_parameters_that_are_checked_and_no_others(name, schemas):
    known, _, _ = REQUESTS[name]

    assert set(schemas[name]["properties"]) == known
    assert schemas[name]["additionalProperties"] is False


@pytest.mark.parametrize("name", REQUESTS)
def test_what_is_required_is_required(name, schemas):
    _, parse, good = REQUESTS[name]

    parse(good)
    validator(name).validate(good)
    for missing in schemas[name]["required"]:
        with pytest.raises(InvalidParameter) as refusal:
            parse({key: value for key, value in good.items() if key != missing})
        assert refusal.value.param == missing


@pytest.mark.parametrize("name", REQUESTS)
def test_what_is_not_required_may_be_null(name, schemas):
    _, parse, good = REQUESTS[name]
    nothing = dict.fromkeys(set(schemas[name]["properties"]) - good.keys())

    parse({**good, **nothing})
    validator(name).validate({**good, **nothing})


@pytest.mark.parametrize("name", REQUESTS)
def test_bounds_hold_to_the_last_number(name, schemas):
    _, parse, good = REQUESTS[name]
    for parameter, least, most in numbers(schemas[name]):
        if parameter == "best_of":
            continue  # hangs together with n
        for value in (least, most):
            parse({**good, parameter: value})
        for value in (least - 1, most + 1):
            with pytest.raises(InvalidParameter) as refusal:
                parse({**good, parameter: value})
            assert refusal.value.param == parameter


@pytest.mark.parametrize("name", REQUESTS)
def test_words_that_are_listed_are_taken_and_others_are_not(name, schemas):
    _, parse, good = REQUESTS[name]
    for parameter, schema in schemas[name]["properties"].items():
        for value in schema.get("enum", ()):
            parse({**good, parameter: value})
        if "enum" in schema:
            with pytest.raises(InvalidParameter):
                parse({**good, parameter: "something else"})


@pytest.mark.parametrize("name", REQUESTS)
def test_values_of_another_type_are_refused_as_the_document_says(name, schemas):
    _, parse, good = REQUESTS[name]
    checker = validator(name)
    for parameter in schemas[name]["properties"]:
        for value in ODD_VALUES:
            body = {**good, parameter: value}
            if not checker.is_valid(body):
                with pytest.raises(InvalidParameter):
                    parse(body)


@pytest.mark.parametrize(
    "body",
    [
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "Hi"}], "name": "ann"}]},
        {"messages": [{"role": "system", "content": "Be brief.", "tool_calls": []}, *TALK]},
        {
            "messages": [
                *TALK,
                {
                    "role": "assistant",
                    "content": None,
                    "tool_calls": [
                        {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
                    ],
                    "refusal": None,
                    "annotations": [],
                    "reasoning": "Hm.",
                },
                {"role": "tool", "tool_call_id": "1", "content": "12"},
            ]
        },
        {"stop": "\n", "logit_bias": {"50256": -100}, "metadata": {"a": "b"}, "user": "ann"},
        {"stop": ["a", "b"], "stream": True, "stream_options": {"include_usage": True}},
        {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {}}}},
        {"response_format": {"type": "regex", "pattern": "a+"}},
        {
            "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}],
            "tool_choice": {"type": "function", "function": {"name": "f"}},
        },
    ],
)
def test_chats_that_are_taken_fit_the_document(body):
    body = {"model": "parrot", "messages": TALK, **body}

    chat.parse(body)
    validator("ChatCompletionRequest").validate(body)


@pytest.mark.parametrize(
    "message",
    [
        {"role": "user"},
        {"role": "user", "content": None},
        {"role": "user", "content": []},
        {"role": "user", "content": "Hi", "reasoning": "Hm"},
        {"role": "user", "content": "Hi", "tool_calls": [{"id": "1", "function": {"name": "f"}}]},
        {"role": "assistant"},
        {"role": "assistant", "content": None, "tool_calls": []},
        {"role": "assistant", "content": [{"type": "image_url", "image_url": {"url": "data:"}}]},
        {"role": "tool", "content": "12"},
        {"role": "function", "content": "12"},
        {"role": "user", "content": "Hi", "nmae": "ann"},
        "Hi",
    ],
)
def test_messages_that_are_refused_do_not_fit_it(message):
    body = {"model": "parrot", "messages": [message]}

    with pytest.raises(InvalidParameter):
        chat.parse(body)
    assert not validator("ChatCompletionRequest").is_valid(body)


def test_examples_fit_their_own_schemas():
    for route in building.routes():
        for operation in route.operations.values():
            if operation.example is not None and operation.body is not None:
                schema = {**operation.body, "components": document(SERVER)["components"]}
                Draft202012Validator(schema).validate(operation.example)


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if "$ref" in value:
            yield value["$ref"]
        for entry in value.values():
            yield from references(entry)
    elif isinstance(value, list):
        for entry in value:
            yield from references(entry)


def numbers(schema: dict[str, Any]) -> Iterator[tuple[str, float, float]]:
    """Parameters with bounds."""
    for name, described in schema["properties"].items():
        if "minimum" in described:
            yield name, described["minimum"], described["maximum"]
