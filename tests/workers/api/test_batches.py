"""Batches: made, run when nobody waits, interrupted, resumed, written out; each request once."""

import asyncio
import json
import threading
from collections import Counter
from datetime import timedelta
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.utils import timezone

from chatsite.accounts.models import ApiKey
from chatsite.accounts.services import api_keys
from tests.factories import make_chat_model
from tests.fakes import enter
from tests.workers.api.conftest import Api, error_of
from tests.workers.api.test_files import content_of, jsonl, upload
from tests.workers.support import make_request
from workers import client
from workers.api import threads
from workers.api.batches import running
from workers.models import Batch, BatchLine
from workers.services import batches, catalog

ENDPOINT = "/v1/chat/completions"


def line(number: int, text: str = "", url: str = ENDPOINT, **body: Any) -> dict[str, Any]:
    messages = [{"role": "user", "content": text or f"line {number}"}]
    body = {"model": "parrot", "messages": messages, **body}
    return {"custom_id": f"id-{number}", "method": "POST", "url": url, "body": body}


def make(api: Api, *lines: object, **body: Any) -> Any:
    file_id = upload(api, jsonl(*lines), purpose="batch").json()["id"]
    body = {"input_file_id": file_id, "endpoint": ENDPOINT, "completion_window": "24h", **body}
    return api.post("/v1/batches", body)


def work(seconds: float = 300) -> None:
    """Do what the control worker's thread does, in the test's own transaction."""

    async def run() -> None:
        with threads.for_caller(waits=True):
            async with asyncio.timeout(seconds):
                await running.Runner().run()

    async_to_sync(run)()


def output(api: Api, batch: dict[str, Any], kind: str = "output") -> list[dict[str, Any]]:
    return [json.loads(text) for text in content_of(api, batch[f"{kind}_file_id"]).decode().splitlines()]


