"""The engine against a server that keeps to OpenAI's API, and against one that does not."""

import base64
import threading
import time
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.workers.engines.upstream.conftest import USAGE, Handler, chunk, refuses, says
from tests.workers.support import make_request
from workers.engines.base import EngineError, StopSignal, run
from workers.protocol import (
    Ability,
    Delta,
    Embedded,
    EmbeddingRequest,
    ErrorCode,
    Failed,
    Finished,
    FinishReason,
    GenerationRequest,
    ToolCallDelta,
    Usage,
)


def heard(
    engine, request: GenerationRequest | None = None, stop: StopSignal | None = None
) -> tuple[str, Any]:
    """The text and the last event."""
    *deltas, last = run(engine, request or make_request("Hello"), stop or StopSignal())
    assert all(isinstance(delta, Delta) for delta in deltas)
    return "".join(delta.text for delta in deltas if isinstance(delta, Delta)), last


def test_it_passes_an_answer_on(server, make_engine):
    server.plans = [says("Hello", " there", " ✓")]

    text, last = heard(make_engine())

    assert text == "Hello there ✓"
    assert (last.reason, last.usage) == (FinishReason.STOP, Usage(7, 3))
    assert last.timing.first_token is not None


def test_it_describes_what_the_server_serves(make_engine):
    hosted = make_engine(slots=7).hosted

    assert (hosted.name, hosted.engine, hosted.context_length, hosted.slots) == ("far", "upstream", 4096, 7)
    assert hosted.can(Ability.JSON_SCHEMA)


def test_it_counts_pieces_when_the_server_does_not_count(server, make_engine):
    server.plans = [says("one", " two", usage=False)]

    _, last = heard(make_engine())

    assert last.usage.completion_tokens == 2


def test_it_sends_the_key_and_never_shows_it(server, make_engine, monkeypatch, caplog):
    monkeypatch.setenv("CHATSITE_UPSTREAM_KEY", "sk-very-secret")
    server.plans = [refuses(401, {"message": "bad key sk-very-secret"})]
    engine = make_engine(f"{server.url}?key=CHATSITE_UPSTREAM_KEY#tiny")

    _, last = heard(engine)

    assert server.keys == ["Bearer sk-very-secret"]
    assert last.code is ErrorCode.ENGINE_FAILURE
    assert "CHATSITE_UPSTREAM_KEY" in caplog.text
    for shown in (caplog.text, last.message, repr(engine.hosted), repr(engine.upstream)):
        assert "sk-very-secret" not in shown


def test_it_hides_a_stop_string_that_comes_in_pieces(server, make_engine):
    server.plans = [says("one ST", "O", "P two")]

    text, last = heard(make_engine(), make_request("Hello", stop=("STOP",)))

    assert (text, last.reason) == ("one ", FinishReason.STOP)


def test_it_tries_again_before_the_first_piece(server, make_engine):
    server.plans = [refuses(429, retry_after_ms="1"), refuses(503), says("at last")]

    text, last = heard(make_engine())

    assert (text, last.reason, len(server.asked)) == ("at last", FinishReason.STOP, 3)


def test_it_never_tries_again_behind_the_first_piece(server, make_engine):
    def breaks_off(handler: Handler) -> None:
        handler.begin()
        handler.say(chunk("It began"))

    server.plans = [breaks_off]

    text, last = heard(make_engine())

    assert text == "It began"
    assert (last.code, len(server.asked)) == (ErrorCode.ENGINE_FAILURE, 1)


def test_it_gives_up_after_a_while(server, make_engine):
    server.plans = [refuses(429)]

    _, last = heard(make_engine())

    assert (last.code, len(server.asked)) == (ErrorCode.QUEUE_FULL, 5)


