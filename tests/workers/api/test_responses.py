"""Responses: made, kept, continued, streamed again, cancelled; and chat completions that are stored."""

import asyncio
import base64
import json
from functools import partial
from typing import Any

import pytest

from chatsite.accounts.models import UsageRecord
from chatsite.accounts.services import api_keys
from tests.factories import make_chat_model
from tests.workers.api.conftest import Api, error_of
from tests.workers.api.test_chat_wishes import Plain
from tests.workers.support import make_request, wait_until
from workers.api.responses import serving
from workers.api.responses.items import parse, to_messages
from workers.api.stored import keeping
from workers.models import StoredCompletion, StoredResponse
from workers.protocol import ChatMessage, ToolCall


def create(api: Api, input: Any = "Hello there", _headers: dict[str, str] | None = None, **body: Any) -> Any:  # noqa: A002
    body = {"model": "parrot", "input": input, **body}
    return api.post("/v1/responses", body, headers={**api.headers, **(_headers or {})})


def text_of(body: dict[str, Any]) -> str:
    return "".join(
        part["text"] for item in body["output"] if item["type"] == "message" for part in item["content"]
    )


@pytest.fixture
def other(bob) -> Api:
    return Api(api_keys.create(owner=bob, name="tests")[1])


def test_it_answers_with_a_response_that_can_be_looked_up(api, workers_client):
    answer = create(
        api, metadata={"a": "b"}, temperature=0.25, max_output_tokens=50, instructions="Be brief."
    )

    assert answer.status_code == 200
    body = answer.json()
    assert body["id"] == "resp_" + answer["x-request-id"].removeprefix("req_")
    assert (body["object"], body["status"], body["model"]) == ("response", "completed", "parrot")
    assert text_of(body) == "Hello there"
    assert (body["temperature"], body["max_output_tokens"], body["instructions"]) == (0.25, 50, "Be brief.")
    assert body["metadata"] == {"a": "b"}
    assert body["usage"]["output_tokens"] == 2
    assert api.get(f"/v1/responses/{body['id']}").json() == body
    request = workers_client.requests[0]
    assert request.messages == (ChatMessage("system", "Be brief."), ChatMessage("user", "Hello there"))
    assert request.sampling.max_tokens == 50


def test_its_tokens_are_charged_once(api, workers_client):
    create(api)

    workers_client.deliver_reports()

    record = UsageRecord.objects.get()
    assert (record.source, record.completion_tokens) == ("api", 2)


def test_one_that_is_not_stored_leaves_nothing_behind(api, workers_client):
    body = create(api, store=False).json()

    assert api.get(f"/v1/responses/{body['id']}").status_code == 404
    workers_client.deliver_reports()
    assert not StoredResponse.objects.exists()
    assert UsageRecord.objects.count() == 1


def test_the_conversation_goes_on_behind_a_previous_response(api, workers_client):
    first = create(api, "My name is Ada.").json()
    second = create(api, "And yours?", previous_response_id=first["id"]).json()
    create(api, "Bye", previous_response_id=second["id"], instructions="Be sad.")

    assert workers_client.requests[2].messages == (
        ChatMessage("system", "Be sad."),
        ChatMessage("user", "My name is Ada."),
        ChatMessage("assistant", "My name is Ada."),
        ChatMessage("user", "And yours?"),
        ChatMessage("assistant", "And yours?"),
        ChatMessage("user", "Bye"),
    )
    items = api.get(f"/v1/responses/{second['id']}/input_items?order=asc").json()["data"]
    assert [item["role"] for item in items] == ["user", "assistant", "user"]
    page = api.get(
        f"/v1/responses/{second['id']}/input_items?order=asc&limit=1&after={items[0]['id']}"
    ).json()
    assert [item["id"] for item in page["data"]] == [items[1]["id"]]
    assert page["has_more"]


def test_a_result_belongs_to_a_call_of_this_request_or_of_the_ones_before(api, workers_client):
    call = {"type": "function_call", "call_id": "c1", "name": "time", "arguments": "{}"}
    result = {"type": "function_call_output", "call_id": "c1", "output": "noon"}
    first = create(api, input=[call, result]).json()
    workers_client.deliver_reports()

    assert create(api, previous_response_id=first["id"], input=[result]).status_code == 200
    counted = {"model": "parrot", "input": [{**result, "call_id": "c2"}]}
    refused = api.post("/v1/responses/input_tokens", counted)
    assert error_of(refused)["param"] == "input[0].call_id"


