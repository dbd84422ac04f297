"""`/v1/embeddings`. The scripted engine counts words, which is enough to tell what is whose."""

import base64
import math
from array import array
from typing import Any, get_type_hints

import pytest
from openai.types import embedding_create_params

from chatsite.accounts.models import UsageRecord
from tests.factories import make_chat_model
from tests.workers.api.conftest import error_of
from tests.workers.api.test_chat_wishes import Plain
from workers.api.embeddings import protocol
from workers.protocol import EmbeddingRequest


@pytest.fixture
def embed(api):
    def ask(**body: Any) -> Any:
        body = {"model": "parrot", "input": "Hello there", **body}
        return api.post("/v1/embeddings", {name: value for name, value in body.items() if value is not ...})

    return ask


def vectors(response: Any) -> list[list[float]]:
    return [row["embedding"] for row in response.json()["data"]]


def test_it_answers_in_openais_format(embed):
    body = embed().json()
    (row,) = body.pop("data")
    assert body == {"object": "list", "model": "parrot", "usage": {"prompt_tokens": 2, "total_tokens": 2}}
    assert (row["object"], row["index"], len(row["embedding"])) == ("embedding", 0, 64)
    assert math.isclose(math.hypot(*row["embedding"]), 1.0, rel_tol=1e-5)


def test_base64_holds_the_same_numbers(embed):
    (floats,) = vectors(embed())
    (encoded,) = vectors(embed(encoding_format="base64"))
    assert array("f", base64.b64decode(str(encoded))).tolist() == floats


def test_several_inputs_keep_their_order(embed):
    response = embed(input=["one", "two", "one"])
    first, second, third = vectors(response)
    assert first == third != second
    assert [row["index"] for row in response.json()["data"]] == [0, 1, 2]
    assert response.json()["usage"]["prompt_tokens"] == 3


def test_token_ids_are_embedded_as_their_text(api, embed):
    tokens = api.post("/v1/tokenize", {"model": "parrot", "prompt": "Hello there"}).json()["tokens"]
    assert vectors(embed(input=tokens)) == vectors(embed())
    assert vectors(embed(input=[tokens, tokens])) == vectors(embed()) * 2


def test_shorter_vectors_are_made_on_wish(embed):
    (vector,) = vectors(embed(dimensions=8))
    assert len(vector) == 8
    assert math.isclose(math.hypot(*vector), 1.0, rel_tol=1e-5)


def test_the_inputs_travel_as_one_request(embed, workers_client):
    embed(input=["a"] * 500)
    (request,) = workers_client.other_requests
    assert isinstance(request, EmbeddingRequest)
    assert len(request.inputs) == 500


def test_the_tokens_are_counted_to_the_key(embed, workers_client, alice):
    embed(input="one two three")
    workers_client.deliver_reports()
    record = UsageRecord.objects.get()
    assert (record.user, record.prompt_tokens, record.completion_tokens) == (alice, 3, 0)


def test_every_parameter_of_the_client_is_known():
    assert set(get_type_hints(embedding_create_params.EmbeddingCreateParams)) == (
        protocol.HONOURED | protocol.WITHOUT_EFFECT.keys()
    )


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"input": ...}, "input"),
        ({"input": ""}, "input"),
        ({"input": []}, "input"),
        ({"input": ["a", ""]}, "input[1]"),
        ({"input": 5}, "input"),
        ({"input": [["a"]]}, "input[0][0]"),
        ({"input": ["a"] * 3000}, "input"),
        ({"model": ...}, "model"),
        ({"encoding_format": "hex"}, "encoding_format"),
        ({"dimensions": 0}, "dimensions"),
        ({"dimensions": 65}, "dimensions"),
        ({"inputs": "a"}, "inputs"),
    ],
    ids=str,
)
def test_what_cannot_be_is_named(embed, body, param):
    response = embed(**body)
    assert response.status_code == 400
    assert error_of(response)["param"] == param


def test_a_chat_model_that_cannot_embed_says_so(embed, workers_client):
    make_chat_model("plain")
    workers_client.host(Plain("plain"))
    response = embed(model="plain")
    assert response.status_code == 400
    assert error_of(response)["param"] == "model"
    assert "cannot make embeddings" in error_of(response)["message"]


def test_an_unknown_chat_model_is_not_found(embed):
    assert embed(model="nobody").status_code == 404
