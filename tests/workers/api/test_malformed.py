"""A corpus of bad requests: none is a 5xx, none reaches a worker, and each answer names what is wrong."""

import json

import pytest

from tests.factories import make_chat_model
from tests.workers.api.conftest import error_of

USER = {"role": "user", "content": "Hi"}


def deep(levels: int, inner: str = "1") -> str:
    return "[" * levels + inner + "]" * levels


# (the change to a good request, `param` of the error); ... leaves the key out
PARAMETERS = [
    ({"model": ...}, "model"),
    ({"model": None}, "model"),
    ({"model": 5}, "model"),
    ({"model": ["parrot"]}, "model"),
    ({"model": "x" * 201}, "model"),
    ({"model": "\ud83d"}, "model"),
    ({"messages": ...}, "messages"),
    ({"messages": None}, "messages"),
    ({"messages": []}, "messages"),
    ({"messages": "Hi"}, "messages"),
    ({"messages": USER}, "messages"),
    ({"messages": [USER] * 4097}, "messages"),
    ({"messages": ["Hi"]}, "messages[0]"),
    ({"messages": [USER, None]}, "messages[1]"),
    ({"messages": [USER, [USER]]}, "messages[1]"),
    ({"messages": [{"content": "Hi"}]}, "messages[0].role"),
    ({"messages": [{"role": None, "content": "Hi"}]}, "messages[0].role"),
    ({"messages": [{"role": 1, "content": "Hi"}]}, "messages[0].role"),
    ({"messages": [{"role": "User", "content": "Hi"}]}, "messages[0].role"),
    ({"messages": [USER, {"role": "tool", "content": "5", "tool_call_id": "a"}]}, "messages[1].tool_call_id"),
    ({"messages": [USER, {"role": "tool", "content": "5"}]}, "messages[1].tool_call_id"),
    ({"messages": [{"role": "function", "name": "f", "content": "5"}]}, "messages[0].role"),
    ({"messages": [{"role": "user"}]}, "messages[0].content"),
    ({"messages": [USER, USER, {"role": "assistant", "content": None}]}, "messages[2].content"),
    ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content"),
    ({"messages": [{"role": "user", "content": {"type": "text", "text": "Hi"}}]}, "messages[0].content"),
    ({"messages": [{"role": "user", "content": []}]}, "messages[0].content"),
    ({"messages": [{"role": "user", "content": "\udc00 alone"}]}, "messages[0].content"),
    ({"messages": [{"role": "user", "content": ["Hi"]}]}, "messages[0].content[0]"),
    ({"messages": [{"role": "user", "content": [{"text": "Hi"}]}]}, "messages[0].content[0].type"),
    ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "messages[0].content[0].text"),
    (
        {"messages": [{"role": "user", "content": [{"type": "text", "text": 5}]}]},
        "messages[0].content[0].text",
    ),
    (
        {
            "messages": [
                {
                    "role": "user",
                    "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "\ud800"}],
                }
            ]
        },
        "messages[0].content[1].text",
    ),
    (
        {
            "messages": [
                {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "http://10.0.0.1/"}}]}
            ]
        },
        "messages[0].content[0].image_url.url",
    ),
    (
        {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]},
        "messages[0].content[0].image_url.url",
    ),
    (
        {"messages": [{"role": "user", "content": [{"type": "input_audio", "input_audio": {}}]}]},
        "messages[0].content[0].type",
    ),
    (
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "a", "cache_control": {}}]}]},
        "messages[0].content[0].cache_control",
    ),
    ({"messages": [{**USER, "colour": "red"}]}, "messages[0].colour"),
    ({"messages": [{**USER, "name": 5}]}, "messages[0].name"),
    ({"messages": [{**USER, "name": "x" * 65}]}, "messages[0].name"),
    (
        {"messages": [{"role": "assistant", "content": "", "tool_calls": [{"id": "a"}]}]},
        "messages[0].tool_calls[0].function",
    ),
    ({"messages": [{"role": "assistant", "content": "", "refusal": "No."}]}, "messages[0].refusal"),
    ({"messages": [{"role": "assistant", "content": "", "audio": {"id": "a"}}]}, "messages[0].audio"),
    ({"temperature": 2.1}, "temperature"),
    ({"temperature": -0.1}, "temperature"),
    ({"temperature": "0.5"}, "temperature"),
    ({"temperature": True}, "temperature"),
    ({"temperature": [1]}, "temperature"),
    ({"temperature": 10**400}, "temperature"),
    ({"top_p": 1.01}, "top_p"),
    ({"top_p": -1}, "top_p"),
    ({"top_p": {}}, "top_p"),
    ({"max_tokens": 0}, "max_tokens"),
    ({"max_tokens": -1}, "max_tokens"),
    ({"max_tokens": 1.5}, "max_tokens"),
    ({"max_tokens": "10"}, "max_tokens"),
    ({"max_tokens": True}, "max_tokens"),
    ({"max_tokens": 2**31}, "max_tokens"),
    ({"max_completion_tokens": 0}, "max_completion_tokens"),
    ({"max_completion_tokens": 10**30}, "max_completion_tokens"),
    ({"max_tokens": 5, "max_completion_tokens": 6}, "max_tokens"),
    ({"stop": ""}, "stop"),
    ({"stop": 5}, "stop"),
    ({"stop": {"0": "a"}}, "stop"),
    ({"stop": ["a", "b", "c", "d", "e"]}, "stop"),
    ({"stop": "x" * 257}, "stop"),
    ({"stop": ["a", ""]}, "stop[1]"),
    ({"stop": ["a", None]}, "stop[1]"),
    ({"stop": ["a", "b", 3]}, "stop[2]"),
    ({"stop": ["\ud83d"]}, "stop[0]"),
    ({"seed": 1.5}, "seed"),
    ({"seed": "1"}, "seed"),
    ({"seed": 2**63}, "seed"),
    ({"presence_penalty": 2.5}, "presence_penalty"),
    ({"presence_penalty": "high"}, "presence_penalty"),
    ({"frequency_penalty": -2.5}, "frequency_penalty"),
    ({"frequency_penalty": False}, "frequency_penalty"),
    ({"n": 0}, "n"),
    ({"n": "2"}, "n"),
    ({"n": 100_000}, "n"),
    ({"n": 0}, "n"),
    ({"n": 1_000_000}, "n"),
    ({"n": True}, "n"),
    ({"n": "1"}, "n"),
    ({"stream": "yes"}, "stream"),
    ({"stream": 1}, "stream"),
    ({"stream_options": {"include_usage": True}}, "stream_options"),
    ({"stream": True, "stream_options": True}, "stream_options"),
    ({"stream": True, "stream_options": {"include_usage": 1}}, "stream_options.include_usage"),
    ({"stream": True, "stream_options": {"include_obfuscation": 0}}, "stream_options.include_obfuscation"),
    ({"stream": True, "stream_options": {"usage": True}}, "stream_options.usage"),
    ({"tools": ["f"]}, "tools[0]"),
    ({"tools": [{"type": "web_search"}]}, "tools[0].type"),
    ({"tools": [{"type": "function", "function": {"name": "two words"}}]}, "tools[0].function.name"),
    (
        {"tools": [{"type": "function", "function": {"name": "f", "parameters": []}}]},
        "tools[0].function.parameters",
    ),
    ({"tools": {}}, "tools"),
    ({"tool_choice": "required"}, "tool_choice"),
    ({"tool_choice": {"type": "function", "function": {"name": "f"}}}, "tool_choice.function.name"),
    ({"functions": [{"name": "f"}]}, "functions"),
    ({"function_call": {"name": "f"}}, "function_call"),
    ({"response_format": {"type": "json_schema"}}, "response_format.json_schema"),
    ({"response_format": {"type": "xml"}}, "response_format.type"),
    ({"response_format": "text"}, "response_format"),
    ({"logprobs": "yes"}, "logprobs"),
    ({"logprobs": 0}, "logprobs"),
    ({"top_logprobs": 5}, "top_logprobs"),
    ({"top_logprobs": False}, "top_logprobs"),
    ({"logit_bias": {"a": 1}}, "logit_bias"),
    ({"logit_bias": {"5": 500}}, "logit_bias.5"),
    ({"modalities": ["text", "audio"]}, "modalities"),
    ({"audio": {"voice": "alloy", "format": "mp3"}}, "audio"),
    ({"prediction": {"type": "content", "content": "Hi"}}, "prediction"),
    ({"reasoning_effort": "hard"}, "reasoning_effort"),
    ({"store": 1}, "store"),
    ({"store": "false"}, "store"),
    ({"verbosity": "low"}, "verbosity"),
    ({"web_search_options": {}}, "web_search_options"),
    ({"user": 5}, "user"),
    ({"metadata": "a=b"}, "metadata"),
    ({"service_tier": 1}, "service_tier"),
    ({"parallel_tool_calls": "no"}, "parallel_tool_calls"),
    ({"top_k": 1.5}, "top_k"),
    ({"min_p": 2}, "min_p"),
    ({"temprature": 0.5}, "temprature"),
    ({"": 1}, ""),
    ({"\ud83d\n": 1}, "??"),
    ({"x" * 5000: 1}, "x" * 100),
    ({"chat_template": "{{ 1 }}"}, "chat_template"),
]

