"""Anthropic's messages: the wire by hand, then the true `anthropic` client."""

import base64
import json
from typing import Any, get_type_hints

import anthropic
import pytest
from anthropic.types import message_count_tokens_params, message_create_params

from tests.factories import make_chat_model
from tests.workers.api.conftest import LiveServer
from tests.workers.api.test_chat_wishes import Plain
from workers.api.messages import protocol
from workers.protocol import ChatMessage, ToolCall

PNG = base64.b64encode(b"\x89PNG\r\n\x1a\nrest").decode()
CITY: Any = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
WEATHER: Any = {"name": "weather", "description": "Of a city.", "input_schema": CITY}


@pytest.fixture
def say(api):
    def ask(path: str = "/v1/messages", **body: Any) -> Any:
        defaults: dict[str, Any] = {
            "model": "parrot",
            "messages": [{"role": "user", "content": "Hello there"}],
        }
        if path == "/v1/messages":
            defaults["max_tokens"] = 50
        return api.post(path, {k: v for k, v in {**defaults, **body}.items() if v is not ...})

    return ask


def test_it_answers_in_anthropics_format(say):
    response = say()
    body = response.json()
    assert body == {
        "id": "msg_" + response["x-request-id"].removeprefix("req_"),
        "type": "message",
        "role": "assistant",
        "model": "parrot",
        "content": [{"type": "text", "text": "Hello there"}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {
            "input_tokens": 2,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 0,
            "output_tokens": 2,
        },
    }
    assert response["request-id"] == response["x-request-id"]


def test_a_stop_sequence_ends_it_and_is_named(say):
    body = say(stop_sequences=["never", " there"]).json()
    assert body["content"] == [{"type": "text", "text": "Hello"}]
    assert (body["stop_reason"], body["stop_sequence"]) == ("stop_sequence", " there")


def test_a_stop_sequence_that_does_not_come_ends_nothing(say):
    body = say(stop_sequences=["never"]).json()
    assert (body["stop_reason"], body["stop_sequence"]) == ("end_turn", None)


def test_the_token_limit_ends_it_by_its_name(say):
    assert say(max_tokens=1).json()["stop_reason"] == "max_tokens"


def test_a_result_of_a_tool_that_was_never_asked_for_is_refused(say, workers_client):
    result = {"type": "tool_result", "tool_use_id": "toolu_9", "content": "Rain"}

    refused = say(messages=[{"role": "user", "content": [result]}])

    assert refused.status_code == 400
    assert "messages[0]" in refused.json()["error"]["message"]
    assert workers_client.requests == []


def test_blocks_become_messages(say, workers_client):
    say(
        system=[{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}],
        messages=[
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "Look"},
                    {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}},
                ],
            },
            {
                "role": "assistant",
                "content": [
                    {"type": "thinking", "thinking": "Hm.", "signature": "x"},
                    {"type": "text", "text": "A map."},
                    {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"city": "Köln"}},
                    {"type": "tool_use", "id": "toolu_2", "name": "weather"},
                ],
            },
            {
                "role": "user",
                "content": [
                    {
                        "type": "tool_result",
                        "tool_use_id": "toolu_1",
                        "content": [{"type": "text", "text": "Rain"}],
                    },
                    {"type": "tool_result", "tool_use_id": "toolu_2", "content": "No.", "is_error": True},
                    {"type": "text", "text": "And now?"},
                ],
            },
        ],
    )
    assert workers_client.requests[0].messages == (
        ChatMessage("system", "Be brief."),
        ChatMessage("user", "Look", images=(f"data:image/png;base64,{PNG}",)),
        ChatMessage(
            "assistant",
            "A map.",
            tool_calls=(
                ToolCall("toolu_1", "weather", '{"city": "Köln"}'),
                ToolCall("toolu_2", "weather", "{}"),
            ),
            reasoning="Hm.",
        ),
        ChatMessage("tool", "Rain", tool_call_id="toolu_1"),
        ChatMessage("tool", "Error: No.", tool_call_id="toolu_2"),
        ChatMessage("user", "And now?"),
    )


