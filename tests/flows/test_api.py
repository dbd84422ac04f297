"""The true `openai` client against the true stack with the real weights."""

import time
from concurrent.futures import ThreadPoolExecutor

import openai
import pytest

from tests.flows.stack import Stack, until


@pytest.fixture
def client(stack: Stack, admin_key: str):
    with openai.OpenAI(base_url=f"{stack.url}/v1", api_key=admin_key, max_retries=0) as client:
        yield client


def messages(text: str):
    return [{"role": "user", "content": text}]


def test_it_knows_the_capital_of_france(client: openai.OpenAI, smollm2: str):
    answer = client.chat.completions.create(
        model=smollm2, messages=messages("What is the capital of France?"), temperature=0, max_tokens=40
    )

    assert "Paris" in (answer.choices[0].message.content or "")
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage
    assert answer.usage.prompt_tokens > 10
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens


def test_it_streams_the_same_answer_as_it_gives_at_once(client: openai.OpenAI, smollm2: str):
    question = {"model": smollm2, "messages": messages("What is the capital of France?"), "temperature": 0}
    whole = client.chat.completions.create(**question, max_tokens=40)

    chunks = list(
        client.chat.completions.create(
            **question, max_tokens=40, stream=True, stream_options={"include_usage": True}
        )
    )

    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == whole.choices[0].message.content
    assert chunks[-1].usage.completion_tokens == whole.usage.completion_tokens


def test_it_lists_the_real_model_as_ready(client: openai.OpenAI, smollm2: str):
    listed = {model.id: model for model in client.models.list()}
    assert listed[smollm2].to_dict()["status"] == "ready"
    assert client.models.retrieve(smollm2).id == smollm2


def test_it_honours_stop_and_max_tokens(client: openai.OpenAI, smollm2: str):
    question = {"model": smollm2, "messages": messages("Count from 1 to 20 with commas."), "temperature": 0}

    short = client.chat.completions.create(**question, max_tokens=3)
    assert short.usage.completion_tokens == 3
    assert short.choices[0].finish_reason == "length"

    long = client.chat.completions.create(**question, max_tokens=60)
    word = long.choices[0].message.content.split()[2]
    stopped = client.chat.completions.create(**question, max_tokens=60, stop=[word])
    assert word not in stopped.choices[0].message.content
    assert stopped.choices[0].finish_reason == "stop"


def test_it_survives_65_seconds_of_silence_before_the_first_token(stack: Stack, client: openai.OpenAI):
    stack.add_worker("thinker", "first=65&reply=At last.", name="thinker-1")

    # A read timeout well under the silence: only the keep-alive comments can carry the stream over it.
    patient = client.with_options(timeout=openai.Timeout(20, connect=5))
    began = time.monotonic()
    chunks = list(patient.chat.completions.create(model="thinker", messages=messages("Think."), stream=True))

    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "At last."
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert time.monotonic() - began > 64


def test_it_stops_the_engine_when_the_client_goes_away(stack: Stack, client: openai.OpenAI, slow_model: str):
    stream = client.chat.completions.create(model=slow_model, messages=messages("go"), stream=True)
    for _, _chunk in zip(range(5), stream, strict=False):
        pass
    until(lambda: stack.in_flight(slow_model) == 1, "the request's start")

    stream.close()

    until(lambda: stack.in_flight(slow_model) == 0, "the end of the abandoned request")


def test_sixteen_at_once_each_get_their_own_answer(client: openai.OpenAI, smollm2: str):
    # "in one word" makes the first token certain: without it two tokens are 0.2 nats apart, and llama.cpp's sums for
    # a batch differ by as much from those for a single request.
    question = messages("What is the capital of France? Answer with one word.")

    def ask(number: int) -> str:
        answer = client.chat.completions.create(
            model=smollm2, messages=question, temperature=0, max_tokens=16
        )
        return answer.choices[0].message.content or ""

    with ThreadPoolExecutor(16) as threads:
        answers = list(threads.map(ask, range(16)))

    assert sum("Paris" in answer for answer in answers) == 16


def test_a_prompt_that_is_too_long_is_refused_with_its_size(client: openai.OpenAI, smollm2: str):
    with pytest.raises(openai.BadRequestError) as refusal:
        client.chat.completions.create(model=smollm2, messages=messages("word " * 20_000))

    assert refusal.value.code == "context_length_exceeded"
    assert "8192" in refusal.value.message


def test_a_prompt_never_reaches_a_log_or_a_queue_key(
    stack: Stack, client: openai.OpenAI, smollm2: str, slow_model: str
):
    canary = "zyxcanary4711"
    client.chat.completions.create(model=smollm2, messages=messages(f"Repeat: {canary}"), max_tokens=8)
    client.chat.completions.create(model=slow_model, messages=messages(canary), max_tokens=2)
    with pytest.raises(openai.APIError):
        client.chat.completions.create(model=smollm2, messages=messages(f"{canary} " * 9000))

    time.sleep(1)
    for path, text in stack.logs().items():
        assert canary not in text, path
    with stack.broker() as broker:
        leaked = [key for key in broker.scan_iter("chatsite:celery:*") if canary.encode() in key]
    assert not leaked