# Bodies that are no JSON object at all.
BODIES = [
    b"",
    b"  \n",
    b"{",
    b"{'model': 'parrot'}",
    b'{"model": "parrot",}',
    b'{"model": "parrot"} trailing',
    b"null",
    b"[]",
    b'"parrot"',
    b"5",
    b"true",
    b"\xff\xfe{}",
    b'{"model": "\xe9"}',
    b"\xef\xbb\xbf{}",
    b'{"temperature": NaN}',
    b'{"temperature": -Infinity}',
    b'{"seed": ' + b"9" * 5000 + b"}",
    b'{"model": "a\nb"}',
    b'{"model": "\\x"}',
    b"\x00",
    b"\x1f\x8b\x08\x00gzip",
    b"model=parrot&messages=Hi",
    b'{"a":' * 100_000,
    deep(200_000).encode(),
]


@pytest.mark.parametrize(("change", "param"), PARAMETERS, ids=lambda value: repr(value)[:80])
@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
def test_a_bad_parameter_is_named(api, workers_client, change, param, stream):
    response = api.chat(**{"stream": stream or ..., "messages": [USER], **change})
    if stream and list(change) == ["stream_options"]:
        return  # is right in a stream

    assert response.status_code == 400
    error = error_of(response)
    assert error["param"] == (param or None)
    assert error["type"] == "invalid_request_error"
    assert error["code"]
    assert error["message"][-1] in ".?", "the message is not a sentence"
    assert workers_client.requests == []


