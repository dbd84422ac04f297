"""Plain chat completions: what the workers are asked, and what the caller is told."""

import json
import time

import pytest

from chatsite.accounts.models import ApiKey, UsageRecord
from tests.factories import make_chat_model
from tests.fakes import InProcessClient
from tests.workers.api.conftest import error_of
from workers import client
from workers.api import errors
from workers.api.chat import protocol
from workers.client import NoWorker, QueueFull
from workers.protocol import ChatMessage, ErrorCode, Sampling

SYSTEM = ChatMessage("system", "Be brief.")
OPTIONAL = (
    (protocol.HONOURED - {"model", "messages"}) | protocol.WITHOUT_EFFECT.keys() | protocol.UNSUPPORTED.keys()
)


def test_it_answers_in_openais_format(api):
    before = int(time.time())

    response = api.chat(messages=[{"role": "user", "content": "Polly wants a cracker"}])

    assert response.status_code == 200
    assert response["content-type"] == "application/json"
    body = response.json()
    assert before <= body.pop("created") <= time.time()
    assert body == {
        "id": "chatcmpl-" + response["x-request-id"].removeprefix("req_"),
        "object": "chat.completion",
        "model": "parrot",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "Polly wants a cracker", "refusal": None},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": {
            "prompt_tokens": 4,
            "completion_tokens": 4,
            "total_tokens": 8,
            "prompt_tokens_details": {"cached_tokens": 0},
        },
    }


def test_the_token_limit_ends_it_with_length(api):
    body = api.chat(messages=[{"role": "user", "content": "one two three"}], max_tokens=2).json()

    assert body["choices"][0]["finish_reason"] == "length"
    assert body["choices"][0]["message"]["content"] == "one two"
    assert body["usage"]["completion_tokens"] == 2


def test_a_stop_string_ends_it_with_stop(api):
    body = api.chat(messages=[{"role": "user", "content": "one two three"}], stop=" two").json()

    assert body["choices"][0]["finish_reason"] == "stop"
    assert body["choices"][0]["message"]["content"] == "one"


def test_every_character_comes_back(api):
    content = 'é 漢字 🦜 \u2028 "quoted" \\ \t</script> \x7f'

    assert api.chat(messages=[{"role": "user", "content": content}]).json()["choices"][0]["message"][
        "content"
    ] == (content)


# --- what the workers are asked ----------------------------------------------------------------------------


def test_each_parameter_reaches_the_engine(api, workers_client):
    api.chat(
        temperature=1.5, top_p=0.25, max_completion_tokens=7, stop=["a", "b"], seed=-5, presence_penalty=-2,
        frequency_penalty=2,
    )  # fmt: skip

    assert workers_client.requests[0].sampling == Sampling(
        temperature=1.5,
        top_p=0.25,
        max_tokens=7,
        stop=("a", "b"),
        seed=-5,
        presence_penalty=-2.0,
        frequency_penalty=2.0,
    )


@pytest.mark.parametrize("value", [..., None])
def test_what_is_left_out_or_null_comes_from_the_chat_model_or_the_engine(api, parrot, workers_client, value):
    assert api.chat(**dict.fromkeys(OPTIONAL, value)).status_code == 200

    assert workers_client.requests[0].sampling == Sampling(temperature=parrot.temperature, top_p=parrot.top_p)


def test_zero_is_a_value(api, workers_client):
    api.chat(temperature=0, top_p=0, seed=0)

    assert workers_client.requests[0].sampling == Sampling(temperature=0.0, top_p=0.0, seed=0)


@pytest.mark.parametrize("limits", [{"max_tokens": 3}, {"max_tokens": 3, "max_completion_tokens": 3}])
def test_the_old_name_of_the_token_limit_counts(api, workers_client, limits):
    api.chat(**limits)

    assert workers_client.requests[0].sampling.max_tokens == 3


@pytest.mark.parametrize(
    "extra",
    [
        {"n": 1},
        {"stream": False},
        {"user": "u-1", "safety_identifier": "u-1", "metadata": {"a": "b"}, "store": False},
        {"service_tier": "flex", "prompt_cache_key": "k", "prompt_cache_retention": "24h"},
        {
            "tools": [],
            "tool_choice": "none",
            "parallel_tool_calls": False,
            "logprobs": False,
            "logit_bias": {},
        },
        {"response_format": {"type": "text"}, "modalities": ["text"], "reasoning_effort": "none"},
        {"stop": []},
    ],
    ids=repr,
)
def test_what_asks_for_nothing_is_accepted(api, workers_client, extra):
    assert api.chat(**extra).status_code == 200
    assert len(workers_client.requests) == 1


def test_messages_reach_the_workers_in_order_with_their_roles(api, workers_client):
    api.chat(
        messages=[
            {"role": "developer", "content": "Be brief."},
            {"role": "user", "content": [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]},
            {"role": "assistant", "content": "", "refusal": None, "tool_calls": None, "annotations": []},
            {"role": "user", "content": "three", "name": "alice"},
        ]
    )

    assert workers_client.requests[0].messages == (
        SYSTEM,
        ChatMessage("user", "one\ntwo"),
        ChatMessage("assistant", ""),
        ChatMessage("user", "three"),
    )


