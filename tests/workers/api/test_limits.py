"""What a key may be used for, and how much: restrictions, limits, reservations."""

import json
import re
import time
from typing import Any

import pytest

from chatsite.accounts.models import ApiKey, UsageRecord
from chatsite.accounts.services import api_keys, charging, quotas, usage
from chatsite.accounts.services.api_keys import Restrictions
from tests.factories import make_chat_model
from tests.workers.api.conftest import Api, error_of
from tests.workers.support import make_request
from workers import usage_log
from workers.api import caller, submission
from workers.connections import broker


@pytest.fixture
def make_api(alice, parrot, workers_client):
    """An `Api` whose key has these restrictions."""

    def make(**values) -> Api:
        return Api(api_keys.create(owner=alice, name="limited", restrictions=Restrictions(**values))[1])

    return make


def used(kind: str) -> int:
    """What the counters of `kind` hold, the highest of them."""
    counters: Any = broker().keys(f"chatsite:quota:{kind}:*")
    values: Any = broker().mget(counters) if counters else []
    return max(map(int, values), default=0)


# --- restrictions ------------------------------------------------------------------------------------------


def test_a_key_for_one_model_sees_and_uses_no_other(make_api, workers_client):
    make_chat_model("second")
    workers_client.host_script("second")
    api = make_api(models=["second"])

    assert api.chat(model="second").status_code == 200
    assert error_of(api.chat(model="parrot"))["code"] == "model_not_found"
    assert [model["id"] for model in api.get("/v1/models").json()["data"]] == ["second"]
    assert api.get("/v1/models/parrot").status_code == 404


def test_a_key_for_one_family_is_refused_elsewhere(make_api):
    api = make_api(families=["models"])

    assert api.get("/v1/models").status_code == 200
    refused = api.chat()
    assert refused.status_code == 403
    assert error_of(refused)["code"] == "permission_denied"
    assert "models" in error_of(refused)["message"]


@pytest.mark.parametrize("header", ["authorization", "x-api-key", "api-key"])
@pytest.mark.parametrize(("networks", "status"), [(["127.0.0.0/8"], 200), (["192.0.2.0/24"], 403)])
def test_a_key_works_from_its_networks_only_whatever_header_it_came_in(make_api, header, networks, status):
    api = make_api(addresses=networks)
    key = api.headers["authorization"].removeprefix("Bearer ")
    headers = {header: f"Bearer {key}" if header == "authorization" else key}

    assert api.get("/v1/models", headers=headers).status_code == status


# --- requests ----------------------------------------------------------------------------------------------


def test_the_request_over_the_limit_is_429_with_the_time_to_wait(make_api, workers_client):
    api = make_api(requests_per_minute=2)

    answers = [api.chat(), api.chat(), api.chat()]

    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert answers[0]["x-ratelimit-limit-requests"] == "2"
    assert [answer["x-ratelimit-remaining-requests"] for answer in answers] == ["1", "0", "0"]
    assert re.fullmatch(r"(\d+m)?\d+s|\d+ms", answers[0]["x-ratelimit-reset-requests"])
    assert error_of(answers[2])["code"] == "rate_limit_exceeded"
    assert 0 < int(answers[2]["retry-after-ms"]) <= 60_000
    assert len(workers_client.requests) == 2


def test_a_days_limit_is_no_reason_to_try_again_soon(make_api, monkeypatch):
    api = make_api(requests_per_day=1)
    monkeypatch.setattr(time, "time", lambda: 86_400.0 * 20_000 + 3600)

    api.get("/v1/models")
    refused = api.get("/v1/models")

    assert refused.status_code == 429
    assert error_of(refused)["code"] == "insufficient_quota"
    assert refused["x-should-retry"] == "false"


def test_all_keys_of_a_person_share_the_persons_limit(make_api, alice):
    alice.requests_per_minute = 2
    alice.save()
    first, second = make_api(), make_api()

    assert [api.get("/v1/models").status_code for api in (first, second, first, second)] == [
        200, 200, 429, 429,
    ]  # fmt: skip


def test_the_sites_limit_holds_for_a_person_without_one(make_api, settings, alice):
    settings.API_REQUESTS_PER_MINUTE = 1
    api = make_api()

    assert [api.get("/v1/models").status_code for _ in range(2)] == [200, 429]
    alice.requests_per_minute = 50
    alice.save()
    assert api.get("/v1/models").status_code == 200


def test_without_a_limit_nothing_is_counted_and_no_header_sent(make_api, valkey):
    answer = make_api().chat()

    assert not [name for name in answer.headers if name.startswith("x-ratelimit")]
    assert valkey.keys("chatsite:quota:*") == []


# --- tokens ------------------------------------------------------------------------------------------------


def test_tokens_are_set_aside_before_and_settled_after(make_api, workers_client):
    api = make_api(tokens_per_day=1000)

    answer = api.chat(messages=[{"role": "user", "content": "one two three"}], max_tokens=500)

    assert answer.status_code == 200
    reserved = used("tokens")
    assert reserved == 500 + submission.estimate(workers_client.requests[0]) - 500
    assert answer["x-ratelimit-remaining-tokens"] == str(1000 - reserved)
    workers_client.deliver_reports()
    assert used("tokens") == 6  # three words of prompt and three of reply


