import time

from tests.fakes import heartbeat
from workers import fleet


def test_a_worker_that_beats_is_alive(valkey):
    status = heartbeat("one", "parrot", in_flight=3)
    assert fleet.statuses(valkey) == [status]
    assert fleet.is_alive(valkey, "one", since=time.time())


def test_a_worker_that_stops_beating_is_dead_without_a_word(valkey, monkeypatch):
    monkeypatch.setattr(fleet, "EXPIRY_SECONDS", 0.05)
    heartbeat("one", "parrot")
    time.sleep(0.08)
    assert fleet.statuses(valkey) == []
    assert not fleet.is_alive(valkey, "one", since=time.time())


def test_a_worker_that_signs_off_is_dead_at_once(valkey):
    heartbeat("one", "parrot")
    heartbeat("two", "parrot")
    fleet.sign_off(valkey, "one")
    fleet.sign_off(valkey, "never seen")
    assert [status.worker for status in fleet.statuses(valkey)] == ["two"]


def test_the_longest_running_comes_first(valkey):
    now = time.time()
    heartbeat("young", started_at=now)
    heartbeat("old", started_at=now - 100)
    assert [status.worker for status in fleet.statuses(valkey)] == ["old", "young"]


def test_a_worker_that_was_restarted_under_its_name_is_not_the_one_that_was(valkey):
    # In a container the host's name and the process id stay the same.
    claimed = time.time() - 10
    heartbeat("one", "parrot", started_at=claimed - 60)
    assert fleet.is_alive(valkey, "one", since=claimed)
    heartbeat("one", "parrot", started_at=claimed + 5)
    assert not fleet.is_alive(valkey, "one", since=claimed)


def test_a_worker_of_another_version_does_not_hide_the_others(valkey):
    heartbeat("strange", "parrot")
    valkey.set("chatsite:worker:strange", '{"started_at": "yesterday"}')
    heartbeat("one", "parrot")
    assert [status.worker for status in fleet.statuses(valkey)] == ["one"]
    assert fleet.is_alive(valkey, "strange", since=time.time()), "it beats: its requests are not lost"


def test_names_of_the_dead_are_forgotten(valkey):
    heartbeat("old", sent_at=time.time() - 7200)
    heartbeat("new")
    assert valkey.zrange(fleet.NAMES, 0, -1) == [b"new"]


def test_without_workers_there_are_no_statuses(valkey):
    assert fleet.statuses(valkey) == []