@pytest.mark.parametrize(
    ("plan", "code", "param"),
    [
        (refuses(400, {"code": "context_length_exceeded"}), ErrorCode.CONTEXT_OVERFLOW, ""),
        (refuses(400, {"message": "a person's words", "param": "top_p"}), ErrorCode.INVALID_REQUEST, "top_p"),
        (
            refuses(422, {"message": "a person's words", "param": "a person's words"}),
            ErrorCode.INVALID_REQUEST,
            "",
        ),
        (refuses(403), ErrorCode.ENGINE_FAILURE, ""),
        (refuses(418, "I am a teapot"), ErrorCode.ENGINE_FAILURE, ""),
    ],
)
def test_it_says_why_there_is_no_answer_without_repeating_words(server, make_engine, plan, code, param):
    server.plans = [plan]

    _, last = heard(make_engine())

    assert (last.code, last.param, len(server.asked)) == (code, param, 1)
    assert "person" not in last.message


@pytest.mark.parametrize("nonsense", ["not json", "[1, 2]", '{"error": {"message": "out of memory"}}', "{}"])
def test_nonsense_in_mid_answer_is_a_failure_and_no_hang(server, make_engine, nonsense):
    def plan(handler: Handler) -> None:
        handler.begin()
        handler.say(chunk("It began"))
        handler.say(nonsense)

    server.plans = [plan]

    text, last = heard(make_engine())

    assert (text, last.code) == ("It began", ErrorCode.ENGINE_FAILURE)


def test_a_stop_is_heard_while_the_server_is_silent_and_closes_the_connection(server, make_engine):
    begun = threading.Event()

    def goes_on(handler: Handler) -> None:
        handler.begin()
        handler.say(chunk("word"))
        begun.set()
        while True:  # until the client goes away
            handler.say(chunk(""))
            time.sleep(0.01)

    server.plans = [goes_on]
    stop = StopSignal()
    events = make_engine().stream(make_request("Hello"), stop)
    assert next(events).text == "word"
    assert begun.wait(120)

    stop.set("cancelled")
    *_, last = events

    assert isinstance(last, Finished)
    assert last.reason is FinishReason.CANCELLED
    assert server.gone.wait(120)


def test_a_reader_that_goes_away_closes_the_connection(server, make_engine):
    def goes_on(handler: Handler) -> None:
        handler.begin()
        while True:
            handler.say(chunk("word"))
            time.sleep(0.01)

    server.plans = [goes_on]
    events = make_engine().stream(make_request("Hello"), StopSignal())
    next(events)

    events.close()

    assert server.gone.wait(120)


def test_tool_calls_and_thoughts_come_as_such(server, make_engine):
    call = {"index": 0, "id": "c1", "function": {"name": "look", "arguments": "{}"}}

    def plan(handler: Handler) -> None:
        handler.begin()
        handler.say(chunk(reasoning_content="Hm."))
        handler.say(chunk(tool_calls=[call]))
        handler.say(chunk(finish="tool_calls"))
        handler.say(USAGE)
        handler.say("[DONE]")

    server.plans = [plan]

    thought, called, last = make_engine().stream(make_request("Hello"), StopSignal())

    assert (thought.reasoning, thought.text) == ("Hm.", "")
    assert called.tool_calls == (ToolCallDelta(0, "c1", "look", "{}"),)
    assert last.reason is FinishReason.STOP


def test_an_answer_that_has_begun_is_gone_on_with_only_where_the_server_can(server, make_engine):
    server.plans = [says(" and on")]
    request = replace(make_request("Hello"), prefix="On")

    assert heard(make_engine(), request)[0] == " and on"
    assert [asked["path"] for asked in server.asked] == ["/tokenize", "/v1/chat/completions"]
    server.asked.clear()
    _, last = heard(make_engine(f"{server.url}#tiny"), request)

    assert last.code is ErrorCode.WORKER_LOST
    assert not server.asked


