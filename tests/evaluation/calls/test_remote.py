"""The OpenAI-compatible door: what is sent, and what becomes of each kind of answer."""

import asyncio
import json

import httpx
import pytest

from evaluation.calls import Call, CallFailed, RemoteCaller, models_at
from workers.protocol import ChatMessage, Sampling

CALL = Call(
    (ChatMessage("system", "Judge."), ChatMessage("user", "2+2?")), Sampling(temperature=0, max_tokens=9)
)
FINE = {
    "choices": [{"message": {"content": "[[8]]"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 12, "completion_tokens": 3},
}


def ask(handler, call=CALL, times=1, **values):
    async def go():
        caller = RemoteCaller(
            base_url="https://judge.example/v1",
            model="strict",
            transport=httpx.MockTransport(handler),
            **{"key": "sk-geheim", **values},
        )
        try:
            return [await caller.ask(call) for _ in range(times)][-1]
        finally:
            await caller.close()

    return asyncio.run(go())


def test_it_sends_messages_settings_and_key():
    seen = []

    def handler(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, json=FINE)

    completion = ask(handler)
    assert str(seen[0].url) == "https://judge.example/v1/chat/completions"
    assert seen[0].headers["authorization"] == "Bearer sk-geheim"
    assert json.loads(seen[0].content) == {
        "model": "strict",
        "messages": [{"role": "system", "content": "Judge."}, {"role": "user", "content": "2+2?"}],
        "temperature": 0,
        "max_tokens": 9,
    }
    assert (completion.text, completion.prompt_tokens, completion.completion_tokens) == ("[[8]]", 12, 3)


def test_it_asks_for_a_schema_and_does_without_where_that_is_refused():
    bodies = []

    def handler(request):
        bodies.append(json.loads(request.content))
        return httpx.Response(400 if "response_format" in bodies[-1] else 200, json=FINE)

    ask(handler, Call(CALL.messages, CALL.sampling, {"type": "object"}), times=2)
    assert ["response_format" in body for body in bodies] == [True, False, False]
    assert bodies[0]["response_format"]["json_schema"]["schema"] == {"type": "object"}


@pytest.mark.parametrize("status", [429, 500, 503])
def test_an_overload_may_be_tried_again_when_the_server_says(status):
    with pytest.raises(CallFailed) as failed:
        ask(lambda request: httpx.Response(status, headers={"retry-after": "7"}, json={}))
    assert failed.value.transient
    assert failed.value.retry_after == 7


@pytest.mark.parametrize(("status", "remedy"), [(401, "API key"), (403, "API key"), (404, "model name")])
def test_a_wrong_key_or_model_ends_everything_with_a_remedy(status, remedy):
    with pytest.raises(CallFailed, match=remedy) as failed:
        ask(lambda request: httpx.Response(status, json={"error": {"code": "nope"}}))
    assert failed.value.fatal


def test_its_errors_hold_neither_key_nor_the_servers_own_words():
    body = {"error": {"message": "Incorrect API key provided: sk-geheim", "code": "invalid_api_key"}}
    with pytest.raises(CallFailed) as failed:
        ask(lambda request: httpx.Response(401, json=body))
    assert "sk-geheim" not in str(failed.value)
    assert "invalid_api_key" in str(failed.value)


@pytest.mark.parametrize(
    "body", ["<html>", "{}", '{"choices": []}', '{"choices": [{"message": null}]}', "[1]"]
)
def test_an_answer_that_is_none_may_be_tried_again(body):
    with pytest.raises(CallFailed, match="not a chat completion") as failed:
        ask(lambda request: httpx.Response(200, text=body))
    assert failed.value.transient


def test_a_dead_server_may_be_tried_again():
    def refuse(request):
        raise httpx.ConnectError("refused")

    with pytest.raises(CallFailed, match="cannot be reached") as failed:
        ask(refuse)
    assert failed.value.transient


class TestWhichModelsAServerLists:
    def listed(self, handler, **values):
        return models_at(
            base_url="https://judge.example/v1/", transport=httpx.MockTransport(handler), **values
        )

    def test_it_asks_for_the_list_with_the_key(self):
        seen = []

        def handler(request):
            seen.append((str(request.url), request.headers["authorization"]))
            return httpx.Response(200, json={"data": [{"id": "strict"}, {"id": "mild"}]})

        assert self.listed(handler, key="sk-geheim") == ["strict", "mild"]
        assert seen == [("https://judge.example/v1/models", "Bearer sk-geheim")]

    @pytest.mark.parametrize(
        "response",
        [
            httpx.Response(404),
            httpx.Response(500, text="oops"),
            httpx.Response(200, text="<html>"),
            httpx.Response(200, json={"data": [{"name": "x"}]}),
            httpx.Response(200, json=["x"]),
        ],
        ids=["no such path", "broken", "no JSON", "another shape", "a list"],
    )
    def test_a_server_without_such_a_list_lists_none(self, response):
        assert self.listed(lambda request: response) == []

    @pytest.mark.parametrize("status", [401, 403])
    def test_a_key_that_is_not_taken_is_said(self, status):
        with pytest.raises(CallFailed, match=rf"{status} \(invalid_api_key\)\. Check the API key"):
            self.listed(
                lambda request: httpx.Response(status, json={"error": {"code": "invalid_api_key"}}),
                key="sk-geheim",
            )

    def test_a_server_that_is_not_there_is_said(self):
        def handler(request):
            raise httpx.ConnectError("refused", request=request)

        with pytest.raises(CallFailed, match="cannot be reached"):
            self.listed(handler)
