"""The true `openai` client asks for tools, schemas, probabilities and vectors, streamed and not."""

from typing import Any

import pytest
from openai import OpenAI
from pydantic import BaseModel

HI: Any = [{"role": "user", "content": "Polly wants a cracker"}]
WEATHER: Any = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
            "additionalProperties": False,
        },
        "strict": True,
    },
}


class Event(BaseModel):
    title: str
    people: list[str]
    day: int | None


@pytest.fixture
def client(live):
    with OpenAI(base_url=live.base_url, api_key=live.keys["alice"], timeout=60, max_retries=0) as opened:
        yield opened


def test_a_tool_is_called_and_its_result_answered(client):
    first = client.chat.completions.create(model="caller", messages=HI, tools=[WEATHER])
    assert first.choices[0].finish_reason == "tool_calls"
    (call,) = first.choices[0].message.tool_calls
    result = {"role": "tool", "tool_call_id": call.id, "content": "It is sunny."}

    second = client.chat.completions.create(
        model="caller", messages=[*HI, first.choices[0].message, result], tools=[WEATHER]
    )

    assert second.choices[0].message.content == "It is sunny."
    assert second.choices[0].finish_reason == "stop"


def test_the_clients_stream_helper_puts_a_call_together(client):
    with client.chat.completions.stream(model="caller", messages=HI, tools=[WEATHER]) as stream:
        kinds = [event.type for event in stream]
        completion = stream.get_final_completion()
    assert "tool_calls.function.arguments.delta" in kinds
    (call,) = completion.choices[0].message.tool_calls
    assert call.function.name == "weather"
    assert call.function.parsed_arguments == {"city": "parrot"}
    assert completion.choices[0].finish_reason == "tool_calls"


def test_the_clients_own_classes_become_strict_schemas(client):
    completion = client.chat.completions.parse(model="parrot", messages=HI, response_format=Event)
    assert isinstance(completion.choices[0].message.parsed, Event)

    with client.chat.completions.stream(model="parrot", messages=HI, response_format=Event) as stream:
        parsed = stream.get_final_completion().choices[0].message.parsed
    assert isinstance(parsed, Event)


def test_several_streamed_replies_end_one_by_one(client):
    stream = client.chat.completions.create(
        model="parrot", messages=HI, n=3, stream=True, stream_options={"include_usage": True}
    )
    said = {0: "", 1: "", 2: ""}
    reasons: list[tuple[int, str]] = []
    *chunks, last = list(stream)
    for chunk in chunks:
        (choice,) = chunk.choices
        said[choice.index] += choice.delta.content or ""
        if choice.finish_reason:
            reasons.append((choice.index, choice.finish_reason))
    assert set(said.values()) == {"Polly wants a cracker"}
    assert sorted(reasons) == [(0, "stop"), (1, "stop"), (2, "stop")]
    assert (last.choices, last.usage.prompt_tokens, last.usage.completion_tokens) == ([], 4, 12)


def test_streamed_probabilities_belong_to_the_streamed_text(client):
    stream = client.chat.completions.create(
        model="parrot", messages=HI, stream=True, logprobs=True, top_logprobs=2
    )
    text, tokens = "", []
    for chunk in stream:
        text += chunk.choices[0].delta.content or ""
        if chunk.choices[0].logprobs:
            tokens += chunk.choices[0].logprobs.content
    assert "".join(token.token for token in tokens) == text == "Polly wants a cracker"
    assert {len(token.top_logprobs) for token in tokens} == {2}


def test_thoughts_are_streamed_under_both_names(client):
    stream = client.chat.completions.create(
        model="thinker", messages=HI, stream=True, reasoning_effort="high"
    )
    deltas = [chunk.choices[0].delta for chunk in stream]
    for name in ("reasoning", "reasoning_content"):
        assert "".join(getattr(delta, name, None) or "" for delta in deltas) == "Hm, let me see."
    assert "".join(delta.content or "" for delta in deltas) == "Yes, of course."


def test_completions_are_streamed(client):
    stream = client.completions.create(
        model="parrot",
        prompt=["Polly wants", "a cracker"],
        stream=True,
        echo=True,
        logprobs=1,
        stream_options={"include_usage": True},
    )
    said = {0: "", 1: ""}
    usage = None
    for chunk in stream:
        usage = chunk.usage or usage
        for choice in chunk.choices:
            said[choice.index] += choice.text
    assert said == {0: "Polly wantsPolly wants", 1: "a crackera cracker"}
    assert usage is not None
    assert (usage.prompt_tokens, usage.completion_tokens) == (4, 4)


def test_vectors_come_as_the_client_asks_for_them(client):
    """In base64, which it decodes, unless it is told otherwise."""
    answer = client.embeddings.create(model="parrot", input=["Polly wants", "a cracker"])
    plain = client.embeddings.create(model="parrot", input="Polly wants", encoding_format="float")
    assert [row.index for row in answer.data] == [0, 1]
    assert answer.data[0].embedding == pytest.approx(plain.data[0].embedding)
    assert answer.usage.prompt_tokens == 4