def test_what_the_chat_model_cannot_do_is_named_as_the_caller_named_it(api, workers_client):
    make_chat_model("plain")
    workers_client.host(Plain("plain"))

    error = error_of(create(api, model="plain", reasoning={"effort": "high"}))

    assert error["param"] == "reasoning.effort"
    assert "('reasoning.effort')" in error["message"]


def test_a_chat_models_own_system_prompt_is_used_without_instructions(api, parrot, workers_client):
    parrot.system_prompt = "Be brief."
    parrot.save()

    create(api)

    assert workers_client.requests[0].messages[0] == ChatMessage("system", "Be brief.")


PNG = "data:image/png;base64," + base64.b64encode(b"\x89PNG\r\n\x1a\nrest").decode()


def test_items_become_the_workers_messages():
    found = parse(
        [
            {"role": "developer", "content": "Help."},
            {"role": "user", "content": [{"type": "input_text", "text": "a"}, {"type": "input_text", "text": "b"}]},
            {"type": "reasoning", "id": "rs_1", "summary": [], "content": [{"type": "reasoning_text", "text": "Hm"}]},
            {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Wait"}]},
            {"type": "function_call", "call_id": "c1", "name": "time", "arguments": "{}"},
            {"type": "function_call", "call_id": "c2", "name": "place", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "c1", "output": "noon"},
            {"type": "function_call_output", "call_id": "c2", "output": [{"type": "input_text", "text": "Rome"}]},
            {"role": "user", "content": [{"type": "input_image", "image_url": PNG}]},
        ]
    )  # fmt: skip

    assert to_messages("Be kind.", found) == (
        ChatMessage("system", "Be kind."),
        ChatMessage("system", "Help."),
        ChatMessage("user", "a\nb"),
        ChatMessage(
            "assistant", "Wait", reasoning="Hm",
            tool_calls=(ToolCall("c1", "time", "{}"), ToolCall("c2", "place", "{}")),
        ),
        ChatMessage("tool", "noon", tool_call_id="c1", name="time"),
        ChatMessage("tool", "Rome", tool_call_id="c2", name="place"),
        ChatMessage("user", "", images=(PNG,)),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"input": None}, "input"),
        ({"input": 7}, "input"),
        ({"input": []}, "input"),
        ({"input": [{"role": "pope", "content": "Hi"}]}, "input[0].role"),
        ({"input": [{"role": "user"}]}, "input[0].content"),
        ({"input": [{"role": "user", "content": [{"type": "input_audio"}]}]}, "input[0].content[0].type"),
        ({"input": [{"type": "computer_call"}]}, "input[0].type"),
        ({"input": [{"type": "function_call_output", "output": "x"}]}, "input[0].call_id"),
        ({"input": [{"type": "function_call_output", "call_id": "9", "output": "x"}]}, "input[0].call_id"),
        (
            {"input": [{"role": "user", "content": [{"type": "input_image", "image_url": "http://x"}]}]},
            "input[0].content[0].image_url",
        ),
        ({"model": None}, "model"),
        ({"temperature": 3}, "temperature"),
        ({"max_output_tokens": 0}, "max_output_tokens"),
        ({"previous_response_id": "resp_none"}, "previous_response_id"),
        ({"tools": [{"type": "web_search"}]}, "tools[0].type"),
        ({"tools": [{"type": "function"}]}, "tools[0].name"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"tool_choice": {"type": "function", "name": "x"}}, "tool_choice.name"),
        ({"text": {"format": {"type": "xml"}}}, "text.format.type"),
        ({"text": {"format": {"type": "json_schema", "name": "x"}}}, "text.format.schema"),
        ({"text": {"format": {"type": "text", "schema": {}}}}, "text.format.schema"),
        (
            {"text": {"format": {"type": "json_schema", "name": "x", "strict": True, "schema": {"uniqueItems": True}}}},
            "text.format.schema.uniqueItems",
        ),
        (
            {"text": {"format": {"type": "json_schema", "name": "x", "schema": {"type": "all"}}}},
            "text.format.schema.type",
        ),
        ({"tools": [{"type": "function", "name": "f", "parameters": {"type": "array"}}]}, "tools[0].parameters.type"),
        ({"tools": [{"type": "function", "name": "no name"}]}, "tools[0].name"),
        (
            {"tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": [{"name": "x"}]}},
            "tool_choice.tools[0].name",
        ),
        ({"tool_choice": {"type": "web_search"}}, "tool_choice.type"),
        ({"reasoning": {"effort": "enormous"}}, "reasoning.effort"),
        (
            {"input": [{"type": "function_call", "call_id": "1", "name": "f", "arguments": "{"}]},
            "input[0].arguments",
        ),
        ({"text": {"verbosity": "high"}}, "text.verbosity"),
        ({"reasoning": {"summary": "detailed"}}, "reasoning.summary"),
        ({"include": ["web_search_call.results"]}, "include"),
        ({"truncation": "auto"}, "truncation"),
        ({"background": True, "store": False}, "background"),
        ({"stream_options": {}}, "stream_options"),
        ({"metadata": {"a": 1}}, "metadata.a"),
        ({"inputs": "x"}, "inputs"),
    ],
)  # fmt: skip
def test_a_bad_parameter_is_refused_by_name(api, workers_client, change, param):
    refused = create(api, **change)

    assert refused.status_code in (400, 404)
    assert error_of(refused)["param"] == param
    assert workers_client.requests == []
    assert not StoredResponse.objects.exists()