@pytest.mark.parametrize(
    ("choice", "ours"),
    [
        (None, ("auto", True)),
        ({"type": "auto", "disable_parallel_tool_use": True}, ("auto", False)),
        ({"type": "any"}, ("required", True)),
        ({"type": "tool", "name": "weather"}, ("required", True)),
        ({"type": "none"}, ("none", True)),
    ],
)
def test_each_choice_of_tools_is_understood(say, workers_client, choice, ours):
    body = say(
        tools=[WEATHER, {"name": "time", "input_schema": {"type": "object"}}], tool_choice=choice
    ).json()
    (request,) = workers_client.requests
    assert (request.tool_choice, request.parallel_tool_calls) == ours
    forced = ours[0] == "required"
    assert (body["stop_reason"] == "tool_use") is forced
    if forced:
        (block,) = body["content"]
        assert (block["type"], block["name"], block["input"]) == ("tool_use", "weather", {"city": "parrot"})


def test_sampling_and_schema_reach_the_engine(say, workers_client):
    config = {"effort": "low", "format": {"type": "json_schema", "schema": CITY}}
    body = say(
        temperature=0.5,
        top_p=0.5,
        top_k=7,
        stop_sequences=["x"],
        thinking={"type": "adaptive"},
        output_config=config,
    ).json()
    (request,) = workers_client.requests
    sampling = request.sampling
    assert (sampling.temperature, sampling.top_p, sampling.top_k, sampling.stop) == (0.5, 0.5, 7, ("x",))
    assert request.reasoning_effort == "low"
    assert json.loads(body["content"][0]["text"]) == {"city": "parrot"}


def test_tokens_are_counted_as_they_are_charged(say):
    body: dict[str, Any] = {"system": "Be brief.", "messages": [{"role": "user", "content": "one two three"}]}
    counted = say("/v1/messages/count_tokens", **body).json()
    assert counted == {"input_tokens": 5}
    assert say(**body).json()["usage"]["input_tokens"] == 5


def test_every_parameter_of_the_client_is_in_exactly_one_group():
    groups = [set(protocol.HONOURED), set(protocol.WITHOUT_EFFECT), set(protocol.UNSUPPORTED)]
    own = set(get_type_hints(message_create_params.MessageCreateParamsStreaming))
    # Left out of today's types, and sent by older programs.
    earlier = {"temperature", "top_p", "top_k"}
    assert own | earlier == set.union(*groups)
    assert sum(map(len, groups)) == len(own | earlier)
    counted = set(get_type_hints(message_count_tokens_params.MessageCountTokensParams))
    assert counted <= protocol.COUNTED | protocol.WITHOUT_EFFECT.keys()


def blocks(*content: Any, role: str = "user") -> list[Any]:
    return [{"role": role, "content": list(content)}]


@pytest.mark.parametrize(
    ("body", "place"),
    [
        ({"max_tokens": ...}, "max_tokens"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"messages": ...}, "messages"),
        ({"messages": []}, "messages"),
        ({"model": 5}, "model"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content"),
        ({"messages": blocks({"type": "video"})}, "messages[0].content[0].type"),
        ({"messages": blocks({"text": "x"})}, "messages[0].content[0].type"),
        ({"messages": blocks({"type": "tool_result"})}, "messages[0].content[0].tool_use_id"),
        (
            {"messages": blocks({"type": "image", "source": {"type": "file"}})},
            "messages[0].content[0].source.type",
        ),
        (
            {"messages": blocks({"type": "tool_use", "id": "a", "name": "f", "input": []}, role="user")},
            "messages[0].content[0].type",
        ),
        ({"temperature": 1.5}, "temperature"),
        ({"stop_sequences": [" "]}, "stop_sequences[0]"),
        ({"tools": [{"type": "bash_20250124", "name": "bash"}]}, "tools[0].type"),
        ({"tools": [{"name": "f"}]}, "tools[0].input_schema"),
        ({"tool_choice": {"type": "any"}}, "tool_choice.type"),
        ({"tools": [WEATHER], "tool_choice": {"type": "tool", "name": "f"}}, "tool_choice.name"),
        ({"thinking": {"type": "deep"}}, "thinking.type"),
        ({"output_config": {"format": {"type": "xml"}}}, "output_config.format.type"),
        ({"container": "c"}, "container"),
        ({"n": 2}, "n"),
        ({"system": 5}, "system"),
    ],
    ids=str,
)
def test_what_cannot_be_is_named_in_anthropics_error(say, workers_client, body, place):
    response = say(**body)
    error = response.json()
    assert response.status_code == 400
    assert set(error) == {"type", "error", "request_id"}
    assert error["error"]["type"] == "invalid_request_error"
    assert f"'{place}'" in error["error"]["message"]
    assert workers_client.requests == []


