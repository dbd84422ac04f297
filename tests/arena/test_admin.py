"""Conversations in the admin: readable, never editable."""

import pytest
from django.contrib.auth.models import Permission
from django.test import Client
from django.urls import reverse

from arena.models import Conversation, Reply
from arena.services import conversations
from tests.arena.conftest import make_conversation, make_reply, make_turn
from tests.factories import make_user

pytestmark = pytest.mark.django_db


def signed_in(user) -> Client:
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def reader(db) -> Client:
    """Staff who may look, and no more."""
    user = make_user("reader", is_staff=True)
    user.user_permissions.add(*Permission.objects.filter(codename__in=["view_conversation", "view_reply"]))
    return signed_in(user)


@pytest.fixture
def every_right(db) -> Client:
    """Staff with each permission on the arena's tables, but no superuser."""
    user = make_user("clerk", is_staff=True)
    user.user_permissions.add(*Permission.objects.filter(content_type__app_label="arena"))
    return signed_in(user)


def page(name: str, *arguments: object) -> str:
    return reverse(f"admin:arena_{name}", args=arguments)


def test_it_lists_and_finds_conversations(admin_client, alice, bob, talk, parrot):
    make_conversation(bob, parrot, title="Fish")

    listed = admin_client.get(page("conversation_changelist")).content.decode()
    assert "Birds" in listed
    assert "Fish" in listed
    for words in ("alice", "alice@example.org", "bird"):
        found = admin_client.get(page("conversation_changelist"), {"q": words}).content.decode()
        assert "Birds" in found
        assert "Fish" not in found


def test_it_shows_a_conversation_as_a_dialogue(admin_client, talk):
    failure = {
        "status": Reply.Status.FAILED,
        "outcome": "worker_lost",
        "error_message": "The worker has stopped.",
    }
    message = make_turn(talk, "And now?", "Sunny", prompt_tokens=12, completion_tokens=34, first_token_seconds=0.25,
                        total_seconds=1.5)  # fmt: skip
    make_reply(message, "", **failure)

    shown = admin_client.get(page("conversation_change", talk.pk)).content.decode()

    places = [shown.index(text) for text in ("Hello yourself", "How are you?", "And now?", "Sunny")]
    assert places == sorted(places)
    for fact in ("12 + 34 tokens", "first token after 0.25 s", "1.50 s in all", "version 2 of 2",
                 "Failed: worker_lost", "The worker has stopped.", "no text"):  # fmt: skip
        assert fact in shown


def test_it_escapes_what_was_said(admin_client, alice, parrot):
    conversation = make_conversation(alice, parrot, title="<script>alert(0)</script>")
    make_turn(conversation, "<script>alert(1)</script>", "<script>alert(2)</script>")

    assert (
        "<script>alert" not in admin_client.get(page("conversation_change", conversation.pk)).content.decode()
    )


def test_it_lists_replies_with_their_numbers_newest_first(admin_client, talk):
    numbers = {
        "prompt_tokens": 12,
        "completion_tokens": 4321,
        "first_token_seconds": 0.5,
        "total_seconds": 98.5,
    }
    make_reply(talk.messages.last(), "Slow", chat_model_name="slowpoke", **numbers)

    listed = admin_client.get(page("reply_changelist")).content.decode()
    assert "12 + 4321" in listed
    assert "0.50, 98.50" in listed
    table = listed[listed.index("result_list") :]
    assert table.index("slowpoke") < table.index("parrot")


def test_a_replys_page_leads_to_its_conversation(admin_client, talk):
    reply = talk.messages.last().replies.get()

    shown = admin_client.get(page("reply_change", reply.pk)).content.decode()
    assert page("conversation_change", talk.pk) in shown
    assert "As well as a parrot can be" in shown


@pytest.mark.parametrize("client", ["admin_client", "every_right", "reader"])
def test_nobody_edits_or_adds(request, talk, client):
    client = request.getfixturevalue(client)
    reply = talk.messages.last().replies.get()

    shown = client.get(page("conversation_change", talk.pk))
    assert shown.status_code == 200
    assert 'name="title"' not in shown.content.decode()
    assert client.post(page("conversation_change", talk.pk), {"title": "Falsified"}).status_code == 403
    assert client.post(page("reply_change", reply.pk), {"text": "Falsified"}).status_code == 403
    assert client.get(page("conversation_add")).status_code == 403
    assert client.get(page("reply_add")).status_code == 403
    assert Conversation.objects.get().title == "Birds"


@pytest.mark.parametrize("client", ["every_right", "reader"])
def test_only_superusers_delete(request, talk, client):
    client = request.getfixturevalue(client)

    assert client.post(page("conversation_delete", talk.pk), {"post": "yes"}).status_code == 403
    selected = {"action": "delete_selected", "_selected_action": [str(talk.pk)], "post": "yes"}
    client.post(page("conversation_changelist"), selected)
    assert Conversation.objects.exists()


def test_a_single_reply_cannot_be_deleted(admin_client, talk):
    reply = talk.messages.last().replies.get()

    assert admin_client.post(page("reply_delete", reply.pk), {"post": "yes"}).status_code == 403
    assert Reply.objects.filter(pk=reply.pk).exists()


def test_a_superuser_deletes_a_conversation_after_a_question(admin_client, talk):
    assert "Are you sure" in admin_client.get(page("conversation_delete", talk.pk)).content.decode()

    admin_client.post(page("conversation_delete", talk.pk), {"post": "yes"})
    assert not Conversation.objects.exists()


def test_deleting_in_the_admin_stops_what_runs(admin_client, alice, parrot, workers_client, commits):
    workers_client.host_script("parrot", "tokens=100000&rate=50")
    with commits():
        replies = [conversations.send_message(owner=alice, text="Talk on") for _ in range(2)]
    ids = [str(reply.message.conversation_id) for reply in replies]

    with commits():
        selected = {"action": "delete_selected", "_selected_action": ids, "post": "yes"}
        admin_client.post(page("conversation_changelist"), selected)

    assert not Conversation.objects.exists()
    assert {report.outcome for report in workers_client.deliver_reports()} == {"cancelled"}


@pytest.mark.parametrize("name", ["conversation_changelist", "reply_changelist"])
def test_staff_without_the_permission_and_others_see_nothing(alice, talk, name):
    staff = signed_in(make_user("staff", is_staff=True))

    assert staff.get(page(name)).status_code == 403
    assert staff.get(page("conversation_change", talk.pk)).status_code == 403
    assert signed_in(alice).get(page(name)).status_code == 302
    assert Client().get(page(name)).status_code == 302


@pytest.mark.parametrize("address", ["conversation_change", "reply_change"])
def test_an_unknown_id_is_no_error(admin_client, address):
    for unknown in ("x", "00000000-0000-0000-0000-000000000000"):
        assert admin_client.get(page(address, unknown)).status_code == 302


@pytest.mark.parametrize("name", ["conversation_changelist", "reply_changelist"])
def test_the_lists_need_as_many_queries_for_many_rows(
    admin_client, alice, parrot, name, django_assert_max_num_queries
):
    for number in range(30):
        make_turn(make_conversation(alice, parrot, title=f"Talk {number}"), "Hi", "Ho")

    with django_assert_max_num_queries(12):
        assert admin_client.get(page(name)).status_code == 200