def look(api: Api, batch: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = api.get(f"/v1/batches/{batch['id']}").json()
    return found


def said(answer: dict[str, Any]) -> str:
    text: str = answer["response"]["body"]["choices"][0]["message"]["content"]
    return text


def test_each_request_is_answered_once_and_in_order(api, workers_client):
    made = make(api, *[line(number) for number in range(30)], metadata={"job": "nightly"})
    assert made.status_code == 200
    batch = made.json()
    assert batch["status"] == "in_progress"
    assert batch["request_counts"] == {"total": 30, "completed": 0, "failed": 0}

    work()

    batch = look(api, batch)
    assert batch["status"] == "completed"
    assert batch["request_counts"] == {"total": 30, "completed": 30, "failed": 0}
    assert batch["error_file_id"] is None
    assert batch["metadata"] == {"job": "nightly"}
    assert batch["created_at"] <= batch["in_progress_at"] <= batch["completed_at"] < batch["expires_at"]
    answers = output(api, batch)
    assert [answer["custom_id"] for answer in answers] == [f"id-{number}" for number in range(30)]
    assert [said(answer) for answer in answers] == [f"line {number}" for number in range(30)]
    assert {answer["response"]["status_code"] for answer in answers} == {200}
    assert len(workers_client.requests) == 30


def test_usage_is_charged_to_the_key_that_made_it(api, workers_client, alice):
    make(api, line(1), line(2))
    work()

    workers_client.deliver_reports()

    assert [record.api_key for record in alice.usage.all()] == [ApiKey.objects.get()] * 2


def test_a_line_that_cannot_be_answered_is_in_the_error_file(api):
    batch = make(
        api, line(1), line(2, temperature=9), line(3, stream=True), line(4, model="nobody"), line(5)
    ).json()

    work()

    batch = look(api, batch)
    assert batch["status"] == "completed"
    assert batch["request_counts"] == {"total": 5, "completed": 2, "failed": 3}
    errors = {answer["custom_id"]: answer["response"] for answer in output(api, batch, "error")}
    assert {name: response["status_code"] for name, response in errors.items()} == {
        "id-2": 400, "id-3": 400, "id-4": 404,
    }  # fmt: skip
    assert errors["id-2"]["body"]["error"]["param"] == "temperature"
    assert errors["id-3"]["body"]["error"]["param"] == "stream"
    assert errors["id-4"]["body"]["error"]["code"] == "model_not_found"


def test_a_batch_of_failures_alone_has_no_output_file(api):
    batch = make(api, line(1, temperature=9)).json()
    work()

    assert look(api, batch)["output_file_id"] is None


def test_what_may_pass_is_tried_again_and_then_given_up(api, workers_client, monkeypatch):
    make_chat_model("broken")
    workers_client.host_script("broken", "tokens=3&fail_after=1")
    monkeypatch.setattr(running, "PAUSE", 0.0)
    batch = make(api, line(1, model="broken")).json()

    work()

    assert len(workers_client.requests) == batches.MOST_TRIES
    assert len({request.id for request in workers_client.requests}) == batches.MOST_TRIES
    assert output(api, look(api, batch), "error")[0]["response"]["status_code"] == 500


# --- interrupted -------------------------------------------------------------------------------------------


def interrupted(
    api: Api, workers_client: Any, monkeypatch: pytest.MonkeyPatch, *, after: int
) -> dict[str, Any]:
    """A batch whose runner is killed after so many submissions, in the middle of whatever it does."""
    batch: dict[str, Any] = make(api, *[line(number) for number in range(20)]).json()

    killed = threading.Event()

    class Killed(BaseException):
        pass

    true_submit = workers_client.submit

    def submit(request):
        if len(workers_client.requests) >= after:
            killed.set()
            raise Killed
        true_submit(request)

    async def run() -> None:
        with threads.for_caller(waits=True):
            runner = asyncio.create_task(running.Runner().run())
            assert await asyncio.to_thread(killed.wait, 300)
            runner.cancel()
            await asyncio.wait([runner])

    # A process that is killed takes nothing back; the cancelled tasks that stand for it here would.
    with monkeypatch.context() as dead:
        dead.setattr(workers_client, "submit", submit)
        dead.setattr(workers_client, "cancel", lambda request_id: None)
        async_to_sync(run)()
    return batch


@pytest.mark.parametrize("after", [1, 7, 15])
def test_a_runner_that_is_killed_is_followed_by_one_that_repeats_nothing(
    api, workers_client, monkeypatch, after
):
    batch = interrupted(api, workers_client, monkeypatch, after=after)
    submitted = [request.id for request in workers_client.requests]
    monkeypatch.setattr(batches, "me", lambda: "another:1:1")
    Batch.objects.update(runner="", lease_until=None)

    work()

    batch = look(api, batch)
    assert batch["request_counts"] == {"total": 20, "completed": 20, "failed": 0}
    assert Counter(answer["custom_id"] for answer in output(api, batch)) == Counter(
        f"id-{number}" for number in range(20)
    )
    ids = [request.id for request in workers_client.requests]
    assert len(ids) == len(set(ids)) == 20, "a request was made twice"
    assert ids[: len(submitted)] == submitted


def test_a_request_that_ended_while_nobody_looked_is_not_made_again(api, workers_client):
    batch = make(api, line(1)).json()
    row = BatchLine.objects.get()
    batches.claim(lines=[row])
    key = ApiKey.objects.get()
    report_key = json.dumps(
        {"user": key.owner_id, "api_key": key.pk, "source": "api", "chat_model": "parrot"}
    )
    workers_client.submit(make_request("line 1", id=row.request_id, report_key=report_key))
    workers_client.wait_idle()

    work()

    assert said(output(api, look(api, batch))[0]) == "line 1"
    assert len(workers_client.requests) == 1


def test_another_process_leaves_a_batch_alone_that_somebody_works_on(api):
    make(api, line(1))
    Batch.objects.update(runner="elsewhere:1:1", lease_until=timezone.now() + timedelta(seconds=20))

    assert batches.take_up() == []
    Batch.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
    assert len(batches.take_up()) == 1


def test_a_batch_of_a_dead_process_of_this_machine_is_taken_at_once(api, monkeypatch):
    make(api, line(1))
    host = batches.me().rsplit(":", 2)[0]
    Batch.objects.update(runner=f"{host}:1:1", lease_until=timezone.now() + timedelta(seconds=20))

    assert len(batches.take_up()) == 1


def test_an_answer_is_stored_once(api):
    make(api, line(1))
    row = BatchLine.objects.get()
    batches.claim(lines=[row])

    assert batches.finish_line(line=row, http_status=200, response="{}")
    assert not batches.finish_line(line=row, http_status=500, response="{}")
    row.refresh_from_db()
    assert row.http_status == 200
    assert Batch.objects.get().completed == 1


def test_a_line_is_claimed_once(api):
    make(api, line(1))
    first, second = BatchLine.objects.get(), BatchLine.objects.get()

    assert len(batches.claim(lines=[first])) == 1
    assert batches.claim(lines=[second]) == []


# --- beside others -----------------------------------------------------------------------------------------


def room(chat_model: str = "parrot", mine: int = 0) -> int:
    return running.Load().room(chat_model, {f"r{number}": chat_model for number in range(mine)})


def test_one_slot_is_left_for_whoever_comes(workers_client, parrot):
    assert workers_client.statuses()[0].models[0].slots == 64
    assert room() == 63
    assert room(mine=63) == 0


def test_nothing_is_started_while_somebody_waits(workers_client, parrot):
    enter(make_request("Hello"))  # queued, and nobody takes it

    assert room() == 0


def test_other_peoples_running_requests_take_room(workers_client, db):
    make_chat_model("slow")
    workers_client.host_script("slow", "tokens=100000&rate=50")
    request = make_request("go", chat_model="slow")
    workers_client.submit(request)
    while client.state(request.id) != "running":
        threading.Event().wait(0.01)

    assert room("slow") == 62
    assert running.Load().room("slow", {request.id: "slow"}) == 62
    workers_client.cancel(request.id)


def test_a_model_without_a_worker_waits_and_an_unknown_one_does_not(workers_client, db):
    make_chat_model("offline")

    assert room("offline") == 0
    assert room("nobody") > 0


def test_a_model_under_another_name_is_the_same_model(workers_client, parrot):
    catalog.set_aliases(chat_model=parrot, names=["gpt-4o-mini"])
    enter(make_request("Hello"))

    assert room("gpt-4o-mini") == 0


# --- ended early -------------------------------------------------------------------------------------------


def test_a_cancelled_batch_keeps_what_is_done(api, workers_client):
    batch = make(api, *[line(number) for number in range(5)]).json()
    rows = list(BatchLine.objects.all()[:2])
    for row in batches.claim(lines=rows):
        batches.finish_line(line=row, http_status=200, response=json.dumps({"n": row.number}))

    cancelled = api.post(f"/v1/batches/{batch['id']}/cancel", {})
    assert cancelled.json()["status"] == "cancelling"
    assert api.post(f"/v1/batches/{batch['id']}/cancel", {}).json()["status"] == "cancelling"
    work()

    batch = look(api, batch)
    assert batch["status"] == "cancelled"
    assert batch["cancelled_at"] >= batch["cancelling_at"]
    assert [answer["custom_id"] for answer in output(api, batch)] == ["id-0", "id-1"]
    assert workers_client.requests == []
    assert error_of(api.post(f"/v1/batches/{batch['id']}/cancel", {}))["code"] == "batch_ended"


def test_the_lines_of_an_expired_batch_are_errors(api, workers_client):
    batch = make(api, line(1), line(2)).json()
    Batch.objects.update(expires_at=timezone.now() - timedelta(seconds=1))

    work()

    batch = look(api, batch)
    assert batch["status"] == "expired"
    errors = output(api, batch, "error")
    assert {answer["error"]["code"] for answer in errors} == {"batch_expired"}
    assert [answer["response"] for answer in errors] == [None, None]
    assert workers_client.requests == []


def test_a_revoked_key_ends_its_batches(api, workers_client):
    batch = make(api, line(1)).json()
    api_keys.revoke(api_key=ApiKey.objects.get())

    work()

    row = Batch.objects.get(public_id=batch["id"])
    assert row.status == "failed"
    assert row.errors[0]["code"] == "invalid_api_key"
    assert workers_client.requests == []


# --- making one --------------------------------------------------------------------------------------------


def test_a_file_for_another_endpoint_makes_a_failed_batch(api):
    batch = make(api, line(1), line(2, url="/v1/embeddings")).json()

    assert batch["status"] == "failed"
    assert batch["errors"]["data"] == [
        {
            "code": "invalid_line",
            "line": 2,
            "message": f"Its 'url' is not the batch's endpoint, {ENDPOINT}.",
            "param": "url",
        }
    ]
    assert BatchLine.objects.count() == 0
    assert not batches.any_open()


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"endpoint": "/v1/party"}, "endpoint"),
        ({"endpoint": None}, "endpoint"),
        ({"completion_window": "1y"}, "completion_window"),
        ({"input_file_id": "file-none"}, "input_file_id"),
        ({"input_file_id": 7}, "input_file_id"),
        ({"metadata": {"a": 1}}, "metadata.a"),
        ({"metadata": {str(n): "" for n in range(17)}}, "metadata"),
        ({"output_expires_after": {"anchor": "created_at", "seconds": 1}}, "output_expires_after.seconds"),
        ({"priority": 1}, "priority"),
    ],
)
def test_a_bad_parameter_is_refused_by_name(api, change, param):
    refused = make(api, line(1), **change)

    assert refused.status_code in (400, 404)
    assert error_of(refused)["param"] == param
    assert not Batch.objects.exists()


