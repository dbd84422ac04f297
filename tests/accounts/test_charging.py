"""The control worker's thread that charges usage, a portion at a time."""

import json
import logging
import threading

import pytest
from django.db import OperationalError

from chatsite.accounts import tasks
from chatsite.accounts.models import UsageRecord, User
from chatsite.accounts.services import api_keys, charging, quotas, usage
from workers import usage_log
from workers.connections import broker
from workers.protocol import Report, Usage

pytestmark = pytest.mark.django_db


def key_of(user: User, **changes) -> str:
    return json.dumps({"user": user.pk, "api_key": None, "source": "api", "chat_model": "parrot", **changes})


def report(number: int, key: str) -> Report:
    return Report(request_id=f"{number:032x}", key=key, text="", outcome="stop", usage=Usage(10, number))


def log(*reports: Report) -> None:
    for one in reports:
        usage_log.append(broker(), one)


def test_many_are_charged_to_whom_they_belong(valkey, alice, bob):
    api_key, _ = api_keys.create(owner=bob, name="laptop")
    log(*[report(number, key_of(alice)) for number in range(20)])
    log(*[report(number, key_of(bob, api_key=api_key.pk)) for number in range(20, 25)])

    assert charging.charge_portion() == 25

    assert alice.usage.count() == 20
    assert {record.api_key for record in bob.usage.all()} == {api_key}
    assert sorted(UsageRecord.objects.values_list("completion_tokens", flat=True)) == list(range(25))
    assert charging.charge_portion() == 0


def test_a_portion_costs_the_same_statements_however_many_it_has(valkey, alice, django_assert_num_queries):
    log(*[report(number, key_of(alice)) for number in range(50)])
    with django_assert_num_queries(2):  # who is there, and the rows
        charging.charge_portion()


def test_more_than_a_portion_is_taken_in_turn(valkey, alice, monkeypatch):
    monkeypatch.setattr(charging, "PORTION", 3)
    log(*[report(number, key_of(alice)) for number in range(7)])

    assert [charging.charge_portion() for _ in range(4)] == [3, 3, 1, 0]

    assert alice.usage.count() == 7


def test_a_report_that_is_there_twice_counts_once(valkey, alice):
    log(report(1, key_of(alice)), report(1, key_of(alice)), report(2, key_of(alice)))
    charging.charge_portion()
    log(report(2, key_of(alice)))
    charging.charge_portion()

    assert alice.usage.count() == 2


def test_the_prompt_of_several_replies_is_charged_once(valkey, alice):
    log(report(1, key_of(alice)), report(2, key_of(alice, prompt_paid=True)))
    charging.charge_portion()

    assert sorted(alice.usage.values_list("prompt_tokens", flat=True)) == [0, 10]


def test_what_was_set_aside_is_settled_for_each(valkey, alice, monkeypatch):
    settled = []
    monkeypatch.setattr(quotas, "settle", lambda **values: settled.append(values))
    log(
        report(1, key_of(alice, reserved=True)),
        report(2, key_of(alice)),
        report(3, key_of(alice, reserved=True)),
    )
    charging.charge_portion()

    assert settled == [{"request_id": f"{number:032x}", "tokens": 10 + number} for number in (1, 3)]


def test_tokens_of_people_who_are_gone_are_counted_beside_those_of_others(valkey, alice, bob):
    log(report(1, key_of(alice)), report(2, key_of(bob)))
    bob.delete()
    charging.charge_portion()

    assert {(record.user, record.completion_tokens) for record in UsageRecord.objects.all()} == {
        (alice, 1), (None, 2),
    }  # fmt: skip


@pytest.mark.parametrize(
    "key",
    ["no JSON", "{}", "[]", json.dumps({"user": 1, "api_key": None, "source": "moon", "chat_model": ""})],
)
def test_one_with_a_key_that_is_none_is_said_and_does_not_keep_the_others(valkey, alice, key, caplog):
    log(report(1, key_of(alice)), report(2, key), report(3, key_of(alice)))
    with caplog.at_level(logging.ERROR):
        charging.charge_portion()

    assert sorted(UsageRecord.objects.values_list("completion_tokens", flat=True)) == [1, 3]
    assert f"{2:032x} cannot be recorded" in caplog.text
    assert charging.charge_portion() == 0, "it is not tried for ever"


def test_a_database_that_is_busy_keeps_the_reports(valkey, alice, monkeypatch):
    log(report(1, key_of(alice)))
    with monkeypatch.context() as busy:
        busy.setattr(usage, "take_reports", _locked)
        with pytest.raises(OperationalError):
            charging.charge_portion()

    assert charging.charge_portion() == 1
    assert alice.usage.count() == 1


def _locked(reports: list[Report]) -> None:
    raise OperationalError("database is locked")


# --- the thread --------------------------------------------------------------------------------------------


@pytest.fixture
def thread(valkey, monkeypatch):
    """Starts it with `take_reports` replaced, since a test's transaction is invisible to another thread."""
    monkeypatch.setattr(charging, "GATHERING", 0.0)
    monkeypatch.setattr(charging, "LOOK", 0.05)
    monkeypatch.setattr(charging, "PAUSE", 0.0)

    def start(take_reports) -> threading.Thread:
        monkeypatch.setattr(usage, "take_reports", take_reports)
        charging.charge_beside()
        assert charging._thread is not None
        return charging._thread

    yield start
    charging.stop()
    assert charging._thread is not None
    charging._thread.join(60)
    assert not charging._thread.is_alive()


def test_the_thread_charges_what_comes(thread):
    charged: list[str] = []
    done = threading.Event()

    def take(reports: list[Report]) -> None:
        charged.extend(one.request_id for one in reports)
        if len(charged) == 3:
            done.set()

    thread(take)
    log(*[report(number, "{}") for number in range(3)])

    assert done.wait(60)
    assert charged == [f"{number:032x}" for number in range(3)]


def test_the_thread_goes_on_when_the_database_is_back(thread, caplog):
    tries: list[int] = []
    done = threading.Event()

    def take(reports: list[Report]) -> None:
        tries.append(len(reports))
        if len(tries) < 3:
            raise OperationalError("database is locked")
        done.set()

    thread(take)
    log(report(1, "{}"))

    assert done.wait(60)
    assert tries[:3] == [1, 1, 1]
    assert "The database does not answer (database is locked)" in caplog.text


def test_the_thread_outlives_what_nobody_foresaw(thread, caplog):
    tries: list[int] = []
    done = threading.Event()

    def take(reports: list[Report]) -> None:
        tries.append(len(reports))
        if len(tries) == 1:
            raise ZeroDivisionError
        done.set()

    thread(take)
    log(report(1, "{}"))

    assert done.wait(60)
    assert tries[:2] == [1, 1]
    assert "Usage could not be recorded" in caplog.text


def test_only_the_control_worker_charges(monkeypatch):
    begun = []
    monkeypatch.setattr(charging, "charge_beside", lambda: begun.append(True))

    class Sender:
        def __init__(self, *queues: str) -> None:
            self.app = self.amqp = self.queues = self
            self.consume_from = dict.fromkeys(queues)

    tasks.charge_beside_control(sender=Sender("generate.parrot"))
    assert not begun
    tasks.charge_beside_control(sender=Sender("control", "train"))
    assert begun
