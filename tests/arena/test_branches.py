"""Editing a message, and going from branch to branch."""

import importlib

import pytest
from django.apps import apps
from django.db import IntegrityError, transaction
from django.test import Client
from django.urls import reverse

from arena.errors import Busy, InvalidValue, NotFound
from arena.models import Conversation, Message, Reply
from arena.selectors import conversations as selectors
from arena.services import conversations
from tests.arena.conftest import make_conversation, make_reply, make_turn

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("workers_client")]


def shown(conversation: Conversation) -> list[str]:
    return [turn.message.text for turn in selectors.turns(conversation)]


def say(conversation: Conversation, text: str, edits: Message | None = None) -> Message:
    """Send it, and have it answered."""
    reply = conversations.send_message(
        owner=conversation.owner,
        conversation_id=conversation.pk,
        text=text,
        chat_model_name="parrot",
        edits=edits.pk if edits else None,
    )
    Reply.objects.filter(pk=reply.pk).update(status=Reply.Status.FINISHED, text=f"re: {text}")
    return reply.message


@pytest.fixture
def chat(alice, parrot) -> Conversation:
    return make_conversation(alice, parrot)


def test_it_branches_at_an_edited_message(chat):
    say(chat, "one")
    two = say(chat, "two")
    say(chat, "three")

    edited = say(chat, "zwei", edits=two)

    assert shown(chat) == ["one", "zwei"]
    assert (edited.position, edited.previous_id) == (two.position, two.previous_id)
    assert chat.messages.count() == 4


def test_the_first_message_can_be_edited(chat):
    one = say(chat, "one")
    say(chat, "two")

    say(chat, "eins", edits=one)

    assert shown(chat) == ["eins"]


def test_it_goes_back_to_the_other_branch_with_all_that_followed(chat):
    say(chat, "one")
    two = say(chat, "two")
    say(chat, "three")
    zwei = say(chat, "zwei", edits=two)
    say(chat, "drei")

    conversations.show_version(owner=chat.owner, message_id=two.pk)
    assert shown(chat) == ["one", "two", "three"]

    conversations.show_version(owner=chat.owner, message_id=zwei.pk)
    assert shown(chat) == ["one", "zwei", "drei"]


def test_a_branch_within_a_branch_leads_to_its_newest_end(chat):
    one = say(chat, "one")
    two = say(chat, "two")
    say(chat, "zwei", edits=two)
    say(chat, "eins", edits=one)

    conversations.show_version(owner=chat.owner, message_id=one.pk)

    assert shown(chat) == ["one", "zwei"]


def test_it_counts_the_versions_of_each_message(chat):
    one = say(chat, "one")
    two = say(chat, "two")
    zwei = say(chat, "zwei", edits=two)
    deux = say(chat, "deux", edits=zwei)
    conversations.show_version(owner=chat.owner, message_id=zwei.pk)

    first, second = selectors.turns(chat)

    assert (first.versions, first.version, first.earlier, first.later) == ([one.pk], 1, None, None)
    assert (second.versions, second.version) == ([two.pk, zwei.pk, deux.pk], 2)
    assert (second.earlier, second.later) == (two.pk, deux.pk)


def test_the_chat_model_reads_its_own_branch_only(chat, workers_client, commits):
    say(chat, "one")
    two = say(chat, "two")
    with commits():
        say(chat, "zwei", edits=two)

    assert [message.content for message in workers_client.requests[-1].messages] == ["one", "re: one", "zwei"]


def test_only_the_end_of_the_shown_branch_is_answered_again(chat):
    two = say(chat, "two")
    say(chat, "zwei", edits=two)

    with pytest.raises(InvalidValue, match="last message"):
        conversations.regenerate(owner=chat.owner, message_id=two.pk)


def test_a_message_of_another_conversation_is_not_edited(alice, parrot, chat):
    elsewhere = make_turn(make_conversation(alice, parrot), "elsewhere", "yes")

    with pytest.raises(NotFound) as refusal:
        say(chat, "mine", edits=elsewhere)

    assert refusal.value.field == "edits"


def test_another_person_can_neither_edit_nor_switch(charlie, parrot, chat):
    one = say(chat, "one")
    own = make_conversation(charlie, parrot)

    with pytest.raises(NotFound):
        say(own, "mine", edits=one)
    with pytest.raises(NotFound):
        conversations.show_version(owner=charlie, message_id=one.pk)


def test_no_branch_is_left_while_its_answer_runs(chat):
    one = say(chat, "one")
    eins = say(chat, "eins", edits=one)
    make_reply(eins, status=Reply.Status.QUEUED, outcome="")

    with pytest.raises(Busy):
        conversations.show_version(owner=chat.owner, message_id=one.pk)

    assert shown(chat) == ["eins"]


def test_the_database_keeps_one_active_message_per_position(chat):
    one = say(chat, "one")
    say(chat, "eins", edits=one)

    with pytest.raises(IntegrityError), transaction.atomic():
        Message.objects.filter(pk=one.pk).update(active=True)


def test_the_migration_chains_what_is_stored(chat):
    messages = [Message.objects.create(conversation=chat, position=n, text=str(n)) for n in (1, 2, 4)]

    importlib.import_module("arena.migrations.0008_branches").chain(apps, None)

    assert [Message.objects.get(pk=m.pk).previous_id for m in messages] == [
        None,
        messages[0].pk,
        messages[1].pk,
    ]


# --- the page ------------------------------------------------------------------------------------------------


def client_of(user) -> Client:
    client = Client()
    client.force_login(user)
    return client


def show(user, message_id: int):
    return client_of(user).post(reverse("arena:show_version", args=[message_id]))


def test_the_arrows_lead_to_the_other_versions(chat):
    one = say(chat, "one")
    eins = say(chat, "eins", edits=one)

    page = client_of(chat.owner).get(reverse("arena:conversation", args=[chat.pk])).content.decode()
    response = show(chat.owner, one.pk)

    assert f'formaction="/chat/messages/{one.pk}/show/"' in page
    assert f'formaction="/chat/messages/{eins.pk}/show/"' not in page
    assert response.url == f"/chat/{chat.pk}/#message-{one.pk}"
    assert shown(chat) == ["one"]


def test_another_persons_message_is_not_found(charlie, chat):
    one = say(chat, "one")

    assert show(charlie, one.pk).status_code == 404
    assert show(charlie, 10**30).status_code == 404


def test_switching_while_an_answer_runs_says_why_not(chat):
    one = say(chat, "one")
    make_reply(one, status=Reply.Status.QUEUED, outcome="")

    response = client_of(chat.owner).post(reverse("arena:show_version", args=[one.pk]), follow=True)

    assert "still being written" in response.content.decode()
