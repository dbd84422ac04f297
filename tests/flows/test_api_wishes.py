"""Tools, schemas, vectors and Anthropic's client against the true stack with the real weights."""

import json
import math
from typing import Any

import anthropic
import httpx
import jsonschema
import openai
import pytest

from tests.flows.stack import Stack

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "city": {"type": "string", "maxLength": 20},
        "mood": {"enum": ["sunny", "rainy"]},
        "degrees": {"type": "integer", "minimum": -20, "maximum": 45},
    },
    "required": ["city", "mood", "degrees"],
    "additionalProperties": False,
}
TOOL: Any = {"type": "function", "function": {"name": "weather", "parameters": SCHEMA, "strict": True}}
QUESTION: Any = [{"role": "user", "content": "What is the weather in Rome?"}]


def likeness(a: list[float], b: list[float]) -> float:
    return math.fsum(x * y for x, y in zip(a, b, strict=True))


@pytest.fixture
def client(stack: Stack, admin_key: str):
    with openai.OpenAI(base_url=f"{stack.url}/v1", api_key=admin_key, max_retries=0, timeout=120) as client:
        yield client


def test_a_real_model_is_held_to_a_schema_and_to_a_tool(client: openai.OpenAI, smollm2: str):
    held: Any = {"type": "json_schema", "json_schema": {"name": "it", "schema": SCHEMA, "strict": True}}
    answer: Any = client.chat.completions.create(
        model=smollm2, messages=QUESTION, response_format=held, max_tokens=80, n=2
    )
    for choice in answer.choices:
        assert choice.finish_reason == "stop"
        jsonschema.validate(json.loads(choice.message.content), SCHEMA)

    stream: Any = client.chat.completions.create(
        model=smollm2,
        messages=QUESTION,
        tools=[TOOL],
        tool_choice="required",
        parallel_tool_calls=False,
        stream=True,
        max_tokens=90,
    )
    pieces: list[Any] = []
    reason = None
    for chunk in stream:
        reason = chunk.choices[0].finish_reason or reason
        pieces += chunk.choices[0].delta.tool_calls or []
    assert reason == "tool_calls"
    assert pieces[0].function.name == "weather"
    jsonschema.validate(json.loads("".join(piece.function.arguments for piece in pieces)), SCHEMA)


def test_a_real_model_embeds_and_goes_on_with_tokens(client: openai.OpenAI, stack: Stack, smollm2: str):
    # The first request for vectors loads a second context, which on a busy machine may take the worker's heartbeat away
    # for a moment; the client tries again then.
    patient = client.with_options(max_retries=4)
    vectors = patient.embeddings.create(model=smollm2, input=["A cat sat.", "A cat sits.", "Tax law."])
    first, second, third = (row.embedding for row in vectors.data)
    assert math.isclose(math.hypot(*first), 1.0, rel_tol=1e-3)
    assert likeness(first, second) > likeness(first, third)

    key = {"authorization": f"Bearer {client.api_key}"}
    body = {"model": smollm2, "prompt": "One, two, three,"}
    found = httpx.post(f"{stack.url}/v1/tokenize", json=body, headers=key, timeout=300).json()
    by_text: Any = client.completions.create(
        model=smollm2, prompt=body["prompt"], temperature=0, max_tokens=4, seed=1
    )
    by_ids: Any = client.completions.create(
        model=smollm2, prompt=found["tokens"], temperature=0, max_tokens=4, seed=1, logprobs=2
    )
    assert by_ids.choices[0].text == by_text.choices[0].text
    assert by_ids.usage.prompt_tokens == found["count"]
    assert len(by_ids.choices[0].logprobs.token_logprobs) == by_ids.usage.completion_tokens


def test_anthropics_client_talks_to_the_real_model(stack: Stack, admin_key: str, smollm2: str):
    with (
        anthropic.Anthropic(base_url=stack.url, api_key=admin_key, max_retries=0, timeout=120) as client,
        client.messages.stream(
            model=smollm2, max_tokens=16, messages=[{"role": "user", "content": "Say hello."}]
        ) as stream,
    ):
        text = "".join(stream.text_stream)
        message = stream.get_final_message()
    assert text
    assert message.stop_reason in {"end_turn", "max_tokens"}
    assert 0 < message.usage.output_tokens <= 16
