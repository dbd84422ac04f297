"""A POST that is sent twice with one Idempotency-Key."""

import json
from typing import Any

import pytest
from django.http import StreamingHttpResponse

from chatsite.accounts.services import api_keys
from tests.workers.api.conftest import Api, error_of
from workers.api import idempotency, sse
from workers.connections import broker

KEY = {"idempotency-key": "order-1"}


def test_the_second_one_is_answered_by_the_first_ones_answer(api, workers_client):
    first = api.chat(KEY)
    second = api.chat(KEY)

    assert second.status_code == 200
    assert second.json() == first.json()
    assert second["idempotent-replayed"] == "true"
    assert second["x-request-id"] != first["x-request-id"]
    assert len(workers_client.requests) == 1


async def stream_through(entry: idempotency.Entry, *pieces: bytes | Exception) -> bytes:
    """What the client gets of a streamed answer while the entry listens."""

    async def source():
        for piece in pieces:
            if isinstance(piece, Exception):
                raise piece
            yield piece

    response: Any = await entry.keep(StreamingHttpResponse(source(), content_type=sse.CONTENT_TYPE))
    return b"".join([piece async for piece in response.streaming_content])


async def test_a_stream_is_kept_byte_for_byte_once_it_is_whole(valkey):
    valkey.hset("e", "fingerprint", "f")

    sent = await stream_through(idempotency.Entry("e"), b"data: {}\n\n", sse.DONE)

    assert sent == b"data: {}\n\n" + sse.DONE
    assert valkey.hget("e", "body") == sent


@pytest.mark.parametrize(
    "pieces",
    [
        (b"data: {}\n\n", b'data: {"error":{"message":"It broke."}}\n\n'),
        (b"x" * idempotency.LARGEST_ANSWER, b"y"),
    ],
    ids=["failed", "too large"],
)
async def test_a_stream_that_failed_or_is_huge_is_not_kept(valkey, pieces):
    valkey.hset("e", "fingerprint", "f")

    assert await stream_through(idempotency.Entry("e"), *pieces) == b"".join(pieces)
    assert not valkey.exists("e")


async def test_a_stream_that_breaks_off_is_not_kept(valkey):
    valkey.hset("e", "fingerprint", "f")

    with pytest.raises(ConnectionError):
        await stream_through(idempotency.Entry("e"), b"data: {}\n\n", ConnectionError())
    assert not valkey.exists("e")


def test_a_kept_stream_is_sent_again_as_one(api, workers_client):
    api.chat(KEY)
    name = broker().keys("chatsite:idempotent:*")[0]
    broker().hset(name, mapping={"answer": json.dumps([200, sse.CONTENT_TYPE]), "body": sse.DONE})

    second = api.chat(KEY)

    assert second.content == sse.DONE
    assert second["content-type"] == sse.CONTENT_TYPE
    assert "no-transform" in second["cache-control"]


def test_another_body_with_the_same_key_is_a_mistake(api):
    api.chat(KEY)

    refused = api.chat(KEY, temperature=1)

    assert refused.status_code == 400
    assert error_of(refused)["code"] == "idempotency_key_reused"


def test_while_the_first_is_under_way_the_second_is_told_to_come_back(api, monkeypatch):
    monkeypatch.setattr(idempotency.Entry, "_store", lambda *values: None)
    api.chat(KEY)  # its mark stays, as if it were not answered yet

    refused = api.chat(KEY)

    assert refused.status_code == 409
    assert error_of(refused)["code"] == "idempotency_in_progress"
    assert int(refused["retry-after-ms"]) > 0
    assert "x-should-retry" not in refused


def test_a_failure_is_not_kept(api, workers_client):
    workers_client.unhost("parrot")
    assert api.chat(KEY).status_code == 503
    workers_client.host_script("parrot")

    assert api.chat(KEY).status_code == 200


def test_a_bad_request_is_kept(api):
    first, second = api.chat(KEY, temperature=9), api.chat(KEY, temperature=9)

    assert (first.status_code, second.status_code) == (400, 400)
    assert second["idempotent-replayed"] == "true"


def test_a_key_of_somebody_else_is_another_key(api, bob, workers_client):
    other = Api(api_keys.create(owner=bob, name="tests")[1])

    api.chat(KEY)
    answer = other.chat(KEY, temperature=1)

    assert answer.status_code == 200
    assert "idempotent-replayed" not in answer


def test_without_the_header_every_request_is_made(api, workers_client):
    api.chat()
    api.chat()

    assert len(workers_client.requests) == 2


@pytest.mark.parametrize("value", ["x" * 256, "a\tb"])
def test_a_key_that_is_none_is_refused(api, value):
    assert error_of(api.chat({"idempotency-key": value}))["code"] == "invalid_idempotency_key"


def test_no_answer_is_kept_for_ever(api):
    api.chat(KEY)

    assert 0 < broker().ttl(broker().keys("chatsite:idempotent:*")[0]) <= 3600