def test_the_chat_models_system_prompt_goes_in_front(api, parrot, workers_client):
    parrot.system_prompt = "Be brief."
    parrot.save()

    api.chat(messages=[{"role": "user", "content": "Hi"}])

    assert workers_client.requests[0].messages == (SYSTEM, ChatMessage("user", "Hi"))


@pytest.mark.parametrize("role", ["system", "developer"])
def test_the_callers_system_prompt_takes_its_place(api, parrot, workers_client, role):
    parrot.system_prompt = "Be long."
    parrot.save()

    api.chat(messages=[{"role": "user", "content": "Hi"}, {"role": role, "content": "Be brief."}])

    assert workers_client.requests[0].messages == (ChatMessage("user", "Hi"), SYSTEM)


def test_usage_is_recorded_for_the_key_and_its_owner(api, alice, workers_client):
    api.chat(messages=[{"role": "user", "content": "one two three"}], max_tokens=2)

    workers_client.deliver_reports()

    record = UsageRecord.objects.get()
    assert record.user == alice
    assert record.api_key == ApiKey.objects.get()
    assert record.source == "api"
    assert record.chat_model == "parrot"
    assert (record.prompt_tokens, record.completion_tokens) == (3, 2)


def test_the_report_names_no_text(api, workers_client):
    api.chat(messages=[{"role": "user", "content": "canary"}])

    key = json.loads(workers_client.requests[0].report_key)

    assert set(key) == {"user", "api_key", "source", "chat_model"}


def time_limit(workers_client: InProcessClient) -> float:
    return workers_client.requests[0].deadline - time.time()


def test_the_deadline_is_the_servers(api, workers_client, settings):
    settings.GENERATION_TIMEOUT = 120

    api.chat(_headers={"x-stainless-read-timeout": "600"})

    assert 110 < time_limit(workers_client) <= 120


def test_the_deadline_is_the_clients_when_it_gives_up_earlier(api, workers_client):
    api.chat(_headers={"x-stainless-read-timeout": "30.0"})

    assert 20 < time_limit(workers_client) <= 30


def test_no_prompt_and_no_reply_is_logged(api, caplog):
    caplog.set_level("DEBUG")

    api.chat(messages=[{"role": "user", "content": "canary"}])
    api.chat(messages=[{"role": "user", "content": "canary"}], temperature=9)
    api.chat(messages=[{"role": "user", "content": "canary"}], model="nobody")

    assert "canary" not in caplog.text


# --- what goes wrong ---------------------------------------------------------------------------------------


def test_without_a_worker_it_is_503_and_worth_a_retry(api):
    make_chat_model("offline")

    response = api.chat(model="offline")

    assert response.status_code == 503
    assert error_of(response)["code"] == "no_worker"
    assert "x-should-retry" not in response
    assert 0 < int(response["retry-after-ms"]) <= 10_000


def test_a_full_queue_is_429_with_the_time_to_wait(api, monkeypatch):
    error = QueueFull("full")
    error.retry_after = 0.25

    def refuse(request):
        raise error

    monkeypatch.setattr(client, "submit", refuse)

    response = api.chat()

    assert response.status_code == 429
    assert error_of(response)["type"] == "rate_limit_error"
    assert response["retry-after-ms"] == "250"
    assert response["retry-after"] == "1"


@pytest.mark.parametrize("error", [ConnectionError("redis://:secret@host"), NoWorker("secret")])
def test_the_text_of_a_refusal_stays_inside(api, monkeypatch, error):
    def refuse(request):
        raise error

    monkeypatch.setattr(client, "submit", refuse)

    response = api.chat()

    assert response.status_code == 503
    assert "secret" not in response.text


def test_a_prompt_that_does_not_fit_is_openais_400(api, workers_client):
    make_chat_model("tiny")
    workers_client.host_script("tiny", "context=4")

    response = api.chat(model="tiny", messages=[{"role": "user", "content": "one two three four five"}])

    assert response.status_code == 400
    assert error_of(response)["code"] == "context_length_exceeded"
    assert error_of(response)["param"] == "messages"


def test_a_reply_that_breaks_off_is_an_error_and_no_half_answer(api, workers_client):
    make_chat_model("broken")
    workers_client.host_script("broken", "tokens=5&fail_after=3")

    response = api.chat(model="broken")

    assert response.status_code == 500
    assert error_of(response)["code"] == "engine_failure"
    assert "w0" not in response.text


def test_every_error_code_of_the_workers_has_a_status():
    statuses = {code: errors.failure(code, "It failed.").status for code in ErrorCode}

    assert statuses == {
        ErrorCode.NO_WORKER: 503,
        ErrorCode.WORKER_LOST: 503,
        ErrorCode.QUEUE_FULL: 429,
        ErrorCode.DEADLINE: 504,
        ErrorCode.CONTEXT_OVERFLOW: 400,
        ErrorCode.INVALID_REQUEST: 400,
        ErrorCode.EXPIRED: 500,
        ErrorCode.ENGINE_FAILURE: 500,
    }