def test_tools_and_formats_reach_the_workers(api, workers_client):
    tools = [
        {"type": "function", "name": name, "parameters": {"type": "object"}} for name in ("time", "place")
    ]
    schema = {"type": "object", "properties": {"a": {"type": "string"}}}
    create(
        api, tools=tools, tool_choice={"type": "function", "name": "place"}, reasoning={"effort": "low"},
        text={"format": {"type": "json_schema", "name": "x", "schema": schema, "strict": True}},
    )  # fmt: skip

    request = workers_client.requests[0]
    assert [tool.name for tool in request.tools] == ["place"]
    assert (request.tool_choice, request.reasoning_effort) == ("required", "low")
    assert json.loads(request.constraint.value) == schema


def test_some_of_the_tools_can_be_allowed(api, workers_client):
    tools = [{"type": "function", "name": name} for name in ("time", "place", "weather")]
    allowed = [{"type": "function", "name": name} for name in ("place", "time")]
    create(api, tools=tools, tool_choice={"type": "allowed_tools", "mode": "required", "tools": allowed})

    request = workers_client.requests[0]
    assert [tool.name for tool in request.tools] == ["place", "time"]
    assert request.tool_choice == "required"


def test_the_tokens_of_a_prompt_are_counted_without_making_a_response(api, workers_client):
    first = create(api, "one two three").json()

    counted = api.post(
        "/v1/responses/input_tokens",
        {"model": "parrot", "input": "four five", "instructions": "six", "previous_response_id": first["id"]},
    )

    # The first turn with its answer, the instructions and what is new; the scripted engine counts words.
    plain = api.post("/v1/tokenize", {"model": "parrot", "messages": [
        {"role": "system", "content": "six"}, {"role": "user", "content": "one two three"},
        {"role": "assistant", "content": "one two three"}, {"role": "user", "content": "four five"},
    ]})  # fmt: skip
    assert counted.json() == {"object": "response.input_tokens", "input_tokens": plain.json()["count"]}
    assert StoredResponse.objects.count() == 1


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"input": ...}, "input"),
        ({"temperature": 1}, "temperature"),
        ({"truncation": "auto"}, "truncation"),
        ({"personality": "friendly"}, "personality"),
        ({"previous_response_id": "resp_none"}, "previous_response_id"),
        ({"model": "nobody"}, "model"),
    ],
)
def test_a_count_that_is_wrong_is_refused_by_name(api, change, param):
    body = {"model": "parrot", "input": "Hello", **change}

    refused = api.post("/v1/responses/input_tokens", {k: v for k, v in body.items() if v is not ...})

    assert error_of(refused)["param"] == param


def test_what_no_worker_takes_is_not_kept(api):
    make_chat_model("offline")

    assert create(api, model="offline").status_code == 503
    assert not StoredResponse.objects.exists()


def test_a_failure_is_an_http_error_and_the_response_says_failed(api, workers_client):
    workers_client.host_script("parrot", "tokens=5&fail_after=2")

    answer = create(api)

    assert answer.status_code == 500
    assert StoredResponse.objects.get().status == "failed"


