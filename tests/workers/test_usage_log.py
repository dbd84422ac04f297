"""The stream of usage reports between the workers and the control worker."""

import logging
from unittest import mock

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from tests.workers.support import make_request
from workers import reports, usage_log
from workers.connections import broker
from workers.protocol import Finished, FinishReason, Report, Usage

CANARY = "canary: the text of the reply"


def report(number: int = 0) -> Report:
    request = make_request("go", id=f"{number:032x}", report_key='{"user": 1}')
    return Report.of(request, CANARY, Finished(FinishReason.STOP, Usage(3, number)), "worker")


def test_reports_come_out_in_the_order_in_which_they_went_in(valkey):
    for number in range(5):
        usage_log.append(broker(), report(number))

    taken = usage_log.take(broker(), 3)

    assert [one.usage.completion_tokens for _, one in taken if one] == [0, 1, 2]


def test_what_was_taken_stays_until_it_is_forgotten(valkey):
    for number in range(3):
        usage_log.append(broker(), report(number))
    first, second, _ = usage_log.take(broker(), 10)

    assert len(usage_log.take(broker(), 10)) == 3
    usage_log.forget(broker(), [first[0], second[0]])

    assert [one.usage.completion_tokens for _, one in usage_log.take(broker(), 10) if one] == [2]


def test_nothing_is_forgotten_when_nothing_was_taken(valkey):
    usage_log.forget(broker(), [])

    assert usage_log.take(broker(), 10) == []


def test_what_was_said_is_not_in_it(valkey):
    usage_log.append(broker(), report())

    assert CANARY not in str(broker().xrange(usage_log.KEY))
    ((_, taken),) = usage_log.take(broker(), 10)
    assert taken is not None
    assert (taken.request_id, taken.key, taken.outcome) == (f"{0:032x}", '{"user": 1}', "stop")


def test_waiting_ends_at_once_when_there_is_something(valkey):
    assert not usage_log.wait(broker(), 0.01)
    usage_log.append(broker(), report())
    assert usage_log.wait(broker(), 4)
    assert usage_log.wait(broker(), 4), "it is still there"


@pytest.mark.parametrize("written", [{"report": "{"}, {"report": "[]"}, {"report": "{}"}, {"other": "1"}])
def test_what_cannot_be_read_is_said_and_can_be_forgotten(valkey, written, caplog):
    broker().xadd(usage_log.KEY, written)

    with caplog.at_level(logging.ERROR):
        ((entry_id, taken),) = usage_log.take(broker(), 10)

    assert taken is None
    assert "cannot be read" in caplog.text
    usage_log.forget(broker(), [entry_id])
    assert usage_log.take(broker(), 10) == []


def test_a_worker_reports_usage_there_and_everything_else_as_a_task(valkey):
    with mock.patch("workers.reports.current_app.send_task") as send_task:
        reports.send_report(usage_log.USAGE_TASK, report())
        assert not send_task.called
        reports.send_report("arena.record_reply", report())

    assert send_task.call_args.args == ("arena.record_reply",)
    assert len(usage_log.take(broker(), 10)) == 1


def test_a_report_waits_for_a_broker_that_restarts(valkey, monkeypatch):
    outcomes = [RedisConnectionError("gone"), RedisConnectionError("gone"), None]
    monkeypatch.setattr(reports, "USAGE_PAUSE", 0.0)
    with mock.patch.object(usage_log, "append", side_effect=outcomes) as append:
        reports.send_report(usage_log.USAGE_TASK, report())
    assert append.call_count == 3


def test_a_report_to_a_broker_that_stays_away_is_said_to_be_lost(valkey, monkeypatch, caplog):
    monkeypatch.setattr(reports, "USAGE_PAUSE", 0.0)
    with mock.patch.object(usage_log, "append", side_effect=RedisConnectionError("gone")) as append:
        reports.send_report(usage_log.USAGE_TASK, report())
    assert append.call_count == reports.USAGE_TRIES
    assert f"{0:032x} could not be reported" in caplog.text
    assert CANARY not in caplog.text