def test_a_file_of_another_purpose_is_refused(api):
    file_id = upload(api).json()["id"]

    refused = api.post(
        "/v1/batches", {"input_file_id": file_id, "endpoint": ENDPOINT, "completion_window": "24h"}
    )

    assert error_of(refused)["param"] == "input_file_id"


def test_the_input_cannot_be_deleted_while_it_is_needed(api):
    batch = make(api, line(1)).json()
    delete = f"/v1/files/{batch['input_file_id']}"

    assert error_of(api._client.delete(delete, headers=api.headers))["code"] == "file_in_use"
    work()
    assert api._client.delete(delete, headers=api.headers).status_code == 200
    assert look(api, batch)["input_file_id"] == batch["input_file_id"]


def test_somebody_elses_batch_and_file_do_not_exist(api, bob):
    other = Api(api_keys.create(owner=bob, name="tests")[1])
    batch = make(api, line(1)).json()

    assert other.get(f"/v1/batches/{batch['id']}").status_code == 404
    assert other.post(f"/v1/batches/{batch['id']}/cancel", {}).status_code == 404
    assert other.get("/v1/batches").json()["data"] == []
    body = {"input_file_id": batch["input_file_id"], "endpoint": ENDPOINT, "completion_window": "24h"}
    assert error_of(other.post("/v1/batches", body))["code"] == "file_not_found"