def test_several_replies_pay_for_their_prompt_once(make_api, workers_client):
    api = make_api(tokens_per_day=10_000)

    api.chat(messages=[{"role": "user", "content": "one two three"}], n=4, max_tokens=100)

    first, *others = workers_client.requests
    assert [submission.estimate(request) for request in others] == [100, 100, 100]
    assert used("tokens") == submission.estimate(first) + 300
    workers_client.deliver_reports()
    assert used("tokens") == 3 + 4 * 3
    charged = UsageRecord.objects.order_by("-prompt_tokens").values_list("prompt_tokens", "completion_tokens")
    assert list(charged) == [(3, 3), (0, 3), (0, 3), (0, 3)]


def test_each_of_several_raw_prompts_is_paid_for_once(make_api, workers_client):
    make_api().post("/v1/completions", {"model": "parrot", "prompt": ["one two", "three four five"], "n": 2})

    workers_client.deliver_reports()

    assert sorted(UsageRecord.objects.values_list("prompt_tokens", flat=True)) == [0, 0, 2, 3]


def test_a_report_that_comes_twice_settles_once(make_api, workers_client):
    make_api(tokens_per_day=1000).chat(max_tokens=10)
    workers_client.deliver_reports()
    before = used("tokens")

    quotas.settle(request_id=workers_client.requests[0].id, tokens=999)

    assert used("tokens") == before


class Killed(BaseException):
    """Stands for the end of the control worker: nothing that catches errors sees it."""


def killed(*args: Any, **kwargs: Any) -> None:
    raise Killed


@pytest.mark.parametrize(
    "at", [(usage, "take_reports"), (quotas, "settle"), (usage_log, "forget")], ids=["begin", "half", "end"]
)
def test_a_control_worker_that_is_killed_over_a_report_charges_it_once(
    make_api, workers_client, monkeypatch, at
):
    """A report is forgotten at the end, so whoever comes next is given it again."""
    make_api(tokens_per_day=1000).chat(max_tokens=500)
    workers_client.wait_idle()
    (report,) = workers_client.reports
    usage_log.append(broker(), report[1])
    with monkeypatch.context() as doomed:
        doomed.setattr(*at, killed)
        with pytest.raises(Killed):
            charging.charge_portion()

    assert charging.charge_portion() == 1

    record = UsageRecord.objects.get()
    assert used("tokens") == record.prompt_tokens + record.completion_tokens == 4


def test_a_request_that_cannot_be_paid_for_is_not_made(make_api, workers_client):
    api = make_api(tokens_per_minute=100)

    assert api.chat(max_tokens=60).status_code == 200
    refused = api.chat(max_tokens=60)

    assert refused.status_code == 429
    assert error_of(refused)["code"] == "rate_limit_exceeded"
    assert "x-should-retry" not in refused
    assert len(workers_client.requests) == 1


def test_a_request_larger_than_the_whole_limit_is_not_worth_a_retry(make_api, workers_client):
    refused = make_api(tokens_per_minute=100).chat(max_tokens=5000)

    assert refused.status_code == 429
    assert refused["x-should-retry"] == "false"
    assert "max_tokens" in error_of(refused)["message"]
    assert workers_client.requests == []


def test_what_no_worker_took_costs_nothing(make_api):
    make_chat_model("offline")
    api = make_api(tokens_per_minute=2000)

    assert api.chat(model="offline", max_tokens=500).status_code == 503
    assert used("tokens") == 0


def test_broken_off_replies_are_charged_exactly_what_they_made(make_api, workers_client):
    """Twenty at once, each stopped somewhere in its middle."""
    make_chat_model("long")
    workers_client.host_script("long", "tokens=400&rate=400")
    api = make_api(tokens_per_day=100_000)
    api_key = ApiKey.objects.get()
    who = {"user": api_key.owner_id, "api_key": api_key.pk, "source": "api", "chat_model": "long"}
    requests = [
        make_request(
            "go", chat_model="long", max_tokens=400,
            report_task="accounts.record_usage", report_key=json.dumps(who),
        )
        for _ in range(20)
    ]  # fmt: skip
    caller.enter(caller.Caller(api_key))
    for request in requests:
        submission.submit(request)
    caller.enter(None)
    for number, request in enumerate(requests):
        if number % 3:
            workers_client.cancel(request.id)

    reports = workers_client.deliver_reports(timeout=60)

    made = sum(report.usage.prompt_tokens + report.usage.completion_tokens for report in reports)
    assert {report.outcome for report in reports} == {"cancelled", "stop"}
    assert used("tokens") == made
    assert api.get("/v1/models").status_code == 200


def test_the_reset_is_written_as_openai_writes_it():
    assert [caller.duration(value) for value in (0.0001, 0.25, 1, 59.6, 360, 10_805)] == [
        "1ms", "250ms", "1s", "1m0s", "6m0s", "3h0m5s",
    ]  # fmt: skip
