import time
from typing import Any

import pytest
import redis

from tests.fakes import enter
from tests.workers.support import at_once, make_request
from workers import ledger
from workers.connections import broker
from workers.protocol import ProtocolError


@pytest.fixture
def request_(valkey):
    made = make_request("secret words")
    enter(made)
    return made


def test_a_new_request_is_queued(valkey, request_):
    record = ledger.look_up(valkey, request_.id)
    assert record is not None
    assert (record.request, record.state, record.attempt, record.worker, record.cancelled) == (
        request_,
        "queued",
        1,
        "",
        False,
    )
    assert abs(record.since - time.time()) < 5
    assert ledger.state(valkey, request_.id) == "queued"
    assert ledger.in_flight(valkey) == [request_.id]


def test_a_request_is_claimed_by_one_of_many(valkey, request_):
    records = at_once(20, lambda number: ledger.claim(broker(), request_.id, 1, f"worker{number}"))
    (winner,) = [record for record in records if record is not None]
    assert (winner.request, winner.state, winner.attempt) == (request_, "running", 1)
    kept = ledger.look_up(valkey, request_.id)
    assert kept is not None
    assert kept.worker == winner.worker


def test_a_message_that_comes_twice_claims_nothing_the_second_time(valkey, request_):
    assert ledger.claim(valkey, request_.id, 1, "worker")
    assert ledger.claim(valkey, request_.id, 1, "worker") is None


@pytest.mark.parametrize("attempt", [0, 2])
def test_a_message_of_another_attempt_claims_nothing(valkey, request_, attempt):
    assert ledger.claim(valkey, request_.id, attempt, "worker") is None
    assert ledger.state(valkey, request_.id) == "queued"


def test_a_request_is_opened_again_by_one_of_many(valkey, request_):
    ledger.claim(valkey, request_.id, 1, "dead")
    assert sorted(at_once(20, lambda number: ledger.requeue(broker(), request_.id, 1))) == [0] * 19 + [2]
    record = ledger.look_up(valkey, request_.id)
    assert record is not None
    assert (record.state, record.attempt, record.worker) == ("queued", 2, "")


def test_only_the_attempt_that_holds_it_may_end_it(valkey, request_):
    ledger.claim(valkey, request_.id, 1, "dead")
    ledger.requeue(valkey, request_.id, 1)
    ledger.claim(valkey, request_.id, 2, "heir")
    assert not ledger.finish(valkey, request_.id, 1)
    assert ledger.state(valkey, request_.id) == "running"
    assert ledger.finish(valkey, request_.id, 2)
    assert ledger.state(valkey, request_.id) == "done"
    assert not ledger.finish(valkey, request_.id, 2)


def test_of_many_who_end_it_one_is_told_so(valkey, request_):
    assert sorted(at_once(20, lambda number: ledger.finish(broker(), request_.id, 1))) == [False] * 19 + [
        True
    ]


def test_an_ended_request_cannot_be_claimed_or_opened_again(valkey, request_):
    ledger.finish(valkey, request_.id, 1)
    assert ledger.claim(valkey, request_.id, 1, "worker") is None
    assert ledger.requeue(valkey, request_.id, 1) == 0
    assert not ledger.renew(valkey, request_.id, 1, request_)
    assert ledger.look_up(valkey, request_.id) is None
    assert ledger.in_flight(valkey) == []


class Forgetful:
    """A client that runs each script twice, as redis-py does when the connection breaks before the answer."""

    def __init__(self, client):
        self._client = client

    def eval(self, *arguments):
        self._client.eval(*arguments)
        return self._client.eval(*arguments)


def test_whoever_is_not_told_the_answer_does_not_lose_the_race_to_himself(valkey, request_):
    client: Any = Forgetful(valkey)
    assert ledger.claim(client, request_.id, 1, "worker")
    assert ledger.requeue(client, request_.id, 1) == 2
    assert ledger.claim(client, request_.id, 2, "worker")
    assert ledger.finish(client, request_.id, 2)


def test_renewing_changes_what_the_next_worker_is_given(valkey, request_):
    ledger.claim(valkey, request_.id, 1, "dead")
    assert not ledger.renew(valkey, request_.id, 1), "it runs"
    ledger.requeue(valkey, request_.id, 1)
    longer = make_request("secret words", id=request_.id, prefix="so far")
    assert not ledger.renew(valkey, request_.id, 1, longer), "that attempt is over"
    assert ledger.renew(valkey, request_.id, 2, longer)
    assert ledger.renew(valkey, request_.id, 2)
    record = ledger.claim(valkey, request_.id, 2, "heir")
    assert record is not None
    assert record.request == longer


