"""Our words in OpenAI's, and back."""

import json
from dataclasses import replace

import pytest

from tests.workers.support import make_request
from workers.engine_settings.upstream import read_address
from workers.engines.upstream import wire
from workers.protocol import (
    ChatMessage,
    Constraint,
    FinishReason,
    Sampling,
    Tool,
    ToolCall,
    ToolCallDelta,
    Usage,
)

OPENAI, VLLM = read_address("openai:gpt"), read_address("vllm:qwen")
MISTRAL, ANTHROPIC = read_address("mistral:m"), read_address("anthropic:claude")


def test_it_asks_for_a_stream_with_its_usage():
    body = wire.body_of(make_request("Hello", max_tokens=5, temperature=0.5), VLLM)

    assert body == {
        "model": "qwen",
        "stream": True,
        "stream_options": {"include_usage": True},
        "messages": [{"role": "user", "content": "Hello"}],
        "temperature": 0.5,
        "max_tokens": 5,
    }


def test_what_was_not_asked_for_is_not_sent():
    assert set(wire.body_of(make_request("Hello"), OPENAI)) == {
        "model",
        "stream",
        "stream_options",
        "messages",
    }


def test_it_sends_the_name_of_the_limit_that_the_server_knows():
    request = make_request("Hello", max_tokens=5)

    assert wire.body_of(request, OPENAI)["max_completion_tokens"] == 5
    assert wire.body_of(request, VLLM)["max_tokens"] == 5


def test_it_leaves_out_what_a_server_refuses():
    request = make_request("Hello", seed=3, presence_penalty=0.5, stop=("a", "b", "c", "d", "e"))

    assert "stream_options" not in wire.body_of(request, MISTRAL)
    assert not {"seed", "presence_penalty"} & set(wire.body_of(request, ANTHROPIC))
    assert wire.body_of(request, OPENAI)["stop"] == ["a", "b", "c", "d"]


def test_samplers_travel():
    sampling = Sampling(
        top_k=40, min_p=0.1, repetition_penalty=1.1, logit_bias=((5, -100.0),), logprobs=True, top_logprobs=2
    )

    body = wire.body_of(replace(make_request("Hello"), sampling=sampling), VLLM)

    assert (body["top_k"], body["min_p"], body["repetition_penalty"]) == (40, 0.1, 1.1)
    assert body["logit_bias"] == {"5": -100.0}
    assert (body["logprobs"], body["top_logprobs"]) == (True, 2)


def test_a_reply_that_has_begun_is_left_open():
    request = replace(make_request("Hello"), prefix="It began")

    body = wire.body_of(request, VLLM)

    assert body["messages"][-1] == {"role": "assistant", "content": "It began"}
    assert (body["continue_final_message"], body["add_generation_prompt"]) == (True, False)


def test_images_tools_and_their_results_travel():
    messages = (
        ChatMessage("user", "What is it?", images=("data:image/png;base64,AA==",)),
        ChatMessage("assistant", "", tool_calls=(ToolCall("c1", "look", '{"at": 1}'),)),
        ChatMessage("tool", "a bird", tool_call_id="c1", name="look"),
    )
    tools = (Tool("look", "Looks.", '{"type": "object"}', strict=True),)
    request = replace(
        make_request(), messages=messages, tools=tools, tool_choice="required", parallel_tool_calls=False
    )

    body = wire.body_of(request, OPENAI)

    picture, text = body["messages"][0]["content"]
    assert picture["image_url"]["url"] == "data:image/png;base64,AA=="
    assert text == {"type": "text", "text": "What is it?"}
    call = body["messages"][1]
    assert call["content"] is None
    assert call["tool_calls"][0]["function"] == {"name": "look", "arguments": '{"at": 1}'}
    assert body["messages"][2] == {"role": "tool", "content": "a bird", "tool_call_id": "c1"}
    assert body["tools"][0]["function"]["parameters"] == {"type": "object"}
    assert (body["tool_choice"], body["parallel_tool_calls"]) == ("required", False)


def test_constraints_travel():
    schema = replace(make_request(), constraint=Constraint("json_schema", '{"type": "object"}'))
    plain = replace(make_request(), constraint=Constraint("json_object"))

    assert wire.body_of(schema, OPENAI)["response_format"]["json_schema"]["schema"] == {"type": "object"}
    assert wire.body_of(plain, OPENAI)["response_format"] == {"type": "json_object"}


def test_raw_text_goes_to_the_other_path():
    request = replace(make_request(), messages=(), prompt="Once", suffix="end")

    assert wire.path_of(request) == "/completions"
    body = wire.body_of(request, VLLM)
    assert (body["prompt"], body["suffix"]) == ("Once", "end")
    assert "messages" not in body


def _chunk(**delta) -> dict:
    finish = delta.pop("finish", None)
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}


def test_text_thoughts_and_the_reason_are_read():
    chunks = wire.Chunks()

    assert chunks.read(_chunk(role="assistant", content="")).text == ""
    assert chunks.read(_chunk(reasoning_content="Hm.")).reasoning == "Hm."
    assert chunks.read(_chunk(reasoning="Hm.")).reasoning == "Hm."
    assert chunks.read(_chunk(content="Hello")).text == "Hello"
    assert chunks.read(_chunk(finish="length")).finish is FinishReason.LENGTH
    assert chunks.read(_chunk(finish="tool_calls")).finish is FinishReason.STOP


def test_usage_comes_in_a_chunk_of_its_own():
    usage = {"prompt_tokens": 7, "completion_tokens": 3, "prompt_tokens_details": {"cached_tokens": 4}}

    assert wire.Chunks().read({"choices": [], "usage": usage}).usage == Usage(7, 3, 4)


def test_tool_calls_are_named_once():
    chunks = wire.Chunks()
    first = {"index": 0, "id": "c1", "function": {"name": "look", "arguments": ""}}
    again = {"index": 0, "id": "c1", "function": {"name": "look", "arguments": '{"a'}}

    assert chunks.read(_chunk(tool_calls=[first])).tool_calls == (ToolCallDelta(0, "c1", "look", ""),)
    assert chunks.read(_chunk(tool_calls=[again])).tool_calls == (ToolCallDelta(0, "", "", '{"a'),)


def test_log_probabilities_are_read():
    token = {
        "token": "é",
        "logprob": -0.5,
        "bytes": None,
        "top_logprobs": [{"token": "e", "logprob": -1.0, "bytes": [101]}],
    }

    (read,) = (
        wire.Chunks()
        .read({"choices": [{"delta": {"content": "é"}, "logprobs": {"content": [token]}}]})
        .logprobs
    )

    assert (read.token, read.logprob, read.bytes) == ("é", -0.5, (0xC3, 0xA9))
    assert read.top[0].bytes == (101,)


@pytest.mark.parametrize(
    "data", ["text", 3, None, {"choices": "none"}, {"choices": ["x"]}, {"choices": [{"delta": 3}]}]
)
def test_what_is_no_chunk_is_refused(data):
    with pytest.raises(wire.UnreadableChunkError):
        wire.Chunks().read(data)


def test_a_body_is_json():
    json.dumps(wire.body_of(make_request("Hello", stop=("x",), seed=1), OPENAI))