def test_the_limit_is_of_the_whole_answer(server, make_engine):
    def plan(handler: Handler) -> None:
        if handler.path == "/tokenize":
            handler.answer(200, {"tokens": [1, 2, 3]})
        else:
            says(" and on")(handler)

    server.plans = [plan]

    _, last = heard(make_engine(), replace(make_request("Hello", max_tokens=10), prefix="On and on"))

    assert server.asked[-1]["max_tokens"] == 7
    assert last.usage.completion_tokens == 3 + 3  # those before, and what the server counts


def test_a_server_without_an_ability_is_not_asked(server, make_engine):
    request = make_request("Hello", top_k=3)

    *_, last = run(make_engine(f"{server.url}#tiny"), request, StopSignal())

    assert isinstance(last, Failed)
    assert (last.code, last.param) == (ErrorCode.INVALID_REQUEST, "top_k")
    assert not server.asked


def test_many_are_answered_at_once(server, make_engine):
    together = threading.Barrier(12)

    def waits(handler: Handler) -> None:
        together.wait(120)
        says("together")(handler)

    server.plans = [waits]
    engine, texts = make_engine(), []
    threads = [threading.Thread(target=lambda: texts.append(heard(engine)[0])) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)

    assert texts == ["together"] * 12


def _embed(engine, *inputs):
    request = EmbeddingRequest("a" * 32, "far", inputs, time.time() + 60)
    return list(run(engine, request, StopSignal()))


def test_vectors_come_normalised_and_in_order(server, make_engine):
    numbers = base64.b64encode(np.array([0.0, 2.0], "<f4").tobytes()).decode()
    data = [{"index": 1, "embedding": [3.0, 4.0]}, {"index": 0, "embedding": numbers}]
    server.plans = [lambda handler: handler.answer(200, {"data": data, "usage": {"prompt_tokens": 5}})]

    embedded, last = _embed(make_engine(f"{server.url}?abilities=embeddings#tiny"), "a", "b")

    assert isinstance(embedded, Embedded)
    vectors = [np.frombuffer(base64.b64decode(vector), "<f4").tolist() for vector in embedded.vectors]
    assert vectors == [[0.0, 1.0], pytest.approx([0.6, 0.8])]
    assert last.usage.prompt_tokens == 5


@pytest.mark.parametrize(
    "data", [[], [{"embedding": "!"}], [{"embedding": [0.0]}], [{"index": 5, "embedding": [1.0]}], "no"]
)
def test_vectors_that_are_none_are_a_failure(server, make_engine, data):
    server.plans = [lambda handler: handler.answer(200, {"data": data})]

    (last,) = _embed(make_engine(f"{server.url}?abilities=embeddings#tiny"), "a")

    assert last.code is ErrorCode.ENGINE_FAILURE


def test_a_missing_key_is_named_before_anything_is_asked(server, make_engine, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(EngineError, match="OPENAI_API_KEY is not set"):
        make_engine("openai:gpt-5-mini")


def test_a_model_that_is_not_there_is_named_with_those_that_are(server, make_engine):
    with pytest.raises(EngineError, match=r"does not serve 'huge'.*tiny"):
        make_engine(f"vllm:huge?base_url={server.url}")


@pytest.mark.parametrize(("status", "hint"), [(401, "CHATSITE_UPSTREAM_KEY"), (404, "/v1"), (500, "500")])
def test_a_server_that_refuses_its_list_says_why(server, make_engine, status, hint):
    server.models_status = status
    with pytest.raises(EngineError, match=hint):
        make_engine()


@pytest.mark.parametrize("models", [b"<html>", {"data": []}, {}, [1]])
def test_a_list_that_says_nothing_says_nothing_against_the_model(server, make_engine, models):
    server.models = models
    if models == b"<html>":
        with pytest.raises(EngineError, match="as expected"):
            make_engine()
    else:
        assert make_engine().hosted.context_length == 0


def test_a_server_that_is_away_is_named(make_engine):
    with pytest.raises(EngineError, match="cannot be reached"):
        make_engine("vllm:tiny?base_url=http://127.0.0.1:9/v1")
