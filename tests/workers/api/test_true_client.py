"""The true `openai` client against a true Daphne: what it shows its user, what it retries, what it survives.

The measured behaviour of clients that these tests pin is described in docs/design/openai-api.md.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI, OpenAI

from tests.workers.api.conftest import LiveServer

HI: Any = [{"role": "user", "content": "Polly wants a cracker"}]


@pytest.fixture
def connect(live):
    """A client for Alice's key."""
    opened = []

    def open_client(**options) -> OpenAI:
        client = OpenAI(
            **{"base_url": live.base_url, "api_key": live.keys["alice"], "timeout": 90, **options}
        )
        opened.append(client)
        return client

    yield open_client
    for client in opened:
        client.close()


@pytest.fixture
def no_retries(connect: Callable[..., OpenAI]) -> OpenAI:
    return connect(max_retries=0)


def tries(live: LiveServer, model: str) -> int:
    return list(live.state()["tries"]).count(model)


# --- what works --------------------------------------------------------------------------------------------


def test_it_lists_models_and_finds_one_with_a_slash(no_retries):
    names = [model.id for model in no_retries.models.list()]

    assert {"parrot", "org/parrot-1.0", "offline"} <= set(names)
    assert "hidden" not in names
    model = no_retries.models.retrieve("org/parrot-1.0")
    assert model.id == "org/parrot-1.0"
    assert model.owned_by == "chatsite"


def test_a_plain_completion(no_retries):
    completion = no_retries.chat.completions.create(model="org/parrot-1.0", messages=HI)

    assert completion.model == "org/parrot-1.0"
    assert completion.choices[0].message.content == "Polly wants a cracker"
    assert completion.choices[0].finish_reason == "stop"
    assert completion.usage.total_tokens == 8
    assert completion.usage.prompt_tokens_details.cached_tokens == 0
    assert completion._request_id.startswith("req_")


def test_a_message_can_be_handed_back_as_it_came(no_retries):
    message = no_retries.chat.completions.create(model="parrot", messages=HI).choices[0].message

    completion = no_retries.chat.completions.create(
        model="parrot", messages=[*HI, message, {"role": "user", "content": "Again"}]
    )

    assert completion.choices[0].message.content == "Again"


def test_a_streamed_completion(no_retries):
    chunks = list(
        no_retries.chat.completions.create(
            model="parrot", messages=HI, stream=True, stream_options={"include_usage": True}
        )
    )

    assert chunks[0].choices[0].delta.role == "assistant"
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == "Polly wants a cracker"
    assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == "stop"
    assert chunks[-1].choices == []
    assert chunks[-1].usage.total_tokens == 8
    assert len({c.id for c in chunks}) == 1


def test_the_clients_own_stream_helper_puts_it_together(no_retries):
    with no_retries.chat.completions.stream(model="parrot", messages=HI) as stream:
        completion = stream.get_final_completion()

    assert completion.choices[0].message.content == "Polly wants a cracker"


async def test_the_async_client_does_the_same(live):
    async with AsyncOpenAI(
        base_url=live.base_url, api_key=live.keys["bob"], max_retries=0, timeout=90
    ) as client:
        completion = await client.chat.completions.create(model="parrot", messages=HI)
        assert completion.choices[0].message.content == "Polly wants a cracker"

        stream: Any = await client.chat.completions.create(model="parrot", messages=HI, stream=True)
        text = "".join([chunk.choices[0].delta.content or "" async for chunk in stream])
        assert text == "Polly wants a cracker"


async def test_many_streams_at_once_stay_apart_and_lose_nothing(live):
    async with AsyncOpenAI(
        base_url=live.base_url, api_key=live.keys["bob"], max_retries=0, timeout=90
    ) as client:

        async def talk(number: int) -> str:
            text = " ".join(f"{number}-{word}" for word in range(50))
            messages: Any = [{"role": "user", "content": text}]
            stream: Any = await client.chat.completions.create(model="parrot", messages=messages, stream=True)
            heard = "".join([chunk.choices[0].delta.content or "" async for chunk in stream])
            return "" if heard == text else f"{number}: {heard!r}"

        wrong = [answer for answer in await asyncio.gather(*map(talk, range(20))) if answer]

    assert wrong == []


# --- silence -----------------------------------------------------------------------------------------------

# The server of these tests sends a comment after 0.3 s of silence and the chat model is silent for 4 s, so a read
# timeout of 3 s stands for the minute that clients and proxies really wait.


def test_long_silence_before_the_first_token_breaks_no_stream(connect):
    client = connect(max_retries=0, timeout=openai.Timeout(3.0))
    began = time.monotonic()

    stream = client.chat.completions.create(model="silent", messages=HI, stream=True)
    text = "".join(chunk.choices[0].delta.content or "" for chunk in stream)

    assert text == "At last"
    assert time.monotonic() - began > 3.5


async def test_long_silence_breaks_no_async_stream(live):
    async with AsyncOpenAI(
        base_url=live.base_url, api_key=live.keys["alice"], max_retries=0, timeout=openai.Timeout(3.0)
    ) as client:
        stream: Any = await client.chat.completions.create(model="silent", messages=HI, stream=True)
        text = "".join([chunk.choices[0].delta.content or "" async for chunk in stream])

    assert text == "At last"


def test_a_plain_request_that_gives_up_is_cancelled_on_the_server(connect, live):
    client = connect(max_retries=0, timeout=openai.Timeout(1.5))
    before = len(live.state()["submitted"])

    with pytest.raises(openai.APITimeoutError):
        client.chat.completions.create(model="endless", messages=HI)

    request_id = live.wait_for(lambda state: state["submitted"][before:])[0]
    assert live.wait_for(lambda state: request_id in state["cancelled"])
    assert live.wait_for(lambda state: request_id not in state["in_flight"])


