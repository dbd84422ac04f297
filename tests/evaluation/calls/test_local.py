"""The catalog's door: the same workers as the chat page has."""

from dataclasses import replace

import pytest
import redis

from evaluation.calls import Call, CallFailed, CatalogCaller, Completion, Outcome, Pool
from tests.workers.support import PATIENCE, wait_until
from workers.engines.base import Meter
from workers.engines.scripted import ScriptedEngine
from workers.protocol import Ability, ChatMessage, ErrorCode, Sampling

CALL = Call((ChatMessage("user", "two words"),), Sampling(max_tokens=5))


def outcome_of(chat_model: str, call: Call = CALL) -> Outcome[str]:
    with Pool[str](attempts=2, first_wait=0.01) as pool:
        pool.start("k", CatalogCaller(chat_model, timeout=PATIENCE), call)
        outcome = pool.next(PATIENCE)
    assert outcome is not None
    return outcome


def completion_of(chat_model: str) -> Completion:
    completion = outcome_of(chat_model).completion
    assert completion is not None
    return completion


def error_of(chat_model: str) -> CallFailed:
    error = outcome_of(chat_model).error
    assert error is not None
    return error


def test_it_returns_text_and_usage(workers_client):
    completion = completion_of("parrot")
    assert (completion.text, completion.outcome) == ("two words", "stop")
    assert (completion.prompt_tokens, completion.completion_tokens) == (2, 2)
    assert workers_client.requests[0].sampling.max_tokens == 5


def test_it_says_when_the_limit_cut_the_text(workers_client):
    workers_client.host_script("talker", "tokens=50")
    assert completion_of("talker").outcome == "length"


def test_a_chat_model_without_worker_may_come_back(workers_client):
    error = error_of("absent")
    assert (error.code, error.transient) == ("no_worker", True)


def test_a_broker_that_is_restarting_may_come_back(workers_client, monkeypatch):
    def away(request):
        raise redis.exceptions.ConnectionError("Error 111 connecting to unix:///secret/valkey.sock.")

    monkeypatch.setattr(workers_client, "submit", away)
    error = error_of("parrot")
    assert (error.code, error.transient) == ("broker", True)
    assert "valkey.sock" not in str(error)


def test_a_prompt_that_is_too_long_is_not_sent_again(workers_client):
    workers_client.host_script("narrow", "context=1")
    outcome = outcome_of("narrow")
    assert outcome.error is not None
    assert (outcome.error.code, outcome.failures) == ("context_overflow", 1)


def test_leaving_the_pool_stops_the_generation(workers_client):
    workers_client.host_script("slow", "tokens=10000&rate=10")
    with Pool[str]() as pool:
        pool.start("k", CatalogCaller("slow", timeout=PATIENCE), CALL)
        wait_until(lambda: workers_client.requests)
    workers_client.wait_idle()  # 1000 seconds of words would be left
    assert workers_client.requests


@pytest.mark.parametrize("count", [40])
def test_it_keeps_many_in_flight(workers_client, count):
    workers_client.host_script("steady", "tokens=10&rate=50&slots=64")
    with Pool[int]() as pool:
        caller = CatalogCaller("steady", timeout=PATIENCE)
        for number in range(count):
            pool.start(number, caller, Call(CALL.messages, Sampling()))
        outcomes = [pool.next(PATIENCE) for _ in range(count)]
    assert all(outcome and outcome.completion for outcome in outcomes)


SCHEMA_CALL = Call((ChatMessage("user", "two words"),), Sampling(), schema={"type": "object"})


class Structured(ScriptedEngine):
    """Says that it keeps to JSON schemas; `refuses` some of them after all."""

    def __init__(self, name: str, *, refuses: bool = False):
        super().__init__(name)
        self.hosted = replace(self.hosted, engine="structured", abilities=(Ability.CHAT, Ability.JSON_SCHEMA))
        self.refuses = refuses

    def stream(self, request, stop):
        if request.constraint and self.refuses:
            yield Meter().failed(ErrorCode.INVALID_REQUEST, "This schema is not known here.")
            return
        yield from super().stream(request, stop)


def test_who_can_is_held_to_the_schema(workers_client):
    workers_client.host(Structured("clerk"))
    assert outcome_of("clerk", SCHEMA_CALL).completion
    [request] = workers_client.requests
    assert (request.constraint.kind, request.constraint.value) == ("json_schema", '{"type": "object"}')


def test_who_cannot_is_asked_without_the_schema(workers_client):
    assert outcome_of("parrot", SCHEMA_CALL).completion
    assert [request.constraint for request in workers_client.requests] == [None]


def test_an_engine_that_refuses_the_schema_is_asked_without_it_from_there_on(workers_client):
    workers_client.host(Structured("picky", refuses=True))
    caller = CatalogCaller("picky", timeout=PATIENCE)
    with Pool[str](attempts=1) as pool:
        for _ in range(2):
            pool.start("k", caller, SCHEMA_CALL)
            outcome = pool.next(PATIENCE)
            assert outcome
            assert outcome.completion
    assert [bool(request.constraint) for request in workers_client.requests] == [True, False, False]
