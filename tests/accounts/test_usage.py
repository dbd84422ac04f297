"""Usage records, from the worker's report to the row."""

import json
import logging
from typing import Any
from unittest import mock

import pytest
from celery import current_app
from django.db import OperationalError, transaction

from chatsite.accounts.models import ApiKey, UsageRecord
from chatsite.accounts.services import api_keys, usage
from workers.protocol import ProtocolError, Report, Usage

pytestmark = pytest.mark.django_db

REQUEST = "0123456789abcdef0123456789abcdef"
CANARY = "canary: the text of the reply"


def report(key: str = "", **changes) -> Report:
    values: dict[str, Any] = {
        "request_id": REQUEST,
        "key": key,
        "text": CANARY,
        "outcome": "stop",
        "usage": Usage(prompt_tokens=12, completion_tokens=34),
    }
    return Report(**(values | changes))


def deliver(sent: Report) -> None:
    """Through JSON, as the broker does."""
    current_app.tasks["accounts.record_usage"](json.loads(json.dumps(sent.to_dict())))


def key_of(user, api_key=None) -> str:
    values = {"user": user.pk, "api_key": api_key and api_key.pk, "source": "api", "chat_model": "parrot"}
    return json.dumps(values)


def test_it_records_who_used_what(alice):
    api_key, _ = api_keys.create(owner=alice, name="laptop")
    deliver(report(key_of(alice, api_key)))
    row = UsageRecord.objects.get()
    assert (row.user, row.api_key, row.source, row.chat_model) == (alice, api_key, "api", "parrot")
    assert (row.prompt_tokens, row.completion_tokens, row.outcome) == (12, 34, "stop")


def test_it_counts_a_report_that_comes_twice_once(alice):
    deliver(report(key_of(alice)))
    deliver(report(key_of(alice), usage=Usage(prompt_tokens=99)))
    assert UsageRecord.objects.get().prompt_tokens == 12


def test_it_stores_no_text_and_logs_none(alice, caplog):
    with caplog.at_level(logging.DEBUG):
        deliver(report(key_of(alice)))
    assert CANARY not in caplog.text
    assert CANARY not in str(UsageRecord.objects.values().get())


def test_it_records_a_failure_with_its_code(alice):
    deliver(report(key_of(alice), outcome="worker_lost", error_message="The worker died."))
    assert UsageRecord.objects.get().outcome == "worker_lost"


def test_it_counts_the_tokens_of_a_person_and_key_that_are_gone(alice):
    api_key, _ = api_keys.create(owner=alice, name="laptop")
    sent = report(key_of(alice, api_key))
    alice.delete()
    assert not ApiKey.objects.exists()
    with transaction.atomic():
        deliver(sent)
    row = UsageRecord.objects.get()
    assert (row.user, row.api_key, row.prompt_tokens) == (None, None, 12)


def test_it_keeps_the_record_when_the_person_is_deleted_later(alice):
    deliver(report(key_of(alice)))
    alice.delete()
    assert UsageRecord.objects.get().user is None


def test_it_takes_nobody_and_no_key(alice):
    usage.record(user_id=None, api_key_id=None, source="chat", report=report(), chat_model="parrot")
    assert UsageRecord.objects.get().source == "chat"


def test_it_refuses_an_unknown_source(alice):
    with pytest.raises(ValueError, match="somewhere"):
        usage.record(
            user_id=alice.pk, api_key_id=None, source="somewhere", report=report(), chat_model="parrot"
        )


@pytest.mark.parametrize("payload", [{}, {"request_id": REQUEST}, {"usage": 1, "timing": 2}])
def test_the_task_refuses_what_is_no_report_without_repeating_it(payload):
    with pytest.raises(ProtocolError):
        current_app.tasks["accounts.record_usage"](payload | {"text": CANARY})
    assert not UsageRecord.objects.exists()


def test_the_task_is_tried_again_when_the_database_is_busy(alice):
    outcomes: list[Any] = [OperationalError("database is locked"), usage.take_report]

    def take_report(report: Report) -> None:
        outcome = outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        outcome(report)

    with mock.patch("chatsite.accounts.tasks.usage.take_report", take_report):
        current_app.tasks["accounts.record_usage"].apply(args=[report(key_of(alice)).to_dict()])
    assert outcomes == []
    assert UsageRecord.objects.count() == 1