def test_a_wish_to_cancel_is_kept_and_told(valkey, request_):
    with valkey.pubsub(ignore_subscribe_messages=True) as subscription:
        subscription.subscribe(ledger.CANCELLATIONS)
        subscription.get_message(timeout=1)
        ledger.cancel(valkey, request_.id)
        message = subscription.get_message(timeout=1)
    assert message is not None
    assert message["data"].decode() == request_.id
    other = make_request()
    enter(other)
    assert ledger.cancelled(valkey, [request_.id, other.id, "unknown"]) == {request_.id}
    record = ledger.claim(valkey, request_.id, 1, "worker")
    assert record is not None
    assert record.cancelled


def test_cancelling_an_unknown_request_leaves_nothing_behind(valkey):
    ledger.cancel(valkey, "unknown")
    assert valkey.keys("*") == []
    assert ledger.cancelled(valkey, []) == set()


def test_a_glance_shows_how_requests_stand_without_their_words(valkey, request_):
    other = make_request(chat_model="lorem")
    enter(other)
    ledger.claim(valkey, other.id, 1, "worker")
    ended = make_request()
    enter(ended)
    ledger.finish(valkey, ended.id, 1)
    found = ledger.glance(valkey, [other.id, "unknown", ended.id, request_.id])
    assert list(found) == [other.id, request_.id]
    first, second = found.values()
    assert (first.state, first.worker, first.chat_model) == ("running", "worker", "lorem")
    assert (second.state, second.worker, second.deadline) == ("queued", "", request_.deadline)
    assert "secret" not in str(found)
    assert ledger.glance(valkey, []) == {}


def test_striking_off_leaves_what_is_known(valkey, request_):
    ledger.strike_off(valkey, [])
    ledger.strike_off(valkey, [request_.id, "unknown"])
    assert ledger.in_flight(valkey) == []
    assert ledger.state(valkey, request_.id) == "queued"


def test_nothing_is_known_of_an_unknown_request(valkey):
    assert ledger.look_up(valkey, "unknown") is None
    assert ledger.state(valkey, "unknown") is None
    assert ledger.claim(valkey, "unknown", 1, "worker") is None
    assert ledger.requeue(valkey, "unknown", 1) == 0
    assert not ledger.finish(valkey, "unknown", 1)
    assert not ledger.renew(valkey, "unknown", 1, make_request(id="unknown"))
    assert valkey.keys("*") == []


def test_dropping_forgets_everything(valkey, request_):
    ledger.drop(valkey, request_.id)
    ledger.drop(valkey, request_.id)
    assert valkey.keys("*") == []


def test_every_key_of_a_request_goes_away_by_itself(valkey, request_):
    hours = 3600
    assert 23 * hours < valkey.ttl(ledger.key(request_.id)) <= 24 * hours
    ledger.claim(valkey, request_.id, 1, "worker")
    ledger.finish(valkey, request_.id, 1)
    ledger.cancel(valkey, request_.id)
    assert valkey.keys("*") == [ledger.key(request_.id).encode()]
    assert 0 < valkey.ttl(ledger.key(request_.id)) <= 1 * hours


def test_nobody_s_words_are_kept_behind_the_end(valkey, request_):
    assert b"secret" in valkey.hget(ledger.key(request_.id), "payload")
    ledger.finish(valkey, request_.id, 1)
    assert b"secret" not in b"".join(valkey.hvals(ledger.key(request_.id)))


def test_the_oldest_request_is_looked_after_first(valkey):
    made = [make_request() for _ in range(5)]
    for request in made:
        enter(request)
        time.sleep(0.002)
    assert ledger.in_flight(valkey) == [request.id for request in made]


def test_an_unreadable_request_is_an_error_without_its_words(valkey, request_):
    valkey.hset(ledger.key(request_.id), "payload", '{"messages": "secret words"}')
    with pytest.raises(ProtocolError) as caught:
        ledger.look_up(valkey, request_.id)
    assert "secret" not in str(caught.value)


def test_a_broker_that_refuses_a_request_is_reported_without_its_words(valkey):
    # redis-py quotes the beginning of the command that a pipeline stumbled over.
    valkey.config_set("maxmemory", 1)
    try:
        with pytest.raises(redis.ResponseError) as caught:
            enter(make_request("secret words"))
    finally:
        valkey.config_set("maxmemory", 0)
    assert "secret" not in str(caught.value)
