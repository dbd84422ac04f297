"""Many processes at once, here threads with a database connection of their own."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest
from django.db import connection

from arena.errors import Refused
from arena.models import Conversation, Message, Reply, Vote
from arena.services import battles, conversations, replies, terms, votes
from tests.arena.conftest import make_reply
from tests.factories import make_chat_model
from tests.workers.support import PATIENCE
from workers.protocol import Report

pytestmark = pytest.mark.django_db(transaction=True)

RUNNERS = 6


def at_once(action: Callable[[], Any]) -> list[Any]:
    """What each of several threads got from `action`, all started together: its value, or its refusal's code."""
    start = Barrier(RUNNERS)

    def run(_: int) -> Any:
        try:
            start.wait(PATIENCE)
            return action()
        except Refused as refusal:
            return refusal.code
        finally:
            connection.close()

    with ThreadPoolExecutor(RUNNERS) as threads:
        return list(threads.map(run, range(RUNNERS)))


@pytest.fixture(autouse=True)
def _slow_parrot(workers_client) -> None:
    workers_client.host_script("parrot", "tokens=100000&rate=20")


def test_of_many_messages_at_once_one_is_taken(alice, talk):
    results = at_once(
        lambda: conversations.send_message(owner=alice, text="Hi", conversation_id=talk.id).message.position
    )

    assert sorted(results, key=str) == [3] + ["busy"] * (RUNNERS - 1)
    assert list(talk.messages.values_list("position", flat=True)) == [1, 2, 3]


def test_of_many_regenerations_at_once_one_is_taken(alice, talk):
    message = talk.messages.last()

    results = at_once(lambda: conversations.regenerate(owner=alice, message_id=message.id).status)

    assert sorted(results) == ["busy"] * (RUNNERS - 1) + ["queued"]
    assert message.replies.count() == 2


def test_no_more_answers_run_than_are_allowed(alice, parrot, settings):
    settings.RUNNING_REPLIES_PER_USER = 4

    results = at_once(lambda: conversations.send_message(owner=alice, text="Hi").status)

    assert sorted(results) == ["queued"] * 4 + ["too_many"] * (RUNNERS - 4)
    assert Conversation.objects.count() == 4


def test_a_wish_sent_over_many_connections_is_granted_once(alice, parrot):
    results = at_once(lambda: conversations.send_message(owner=alice, text="Hi", client_id="wish-0001").pk)

    assert len(set(results)) == 1
    assert (Message.objects.count(), Reply.objects.count()) == (1, 1)


def test_a_report_delivered_many_times_is_recorded_once(alice, talk):
    reply = make_reply(talk.messages.last(), status=Reply.Status.QUEUED, outcome="")
    report = Report(request_id=reply.id.hex, key=str(reply.id), text="Polly", outcome="stop")

    assert sorted(at_once(lambda: replies.record(report=report))) == [False] * (RUNNERS - 1) + [True]


def test_deleting_while_messages_are_sent_leaves_nothing_behind(alice, talk):
    def send_or_delete() -> str:
        conversations.send_message(owner=alice, text="Hi", conversation_id=talk.id)
        conversations.delete(owner=alice, conversation_id=talk.id)
        return "done"

    assert set(at_once(send_or_delete)) <= {"done", "busy", "not_found"}
    assert not Conversation.objects.exists()
    assert not Reply.objects.exists()


def test_of_many_votes_on_one_battle_one_is_cast(alice, workers_client):
    for name in ("parrot", "cockatoo"):
        workers_client.host_script(name, "reply=Hello.")
        make_chat_model(name)
    terms.accept(user=alice)
    battle = battles.start(owner=alice, text="Hi").battle
    workers_client.deliver_reports()

    results = at_once(lambda: votes.cast_vote(owner=alice, battle_id=battle.pk, choice="left").choice)

    assert sorted(results) == ["left"] + ["voted"] * (RUNNERS - 1)
    assert Vote.objects.filter(battle=battle).count() == 1