# --- errors ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "options", "expected", "status", "code"),
    [
        ("nobody", {}, openai.NotFoundError, 404, "model_not_found"),
        ("hidden", {}, openai.NotFoundError, 404, "model_not_found"),
        ("parrot", {"temperature": 3}, openai.BadRequestError, 400, "invalid_value"),
        ("parrot", {"verbosity": "low"}, openai.BadRequestError, 400, "unsupported_parameter"),
        ("parrot", {"extra_body": {"top_q": 5}}, openai.BadRequestError, 400, "unknown_parameter"),
        ("tiny", {"messages": [{"role": "user", "content": "x " * 50}]}, openai.BadRequestError, 400,
         "context_length_exceeded"),
        ("offline", {}, openai.InternalServerError, 503, "no_worker"),
        ("busy", {}, openai.RateLimitError, 429, "queue_full"),
        ("fails-at-once", {}, openai.InternalServerError, 500, "engine_failure"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
def test_an_error_has_its_class_status_and_code_streamed_or_not(
    live, no_retries, model, options, expected, status, code, stream
):
    # On a busy machine a worker may take longer to refuse than the moment after which this server sends headers.
    with live.keeping_alive_after(60), pytest.raises(expected) as caught:
        no_retries.chat.completions.create(**{"model": model, "messages": HI, "stream": stream, **options})

    assert caught.value.status_code == status
    assert caught.value.code == code
    assert caught.value.type
    assert caught.value.request_id.startswith("req_")
    assert code != "model_not_found" or caught.value.param == "model"


def test_a_wrong_key_is_an_authentication_error(live):
    with (
        OpenAI(base_url=live.base_url, api_key="sk-wrong") as client,
        pytest.raises(openai.AuthenticationError) as caught,
    ):
        client.models.list()

    assert caught.value.code == "invalid_api_key"


@pytest.mark.parametrize("path", ["/images/generations", "/audio/speech", "/chat/completions/"])
def test_an_endpoint_that_is_not_there_is_a_not_found_error(no_retries, path):
    with pytest.raises(openai.NotFoundError) as caught:
        no_retries.post(path, body={}, cast_to=object)

    assert caught.value.code == "unknown_url"


@pytest.mark.parametrize(("model", "before"), [("fails-midway", "w0 w1 w2"), ("fails-late", "")])
def test_a_failure_in_mid_stream_is_raised_and_not_taken_for_the_end(no_retries, model, before):
    heard: list[str] = []
    stream = no_retries.chat.completions.create(model=model, messages=HI, stream=True)

    with pytest.raises(openai.APIError, match="fails here on purpose") as caught:
        heard.extend(chunk.choices[0].delta.content or "" for chunk in stream)

    assert "".join(heard) == before
    assert caught.value.code == "engine_failure"


def test_a_body_above_ten_mebibytes_is_refused(no_retries):
    with pytest.raises(openai.APIStatusError) as caught:
        no_retries.chat.completions.create(
            model="parrot", messages=[{"role": "user", "content": "x" * 10 * 2**20}]
        )

    assert caught.value.status_code == 413


# --- retries -----------------------------------------------------------------------------------------------


def test_a_full_queue_is_tried_again_after_the_time_it_names(connect, live):
    began = time.monotonic()

    completion = connect().chat.completions.create(model="recovers", messages=HI)

    assert completion.choices[0].message.content == "Back again"
    assert tries(live, "recovers") == 2
    assert time.monotonic() - began > 0.85, "the client chose its own pause, which is at most 0.5 s"


def test_a_queue_that_stays_full_is_tried_three_times(connect, live):
    before = tries(live, "busy")

    with pytest.raises(openai.RateLimitError):
        connect().chat.completions.create(model="busy", messages=HI)

    assert tries(live, "busy") == before + 3


@pytest.mark.parametrize(
    ("model", "options"), [("tiny", {"messages": [{"role": "user", "content": "x " * 50}]}), ("nobody", {})]
)
def test_what_cannot_become_right_is_tried_once(connect, live, model, options):
    before = len(live.state()["tries"])

    with pytest.raises(openai.APIStatusError):
        connect().chat.completions.create(**{"model": model, "messages": HI, **options})

    assert len(live.state()["tries"]) == before + (model == "tiny")


# --- the client goes away ----------------------------------------------------------------------------------


def test_closing_a_stream_stops_the_engine(no_retries, live):
    stream = no_retries.chat.completions.create(model="endless", messages=HI, stream=True)
    request_id = next(iter(stream)).id.removeprefix("chatcmpl-")
    assert request_id in live.state()["in_flight"]

    stream.close()

    assert live.wait_for(lambda state: request_id not in state["in_flight"])
    assert live.state()["cancelled"].count(request_id) == 1


def test_closing_a_silent_stream_stops_the_engine(no_retries, live):
    stream = no_retries.chat.completions.create(model="silent", messages=HI, stream=True)
    request_id = live.state()["submitted"][-1]

    stream.close()

    assert live.wait_for(lambda state: request_id not in state["in_flight"])
    assert request_id in live.state()["cancelled"]


def test_a_reply_that_was_read_to_its_end_was_never_cancelled(no_retries, live):
    stream = no_retries.chat.completions.create(model="parrot", messages=HI, stream=True)
    *_, last = stream
    request_id = last.id.removeprefix("chatcmpl-")
    no_retries.chat.completions.create(model="parrot", messages=HI)
    time.sleep(0.2)

    assert request_id not in live.state()["cancelled"]
    assert live.state()["submitted"][-1] not in live.state()["cancelled"]
