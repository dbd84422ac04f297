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


def test_a_new_request_is_queued(valkey):
    before, request_ = time.time(), make_request("secret words")
    enter(request_)
    record = ledger.look_up(valkey, request_.id)
    assert record is not None
    assert (record.request, record.state, record.attempt, record.worker, record.cancelled) == (
        request_,
        "queued",
        1,
        "",
        False,
    )
    assert before <= record.since <= time.time()
    assert ledger.state(valkey, request_.id) == "queued"
    assert ledger.in_flight(valkey) == [request_.id]


def test_nothing_is_entered_behind_a_full_queue(valkey):
    valkey.rpush("queue", "one", "two")
    refused, taken = make_request("hello"), make_request("hello")
    assert ledger.enter(valkey, refused, queue="queue", limit=2) == 2
    assert valkey.keys("chatsite:*") == []
    assert ledger.enter(valkey, taken, queue="queue", limit=3) == 2
    assert ledger.in_flight(valkey) == [taken.id]


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


def test_how_long_requests_take_is_measured_while_they_are_worked_on(valkey, monkeypatch):
    assert ledger.mean_seconds(valkey, "parrot") is None
    for seconds in (10, 20):
        request = make_request()
        enter(request)
        monkeypatch.setattr(time, "time", lambda: 1000.0)
        ledger.claim(valkey, request.id, 1, "one")
        monkeypatch.setattr(time, "time", lambda seconds=seconds: 1000.0 + seconds)
        ledger.finish(valkey, request.id, 1)
        monkeypatch.undo()
    assert ledger.mean_seconds(valkey, "parrot") == pytest.approx(11)
    assert ledger.mean_seconds(valkey, "lorem") is None


def test_what_nobody_worked_on_says_nothing_of_the_speed(valkey, request_):
    ledger.finish(valkey, request_.id, 1)
    assert ledger.mean_seconds(valkey, "parrot") is None


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
        subscription.get_message(timeout=120)
        ledger.cancel(valkey, request_.id)
        message = subscription.get_message(timeout=120)
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
    places, pace = b"chatsite:places:parrot", b"chatsite:pace"
    assert set(valkey.keys("*")) == {ledger.key(request_.id).encode(), places, pace}
    assert 0 < valkey.ttl(ledger.key(request_.id)) <= 1 * hours
    assert 0 < valkey.ttl(places) <= 24 * hours


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


def _wait(asker: str, number: int, chat_model: str = "parrot") -> list[str]:
    """Enter so many requests of one asker; their ids."""
    requests = [make_request(chat_model=chat_model, asker=asker) for _ in range(number)]
    for request in requests:
        enter(request)
    return [request.id for request in requests]


def _taken(valkey, messages: list[str]) -> list[str]:
    """What is claimed, in this order, by the messages."""
    records = [ledger.claim(valkey, message, 1, "worker") for message in messages]
    return [record.id for record in records if record is not None]


def test_one_who_asks_much_does_not_delay_one_who_asks_once(valkey):
    much = _wait("alice", 50)
    (once,) = _wait("bob", 1)

    taken = _taken(valkey, [*much, once])

    assert taken.index(once) <= 1
    assert [one for one in taken if one != once] == much
    assert len(taken) == 51


def test_askers_take_turns(valkey):
    messages = [one for asker in ("alice", "bob", "carol") for one in _wait(asker, 4)]
    owners = dict(
        zip(messages, [asker for asker in ("alice", "bob", "carol") for _ in range(4)], strict=True)
    )

    taken = _taken(valkey, messages)

    for turn in range(0, 12, 3):
        assert {owners[one] for one in taken[turn : turn + 3]} == {"alice", "bob", "carol"}


def test_who_has_been_away_has_saved_no_turns_up(valkey):
    early = _wait("alice", 20)
    assert _taken(valkey, early[:10]) == early[:10]
    late, more = _wait("bob", 10), _wait("alice", 0)

    taken = _taken(valkey, [*early[10:], *late, *more])

    assert 3 <= [one in late for one in taken[:6]].count(True) <= 4


def test_requests_of_one_asker_keep_their_order(valkey):
    messages = _wait("alice", 20)

    assert _taken(valkey, messages) == messages


def test_every_request_is_claimed_once_by_many_workers(valkey):
    messages = [one for asker in "abcde" for one in _wait(asker, 10)]

    records = at_once(50, lambda number: ledger.claim(broker(), messages[number], 1, f"worker{number}"))

    assert sorted(record.id for record in records if record is not None) == sorted(messages)


def test_chat_models_have_lines_of_their_own(valkey):
    parrots, owls = _wait("alice", 3), _wait("alice", 3, "owl")

    assert _taken(valkey, owls) == owls
    assert _taken(valkey, parrots) == parrots


def test_one_that_was_given_to_another_worker_goes_before_the_line(valkey):
    first, *others = _wait("alice", 4)
    ledger.claim(valkey, first, 1, "dead")
    ledger.requeue(valkey, first, 1)

    record = ledger.claim(valkey, first, 2, "worker")

    assert record is not None
    assert (record.id, record.attempt) == (first, 2)
    assert _taken(valkey, others) == others


def test_an_ended_or_dropped_one_holds_nobody_up(valkey):
    ended, dropped, wanted = _wait("alice", 3)
    ledger.finish(valkey, ended, 1)
    ledger.drop(valkey, dropped)

    assert ledger.position(valkey, "parrot", wanted) == 1
    assert _taken(valkey, [ended, wanted]) == [wanted]


def test_the_place_in_the_line_counts_down(valkey):
    messages = _wait("alice", 3)
    assert [ledger.position(valkey, "parrot", one) for one in messages] == [1, 2, 3]

    ledger.claim(valkey, messages[0], 1, "worker")

    assert [ledger.position(valkey, "parrot", one) for one in messages] == [None, 1, 2]


def test_a_claim_whose_answer_was_lost_gets_the_same_request_again(valkey, monkeypatch):
    messages = _wait("alice", 3)
    monkeypatch.setattr(ledger, "_token", lambda: "the same call")

    first = ledger.claim(valkey, messages[0], 1, "worker")
    again = ledger.claim(valkey, messages[0], 1, "worker")

    assert first is not None
    assert again is not None
    assert first.id == again.id
    assert ledger.position(valkey, "parrot", messages[1]) == 1


def test_a_request_of_another_version_is_named_by_its_own_id(valkey):
    strange, mine = _wait("alice", 2)
    valkey.hset(ledger.key(strange), "payload", "{}")

    with pytest.raises(ledger.UnreadableError) as error:
        ledger.claim(valkey, mine, 1, "worker")

    assert error.value.request_id == strange