def test_other_errors_have_anthropics_names(say, api, workers_client):
    make_chat_model("offline")
    make_chat_model("plain")
    workers_client.host(Plain("plain"))
    for body, status, kind in (
        ({"model": "nobody"}, 404, "not_found_error"),
        ({"model": "offline"}, 503, "overloaded_error"),
        ({"model": "plain", "tools": [WEATHER]}, 400, "invalid_request_error"),
    ):
        response = say(**body)
        assert (response.status_code, response.json()["error"]["type"]) == (status, kind)
    response = api.post("/v1/messages", {}, headers={"x-api-key": "sk-wrong"})
    assert (response.status_code, response.json()["error"]["type"]) == (401, "authentication_error")
    assert api.get("/v1/messages").status_code == 405


# --- the true client ---------------------------------------------------------------------------------------


HI: Any = [{"role": "user", "content": "Polly wants a cracker"}]


@pytest.fixture
def client(live: LiveServer):
    base_url = live.base_url.removesuffix("/v1")
    with anthropic.Anthropic(
        base_url=base_url, api_key=live.keys["alice"], timeout=60, max_retries=0
    ) as opened:
        yield opened


def test_the_true_client_gets_a_message(client):
    message = client.messages.create(model="parrot", max_tokens=50, messages=HI)
    assert message.content[0].text == "Polly wants a cracker"
    assert message.usage.output_tokens == 4
    assert message._request_id.startswith("req_")
    assert client.messages.count_tokens(model="parrot", messages=HI).input_tokens == 4


def test_the_true_client_streams_thoughts_and_words(client):
    with client.messages.stream(
        model="thinker", max_tokens=50, messages=HI, thinking={"type": "enabled", "budget_tokens": 1024}
    ) as stream:
        text = "".join(stream.text_stream)
        message = stream.get_final_message()
    assert text == "Yes, of course."
    assert [block.type for block in message.content] == ["thinking", "text"]
    assert message.content[0].thinking == "Hm, let me see."
    assert (message.stop_reason, message.usage.output_tokens) == ("end_turn", 3)


def test_the_true_client_reads_which_stop_sequence_ended_a_stream(client):
    with client.messages.stream(
        model="thinker", max_tokens=50, messages=HI, stop_sequences=["course"]
    ) as stream:
        message = stream.get_final_message()
    assert message.content[-1].text == "Yes, of "
    assert (message.stop_reason, message.stop_sequence) == ("stop_sequence", "course")


def test_the_true_client_calls_a_tool_in_a_stream_and_hands_the_result_back(client):
    with client.messages.stream(model="caller", max_tokens=50, messages=HI, tools=[WEATHER]) as stream:
        message = stream.get_final_message()
    (call,) = message.content
    assert (message.stop_reason, call.name, call.input) == ("tool_use", "weather", {"city": "parrot"})

    result: Any = {"type": "tool_result", "tool_use_id": call.id, "content": "It is sunny."}
    answer = client.messages.create(
        model="caller",
        max_tokens=50,
        tools=[WEATHER],
        messages=[
            *HI,
            {"role": "assistant", "content": message.content},
            {"role": "user", "content": [result]},
        ],
    )
    assert answer.content[0].text == "It is sunny."


@pytest.mark.parametrize("stream", [False, True])
def test_the_true_client_raises_what_went_wrong(client, stream):
    with pytest.raises(anthropic.NotFoundError):
        client.messages.create(model="nobody", max_tokens=5, messages=HI, stream=stream)
    with pytest.raises(anthropic.BadRequestError, match="max_tokens"):
        client.messages.create(model="parrot", max_tokens=0, messages=HI, stream=stream)


def test_the_true_client_hears_of_a_failure_in_mid_stream(client):
    with (
        pytest.raises(anthropic.APIStatusError, match="on purpose"),
        client.messages.stream(model="fails-midway", max_tokens=50, messages=HI) as stream,
    ):
        list(stream)


def test_silence_is_bridged_by_pings(live):
    with anthropic.Anthropic(
        base_url=live.base_url.removesuffix("/v1"),
        api_key=live.keys["alice"],
        timeout=anthropic.Timeout(3.0, connect=30),
        max_retries=0,
    ) as impatient:
        stream = impatient.messages.create(model="silent", max_tokens=50, messages=HI, stream=True)
        kinds = [event.type for event in stream]
    assert kinds[0] == "message_start"
    assert kinds[-1] == "message_stop"