# --- in the background -------------------------------------------------------------------------------------


def test_a_background_response_is_queued_and_then_done_though_nobody_watches(api, workers_client):
    body = create(api, background=True).json()
    assert (body["status"], body["output"]) == ("queued", [])

    workers_client.deliver_reports()

    done = api.get(f"/v1/responses/{body['id']}").json()
    assert done["status"] == "completed"
    assert text_of(done) == "Hello there"
    assert done["background"] is True


def test_whoever_looks_before_the_report_came_sees_it_done_as_well(api, workers_client):
    body = create(api, background=True).json()
    workers_client.wait_idle()

    assert api.get(f"/v1/responses/{body['id']}").json()["status"] == "completed"
    workers_client.deliver_reports()
    assert UsageRecord.objects.count() == 1


def test_a_report_is_enough_when_the_stream_is_gone(api, workers_client, valkey):
    body = create(api, background=True).json()
    workers_client.wait_idle()
    valkey.flushall()

    workers_client.deliver_reports()

    assert text_of(api.get(f"/v1/responses/{body['id']}").json()) == "Hello there"


def test_one_that_was_lost_with_everything_ends_as_failed(api, workers_client, valkey, settings):
    body = create(api, background=True).json()
    workers_client.wait_idle()
    valkey.flushall()
    assert api.get(f"/v1/responses/{body['id']}").json()["status"] == "queued"
    settings.GENERATION_TIMEOUT = -1000

    lost = api.get(f"/v1/responses/{body['id']}").json()

    assert (lost["status"], lost["error"]["code"]) == ("failed", "expired")


def test_a_background_response_can_be_cancelled(api, workers_client):
    workers_client.host_script("parrot", "tokens=2000&rate=50")
    body = create(api, background=True).json()
    request_id = workers_client.requests[0].id
    wait_until(lambda: workers_client.state(request_id) == "running", 30)
    assert api.get(f"/v1/responses/{body['id']}").json()["status"] == "in_progress"

    cancelled = api.post(f"/v1/responses/{body['id']}/cancel", {}).json()

    assert cancelled["status"] == "cancelled"
    assert api.get(f"/v1/responses/{body['id']}").json()["status"] == "cancelled"
    assert api.post(f"/v1/responses/{body['id']}/cancel", {}).json()["status"] == "cancelled"
    assert workers_client.deliver_reports()[0].outcome == "cancelled"


def test_only_a_background_response_can_be_cancelled(api):
    body = create(api).json()

    refused = api.post(f"/v1/responses/{body['id']}/cancel", {})
    assert error_of(refused)["code"] == "not_a_background_response"


def test_a_conversation_cannot_go_on_behind_what_is_not_finished(api, workers_client):
    workers_client.host_script("parrot", "tokens=2000&rate=50")
    body = create(api, background=True).json()

    refused = create(api, previous_response_id=body["id"])

    assert error_of(refused)["param"] == "previous_response_id"
    api._client.delete(f"/v1/responses/{body['id']}", headers=api.headers)
    assert workers_client.deliver_reports()[0].outcome == "cancelled"


# --- streams -----------------------------------------------------------------------------------------------


async def read(reply: Any, after: int | None = None) -> list[dict[str, Any]]:
    """The events that a client gets."""
    response: Any = await reply.respond()
    data = b"".join([piece async for piece in response.streaming_content])
    return [json.loads(line[6:]) for line in data.split(b"\n") if line.startswith(b"data: ")]


def submitted(workers_client: Any, **values: Any) -> serving.Reply:
    """A reply to follow, without the database: what `submit` returns."""
    request = make_request("one two three four")
    workers_client.submit(request)
    body = {"id": f"resp_{request.id}", "output": [], "status": "in_progress"}
    options = {"stored": False, "background": False, "stream": True, **values}
    return serving.Reply(request_id=request.id, body=body, **options)


async def test_a_stream_has_typed_events_and_ends_with_the_whole_response(workers_client):
    events = await read(await asyncio.to_thread(submitted, workers_client))

    assert [event["type"] for event in events[:2]] == ["response.created", "response.in_progress"]
    assert events[-1]["type"] == "response.completed"
    deltas = [e["delta"] for e in events if e["type"] == "response.output_text.delta"]
    assert "".join(deltas) == "one two three four" == text_of(events[-1]["response"])
    assert [event["sequence_number"] for event in events] == list(range(len(events)))


