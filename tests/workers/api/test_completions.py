"""`/v1/completions`: raw prompts. The scripted engine says its prompt again."""

from typing import Any, get_type_hints

import pytest
from openai.types import completion_create_params

from tests.factories import make_chat_model
from tests.workers.api.conftest import error_of
from workers.api.completions import protocol
from workers.engines.scripted import token_id


@pytest.fixture
def complete(api):
    def ask(**body: Any) -> Any:
        body = {"model": "parrot", "prompt": "Hello there", **body}
        return api.post("/v1/completions", {name: value for name, value in body.items() if value is not ...})

    return ask


def test_it_answers_in_openais_format(complete):
    response = complete()
    body = response.json()
    assert body.pop("created")
    assert body == {
        "id": "cmpl-" + response["x-request-id"].removeprefix("req_"),
        "object": "text_completion",
        "model": "parrot",
        "choices": [{"index": 0, "text": "Hello there", "logprobs": None, "finish_reason": "stop"}],
        "usage": {
            "prompt_tokens": 2,
            "completion_tokens": 2,
            "total_tokens": 4,
            "prompt_tokens_details": {"cached_tokens": 0},
        },
    }


def test_no_chat_template_and_no_system_prompt_touches_a_raw_prompt(complete, parrot, workers_client):
    parrot.system_prompt = "Be brief."
    parrot.save()
    complete()
    (request,) = workers_client.requests
    assert (request.messages, request.prompt) == ((), "Hello there")


def test_sixteen_tokens_are_the_default_as_with_openai(complete):
    body = complete(prompt="word " * 50).json()
    assert body["usage"]["completion_tokens"] == 16
    assert body["choices"][0]["finish_reason"] == "length"


def test_several_prompts_and_several_replies_come_in_order(complete):
    body = complete(prompt=["one", "two two"], n=2).json()
    assert [choice["index"] for choice in body["choices"]] == [0, 1, 2, 3]
    assert [choice["text"] for choice in body["choices"]] == ["one", "one", "two two", "two two"]
    assert body["usage"]["prompt_tokens"] == 3, "each prompt counts once"
    assert body["usage"]["completion_tokens"] == 6


def test_token_ids_are_a_prompt(api, complete):
    tokens = api.post("/v1/tokenize", {"model": "parrot", "prompt": "Hello there"}).json()["tokens"]
    assert complete(prompt=tokens).json()["choices"][0]["text"] == "Hello there"
    texts = [choice["text"] for choice in complete(prompt=[tokens, tokens[:1]]).json()["choices"]]
    assert texts == ["Hello there", "Hello"]


def test_the_prompt_is_echoed_with_its_probabilities(complete):
    choice = complete(echo=True, logprobs=2, max_tokens=1).json()["choices"][0]
    assert choice["text"] == "Hello thereHello"
    logprobs = choice["logprobs"]
    assert logprobs["tokens"] == ["Hello", " there", "Hello"]
    assert logprobs["token_logprobs"] == [None, -0.5, -0.5], "nothing comes before the first"
    assert logprobs["text_offset"] == [0, 5, 11]
    assert logprobs["top_logprobs"][1][" there"] == -0.5


def test_nothing_but_the_prompts_probabilities_can_be_asked_for(complete):
    """What an evaluation of likelihoods does."""
    body = complete(echo=True, logprobs=0, max_tokens=0).json()
    assert body["choices"][0]["text"] == "Hello there"
    assert len(body["choices"][0]["logprobs"]["tokens"]) == 2
    assert body["usage"]["completion_tokens"] == 0


def test_every_parameter_of_the_client_is_known():
    own = set(get_type_hints(completion_create_params.CompletionCreateParamsStreaming))
    extensions = {"top_k", "min_p", "repetition_penalty", "response_format"}
    assert own | extensions == protocol.HONOURED | protocol.WITHOUT_EFFECT.keys()


def test_sampling_reaches_the_engine(complete, workers_client):
    complete(
        temperature=0.1, top_p=0.2, seed=3, stop="x", logit_bias={"5": 1}, presence_penalty=1, logprobs=3
    )
    sampling = workers_client.requests[0].sampling
    assert (sampling.temperature, sampling.top_p, sampling.seed, sampling.stop) == (0.1, 0.2, 3, ("x",))
    assert (sampling.logit_bias, sampling.presence_penalty, sampling.top_logprobs) == (((5, 1.0),), 1.0, 3)


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"prompt": ...}, "prompt"),
        ({"model": ...}, "model"),
        ({"prompt": 5}, "prompt"),
        ({"prompt": []}, "prompt"),
        ({"prompt": [[]]}, "prompt[0]"),
        ({"prompt": ["a", 5]}, "prompt[1]"),
        ({"prompt": [1, -2]}, "prompt[1]"),
        ({"prompt": [[1, True]]}, "prompt[0][1]"),
        ({"prompt": ["a"] * 1000}, "prompt"),
        ({"prompt": ["a"] * 100, "n": 16}, "n"),
        ({"best_of": 3}, "best_of"),
        ({"n": 2, "best_of": 4}, "best_of"),
        ({"logprobs": 6}, "logprobs"),
        ({"logprobs": True}, "logprobs"),
        ({"max_tokens": -1}, "max_tokens"),
        ({"suffix": "the end"}, "suffix"),
        ({"messages": []}, "messages"),
        ({"user": 5}, "user"),
        ({"prompt": [1, 2]}, "prompt"),
    ],
    ids=str,
)
def test_what_cannot_be_is_named(complete, body, param):
    response = complete(**body)
    assert response.status_code == 400
    assert error_of(response)["param"] == param