@pytest.mark.parametrize("body", BODIES, ids=lambda body: repr(body[:40]))
def test_a_body_that_is_no_json_object_is_400(api, workers_client, body):
    # The test client leaves the content type out when the body is empty.
    headers = {**api.headers, "content-type": "application/json"}

    response = api.post("/v1/chat/completions", body, headers=headers)

    assert response.status_code == 400
    assert error_of(response)["code"] == "invalid_json"
    assert workers_client.requests == []


@pytest.mark.parametrize("levels", [1, 100, 300, 500, 700, 800, 900, 950, 1000, 1100, 5000])
@pytest.mark.parametrize("name", ["model", "tools", "logit_bias", "stop", "messages", "metadata", "unknown"])
def test_nesting_of_any_depth_is_400(api, name, levels):
    body = f'{{"model": "parrot", "messages": [{json.dumps(USER)}], "{name}": {deep(levels)}}}'

    response = api.post("/v1/chat/completions", body)

    assert response.status_code == 400


def test_the_corpus_is_as_large_as_it_should_be():
    assert len(PARAMETERS) >= 60


def test_a_misspelt_parameter_is_told_its_name(api):
    error = error_of(api.chat(temprature=0.5))

    assert error["code"] == "unknown_parameter"
    assert "Did you mean 'temperature'?" in error["message"]


def test_a_part_that_is_missing_is_asked_for(api):
    error = error_of(api.chat(response_format={"type": "json_schema"}))

    assert error["code"] == "missing_required_parameter"
    assert error["message"] == "'response_format.json_schema' is required."


@pytest.mark.parametrize("model", ["nobody", "hidden", "par\x00rot", "Ä", "парот", "parrot ", "../parrot"])
def test_a_model_that_is_not_there_is_404(api, workers_client, model):
    make_chat_model("hidden", published=False)

    response = api.chat(model=model)

    assert response.status_code == 404
    assert error_of(response)["code"] == "model_not_found"
    assert error_of(response)["param"] == "model"
    assert workers_client.requests == []


@pytest.mark.parametrize("value", ["", "soon", "-1", "0", "nan", "inf", "1e999", "5; drop"])
def test_a_read_timeout_that_makes_no_sense_is_ignored(api, value):
    assert api.chat(_headers={"x-stainless-read-timeout": value}).status_code == 200