def test_batches_are_listed_newest_first(api):
    ids = [make(api, line(1)).json()["id"] for _ in range(3)]

    page = api.get("/v1/batches?limit=2").json()

    assert [batch["id"] for batch in page["data"]] == ids[:0:-1]
    assert page["has_more"]


def test_one_person_cannot_have_endless_batches(api, monkeypatch):
    monkeypatch.setattr(batches, "MOST_OPEN", 1)
    make(api, line(1))

    assert error_of(make(api, line(1)))["code"] == "too_many_batches"


def test_output_files_expire_if_asked_to(api):
    batch = make(api, line(1), output_expires_after={"anchor": "created_at", "seconds": 3600}).json()
    work()

    file = api.get(f"/v1/files/{look(api, batch)['output_file_id']}").json()
    assert file["purpose"] == "batch_output"
    assert 3590 <= file["expires_at"] - file["created_at"] <= 3601


def test_ten_thousand_lines_are_taken_in(api):
    batch = make(api, *[line(number) for number in range(10_000)]).json()

    assert batch["request_counts"]["total"] == 10_000
    assert BatchLine.objects.count() == 10_000
    last = BatchLine.objects.select_related("batch__input_file").get(number=10_000)
    assert batches.read_body(batch=last.batch, line=last)["messages"][0]["content"] == "line 9999"