def test_best_of_as_many_as_are_wanted_is_fine(complete):
    assert len(complete(n=2, best_of=2).json()["choices"]) == 2


def test_a_prompt_that_is_too_long_is_openais_400(complete, workers_client):
    make_chat_model("tiny")
    workers_client.host_script("tiny", "context=4")
    response = complete(model="tiny", prompt="a b c d e f")
    assert error_of(response)["code"] == "context_length_exceeded"


# --- tokens ------------------------------------------------------------------------------------------------


def test_tokens_are_counted_named_and_turned_back(api):
    body = api.post(
        "/v1/tokenize", {"model": "parrot", "prompt": "Hi there", "return_token_strs": True}
    ).json()
    assert body == {
        "count": 2,
        "max_model_len": 8192,
        "tokens": [token_id("Hi"), token_id(" there")],
        "token_strs": ["Hi", " there"],
    }
    back = api.post("/v1/detokenize", {"model": "parrot", "tokens": body["tokens"]}).json()
    assert back == {"prompt": "Hi there"}
    assert api.post("/v1/detokenize", {"model": "parrot", "tokens": []}).json() == {"prompt": ""}


def test_messages_are_counted_as_a_chat_would(api):
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello there"}]
    count = api.post("/v1/tokenize", {"model": "parrot", "messages": messages}).json()["count"]
    assert count == api.chat(messages=messages).json()["usage"]["prompt_tokens"]


def test_the_chat_models_own_system_prompt_is_counted_as_well(api, parrot):
    parrot.system_prompt = "You are a parrot and nothing else."
    parrot.save()
    messages = [{"role": "user", "content": "Hello there"}]
    count = api.post("/v1/tokenize", {"model": "parrot", "messages": messages}).json()["count"]
    assert count == api.chat(messages=messages).json()["usage"]["prompt_tokens"]


def test_a_prompt_that_is_too_long_is_named_as_the_prompt(api):
    response = api.post("/v1/completions", {"model": "parrot", "prompt": "long " * 9000})
    error = error_of(response)
    assert (error["param"], error["code"]) == ("prompt", "context_length_exceeded")


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        ("tokenize", {"model": "parrot"}, "prompt"),
        ("tokenize", {"model": "parrot", "prompt": "a", "messages": []}, "prompt"),
        ("tokenize", {"model": "parrot", "messages": [{"role": "user"}]}, "messages[0].content"),
        ("tokenize", {"prompt": "a"}, "model"),
        ("tokenize", {"model": "parrot", "prompt": 5}, "prompt"),
        ("detokenize", {"model": "parrot"}, "tokens"),
        ("detokenize", {"model": "parrot", "tokens": "Hi"}, "tokens"),
        ("detokenize", {"model": "parrot", "tokens": ["Hi"]}, "tokens"),
        ("detokenize", {"model": "parrot", "tokens": [-1]}, "tokens[0]"),
        ("detokenize", {"model": "parrot", "tokens": [1]}, "tokens"),
    ],
)
def test_a_bad_question_about_tokens_is_named(api, path, body, param):
    response = api.post(f"/v1/{path}", body)
    assert response.status_code == 400
    assert error_of(response)["param"] == param


def test_counting_needs_a_chat_model_that_exists(api):
    assert api.post("/v1/tokenize", {"model": "nobody", "prompt": "a"}).status_code == 404


def test_fastchats_question_whether_prompts_fit_is_answered(api):
    prompts = [
        {"model": "parrot", "prompt": "one two three", "max_tokens": 10},
        {"model": "parrot", "prompt": "one", "max_tokens": 8192},
    ]
    response = api.post("/api/v1/token_check", {"prompts": prompts})
    assert response.json() == {
        "prompts": [
            {"fits": True, "contextLength": 8192, "tokenCount": 3},
            {"fits": False, "contextLength": 8192, "tokenCount": 1},
        ]
    }


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "prompts"),
        ({"prompts": []}, "prompts"),
        ({"prompts": [{"model": "parrot", "prompt": "a"}]}, "prompts[0].max_tokens"),
        ({"prompts": [{"model": "parrot", "max_tokens": 1}]}, "prompts[0].prompt"),
    ],
)
def test_a_bad_check_is_named(api, body, param):
    response = api.post("/api/v1/token_check", body)
    assert response.status_code == 400
    assert error_of(response)["param"] == param


def test_a_check_needs_a_key(api):
    response = api.post("/api/v1/token_check", {"prompts": []}, headers={})
    assert response.status_code == 401