async def test_a_stream_is_gone_on_with_behind_the_last_number(workers_client):
    reply = await asyncio.to_thread(submitted, workers_client)
    whole = await read(reply)

    for after in (0, 4, len(whole) - 2):
        following = serving.Following(reply.request_id, reply.body, stored=False, lives_on=True)
        response: Any = await following.streamed(after)
        data = b"".join([piece async for piece in response.streaming_content])
        events = [json.loads(line[6:]) for line in data.split(b"\n") if line.startswith(b"data: ")]
        assert [event["sequence_number"] for event in events] == list(range(after + 1, len(whole)))
        assert events[-1]["response"]["output"] == whole[-1]["response"]["output"]


def stands(workers_client: Any, request_id: str, state: str) -> bool:
    return bool(workers_client.state(request_id) == state)


async def test_a_client_that_goes_away_stops_what_nobody_else_waits_for(workers_client):
    workers_client.host_script("parrot", "tokens=2000&rate=50")
    for background, state in ((False, "done"), (True, "running")):
        reply = await asyncio.to_thread(submitted, workers_client, background=background)
        response: Any = await reply.respond()
        pieces = response.streaming_content.__aiter__()
        for _ in range(3):
            await pieces.__anext__()
        await pieces.aclose()
        response.close()
        await asyncio.to_thread(wait_until, partial(stands, workers_client, reply.request_id, state), 30)
        workers_client.cancel(reply.request_id)


def test_a_stream_that_is_not_kept_any_more_says_so(api, valkey):
    body = create(api).json()
    valkey.flushall()

    refused = api.get(f"/v1/responses/{body['id']}?stream=true")
    assert error_of(refused)["code"] == "stream_expired"
    assert error_of(api.get(f"/v1/responses/{body['id']}?starting_after=2"))["param"] == "starting_after"


# --- whose it is -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path"), [("get", ""), ("delete", ""), ("post", "/cancel"), ("get", "/input_items")]
)
def test_somebody_elses_response_does_not_exist(api, other, method, path):
    body = create(api).json()

    refused = getattr(other._client, method)(f"/v1/responses/{body['id']}{path}", headers=other.headers)

    assert error_of(refused)["code"] == "response_not_found"
    assert StoredResponse.objects.count() == 1
    assert error_of(create(other, previous_response_id=body["id"]))["param"] == "previous_response_id"


def test_a_deleted_response_is_gone(api):
    body = create(api).json()

    deleted = api._client.delete(f"/v1/responses/{body['id']}", headers=api.headers)

    assert deleted.json() == {"id": body["id"], "object": "response", "deleted": True}
    assert api.get(f"/v1/responses/{body['id']}").status_code == 404


# --- stored chat completions -------------------------------------------------------------------------------


def test_a_chat_completion_is_stored_if_asked_to(api):
    made = api.chat(store=True, metadata={"topic": "birds"}).json()
    api.chat(metadata={"topic": "birds"})

    stored = api.get(f"/v1/chat/completions/{made['id']}").json()
    assert stored == {**made, "metadata": {"topic": "birds"}}
    messages = api.get(f"/v1/chat/completions/{made['id']}/messages").json()["data"]
    assert [(message["role"], message["content"]) for message in messages] == [("user", "Hello there")]
    assert StoredCompletion.objects.count() == 1


def test_stored_completions_are_listed_by_model_and_label(api):
    ids = [api.chat(store=True, metadata={"n": str(n % 2), "contains": "x"}).json()["id"] for n in range(3)]

    def listed(query: str) -> list[str]:
        return [row["id"] for row in api.get(f"/v1/chat/completions?{query}").json()["data"]]

    assert listed("") == ids
    assert listed("order=desc&limit=2") == ids[:0:-1]
    assert listed("metadata[n]=0") == [ids[0], ids[2]]
    assert listed("metadata[n]=0&metadata[contains]=x") == [ids[0], ids[2]]
    assert listed("metadata[contains]=y") == listed("model=nobody") == []


