"""services.conversations: everything but sending."""

import uuid

import pytest

from arena.errors import InvalidValue, NotFound
from arena.models import Conversation, Message, Reply
from arena.services import conversations
from tests.arena.conftest import make_conversation, make_reply

pytestmark = pytest.mark.django_db


# --- stop ----------------------------------------------------------------------------------------------------


def test_it_stops_a_running_reply_and_keeps_the_text_so_far(alice, parrot, workers_client, commits):
    workers_client.host_script("parrot", "tokens=10000&rate=100")
    with commits():
        reply = conversations.send_message(owner=alice, text="Talk on")
    read = 0
    for entry in workers_client.follow(reply.id.hex):
        read += len(getattr(entry.event, "text", ""))
        if read > 10:
            break

    conversations.stop(owner=alice, reply_id=reply.id)
    workers_client.deliver_reports()

    reply.refresh_from_db()
    assert (reply.status, reply.outcome) == (Reply.Status.FINISHED, "cancelled")
    assert reply.text.startswith("w0 w1")


def test_it_leaves_a_reply_that_has_ended_as_it_is(alice, talk, workers_client):
    reply = talk.messages.last().replies.get()

    conversations.stop(owner=alice, reply_id=reply.id)

    reply.refresh_from_db()
    assert (reply.status, reply.outcome) == (Reply.Status.FINISHED, "stop")


def test_it_does_not_stop_another_persons_reply(alice, charlie, parrot, workers_client, commits):
    workers_client.host_script("parrot", "tokens=30&rate=100")
    with commits():
        reply = conversations.send_message(owner=alice, text="Talk on")

    with pytest.raises(NotFound):
        conversations.stop(owner=charlie, reply_id=reply.id)
    workers_client.deliver_reports()

    reply.refresh_from_db()
    assert reply.outcome == "stop"


# --- rename --------------------------------------------------------------------------------------------------


def test_it_renames(alice, talk):
    assert (
        conversations.rename(owner=alice, conversation_id=talk.id, title="  Old\n birds ").title
        == "Old birds"
    )
    talk.refresh_from_db()
    assert talk.title == "Old birds"


def test_renaming_does_not_move_a_conversation_up(alice, talk):
    before = talk.updated_at
    conversations.rename(owner=alice, conversation_id=talk.id, title="Old birds")

    talk.refresh_from_db()
    assert talk.updated_at == before


def test_a_title_keeps_no_sign_that_a_database_cannot_store(alice, talk):
    conversations.rename(owner=alice, conversation_id=talk.id, title="Old\x00birds\x07")

    talk.refresh_from_db()
    assert talk.title == "Old birds"


@pytest.mark.parametrize("title", ["", "  \n ", "\x00", "\u200b\u202e", "x" * 201])
def test_it_refuses_a_title_that_is_none(alice, talk, title):
    with pytest.raises(InvalidValue) as caught:
        conversations.rename(owner=alice, conversation_id=talk.id, title=title)

    assert caught.value.field == "title"
    talk.refresh_from_db()
    assert talk.title == "Birds"


def test_it_does_not_rename_another_persons_conversation(charlie, talk):
    with pytest.raises(NotFound):
        conversations.rename(owner=charlie, conversation_id=talk.id, title="Mine")
    talk.refresh_from_db()
    assert talk.title == "Birds"


# --- delete --------------------------------------------------------------------------------------------------


def test_it_deletes_everything_of_a_conversation(alice, talk, parrot):
    other = make_conversation(alice, parrot, title="Stays")

    conversations.delete(owner=alice, conversation_id=talk.id)

    assert list(Conversation.objects.all()) == [other]
    assert (Message.objects.count(), Reply.objects.count()) == (0, 0)


def test_it_cancels_what_runs_in_a_deleted_conversation(alice, parrot, workers_client, commits):
    workers_client.host_script("parrot", "tokens=10000&rate=50")
    with commits():
        reply = conversations.send_message(owner=alice, text="Talk on")

    with commits():
        conversations.delete(owner=alice, conversation_id=reply.message.conversation.id)

    (report,) = workers_client.deliver_reports()  # would take minutes if it went on
    assert report.outcome == "cancelled"
    assert not Reply.objects.exists()


def test_it_deletes_although_the_broker_is_away(alice, talk, settings, commits, monkeypatch):
    make_reply(talk.messages.last(), status=Reply.Status.QUEUED)
    monkeypatch.setattr("workers.client.cancel", lambda request_id: 1 / 0)

    with commits():
        conversations.delete(owner=alice, conversation_id=talk.id)
    assert not Conversation.objects.exists()


@pytest.mark.parametrize("whose", ["charlie", "nobody"])
def test_it_does_not_delete_another_persons_conversation(charlie, talk, whose):
    with pytest.raises(NotFound):
        conversations.delete(owner=charlie, conversation_id=talk.id if whose == "charlie" else uuid.uuid4())
    assert Conversation.objects.count() == 1


# --- settings ------------------------------------------------------------------------------------------------


def test_it_changes_the_settings(alice, talk):
    conversations.update_settings(
        owner=alice, conversation_id=talk.id, settings={"temperature": 0.1, "system_prompt": "Be brief."}
    )

    talk.refresh_from_db()
    assert (talk.temperature, talk.system_prompt, talk.top_p) == (0.1, "Be brief.", None)


def test_an_empty_change_changes_nothing(alice, talk):
    before = Conversation.objects.filter(pk=talk.pk).values().get()
    conversations.update_settings(owner=alice, conversation_id=talk.id, settings={})
    assert Conversation.objects.filter(pk=talk.pk).values().get() == before


def test_it_refuses_settings_out_of_bounds(alice, talk):
    with pytest.raises(InvalidValue) as caught:
        conversations.update_settings(owner=alice, conversation_id=talk.id, settings={"top_p": 3.0})
    assert caught.value.field == "settings.top_p"


def test_it_does_not_change_another_persons_settings(charlie, talk):
    with pytest.raises(NotFound):
        conversations.update_settings(owner=charlie, conversation_id=talk.id, settings={"top_p": 0.5})