def test_a_stored_completions_labels_can_be_changed(api):
    made = api.chat(store=True).json()
    path = f"/v1/chat/completions/{made['id']}"

    assert api.post(path, {"metadata": {"a": "b"}}).json()["metadata"] == {"a": "b"}
    assert api.get(path).json()["metadata"] == {"a": "b"}
    assert error_of(api.post(path, {"metadata": 1}))["param"] == "metadata"
    assert error_of(api.post(path, {}))["param"] == "metadata"


def test_somebody_elses_stored_completion_does_not_exist(api, other):
    made = api.chat(store=True).json()
    path = f"/v1/chat/completions/{made['id']}"

    for answer in (
        other.get(path),
        other.get(f"{path}/messages"),
        other.post(path, {"metadata": {}}),
        other._client.delete(path, headers=other.headers),
    ):
        assert error_of(answer)["code"] == "completion_not_found"
    assert other.get("/v1/chat/completions").json()["data"] == []
    assert api._client.delete(path, headers=api.headers).json()["deleted"] is True
    assert not StoredCompletion.objects.exists()


def test_a_stream_is_stored_as_the_completion_it_was():
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 5, "model": "parrot"}
    deltas: list[tuple[dict[str, Any], str | None]] = [
        ({"role": "assistant", "content": ""}, None),
        ({"reasoning_content": "Hm"}, None),
        ({"content": "Hel"}, None),
        ({"content": "lo"}, None),
        ({"tool_calls": [{"index": 0, "id": "c", "function": {"name": "time", "arguments": "{"}}]}, None),
        ({"tool_calls": [{"index": 0, "function": {"arguments": "}"}}]}, None),
        ({}, "tool_calls"),
    ]
    frames = [
        {**head, "choices": [{"index": 0, "delta": delta, "finish_reason": reason}]}
        for delta, reason in deltas
    ]
    usage = {"prompt_tokens": 1}
    data = b": keep-alive\n\n" + b"".join(b"data: " + json.dumps(f).encode() + b"\n\n" for f in frames)
    data += b"data: " + json.dumps({**head, "choices": [], "usage": usage}).encode() + b"\n\ndata: [DONE]\n\n"

    merged = keeping.merge(keeping.chunks(data))

    choice = merged["choices"][0]
    assert (merged["object"], merged["usage"], choice["finish_reason"]) == (
        "chat.completion",
        usage,
        "tool_calls",
    )
    assert choice["message"] == {
        "role": "assistant", "content": "Hello", "refusal": None, "reasoning_content": "Hm",
        "tool_calls": [{"id": "c", "type": "function", "function": {"name": "time", "arguments": "{}"}}],
    }  # fmt: skip


@pytest.mark.parametrize("metadata", [{"a": 1}, {"a": "\0"}, {"\0": "a"}, {str(n): "" for n in range(17)}])
def test_labels_that_cannot_be_kept_are_refused_before_anything_runs(api, workers_client, metadata):
    for answer in (api.chat(store=True, metadata=metadata), create(api, metadata=metadata)):
        assert answer.status_code == 400
        assert error_of(answer)["param"].startswith("metadata")
    assert workers_client.requests == []


def test_a_nul_is_answered_and_kept_as_a_sign_for_it(api):
    made = api.chat(store=True, messages=[{"role": "user", "content": "a\0b"}]).json()
    response = create(api, "a\0b").json()

    assert made["choices"][0]["message"]["content"] == "a\0b"
    stored = api.get(f"/v1/chat/completions/{made['id']}").json()
    assert stored["choices"][0]["message"]["content"] == "a\ufffdb"
    assert text_of(api.get(f"/v1/responses/{response['id']}").json()) == "a\ufffdb"


@pytest.mark.parametrize(
    "path",
    [
        "files/{}",
        "files/{}/content",
        "batches/{}",
        "responses/{}",
        "chat/completions/{}",
        "fine_tuning/jobs/{}",
    ],
)
@pytest.mark.parametrize("public_id", ["%00", "%F0%9F%A6%9C", "x" * 500])
def test_an_id_that_no_database_holds_is_nobodys(api, path, public_id):
    assert api.get("/v1/" + path.format(public_id)).status_code == 404


@pytest.mark.parametrize("query", ["after=%00", "metadata[a]=%00", "metadata[%00]=a", "model=%00"])
def test_a_query_that_no_database_answers_finds_nothing(api, query):
    answer = api.get(f"/v1/chat/completions?{query}")

    assert answer.status_code in (200, 400)
    assert answer.status_code == 400 or answer.json()["data"] == []
