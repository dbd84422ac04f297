"""The chat pages: who sees what, and what a click does."""

import uuid
from datetime import UTC, date, datetime, timedelta

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from arena.models import Conversation, Reply
from arena.selectors import conversations as selectors
from tests.arena.conftest import make_conversation, make_reply, make_turn
from tests.factories import make_chat_model

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("workers_client")]

HTMX = {"HX-Request": "true"}


@pytest.fixture
def as_alice(alice) -> Client:
    return signed_in(alice)


def signed_in(user) -> Client:
    client = Client()
    client.force_login(user)
    return client


def url(name: str, conversation: Conversation | None = None) -> str:
    return reverse(f"arena:{name}", args=[conversation.pk] if conversation else [])


# --- the way in ----------------------------------------------------------------------------------------------


def test_the_front_door_leads_to_the_login_or_to_the_chat(client, as_alice):
    assert client.get("/").url == reverse("accounts:login")
    assert as_alice.get("/").url == "/chat/"


@pytest.mark.parametrize("name", ["chat", "sidebar", "conversation"])
def test_a_stranger_is_led_to_the_login_and_back(client, talk, name):
    address = url(name, talk if name == "conversation" else None)

    assert client.get(address).url == f"{reverse('accounts:login')}?next={address}"


@pytest.mark.parametrize("name", ["rename", "delete"])
def test_a_stranger_changes_nothing(client, talk, name):
    response = client.post(url(name, talk), {"title": "Mine"})

    assert response.status_code == 302
    assert Conversation.objects.get().title == "Birds"


def test_htmx_of_a_stranger_leads_the_whole_page_to_the_login(client):
    response = client.get(url("sidebar"), headers=HTMX)

    assert response.headers["HX-Redirect"] == reverse("accounts:login")
    assert response.content == b""


@pytest.mark.parametrize(
    ("name", "method"),
    [("home", "post"), ("chat", "post"), ("sidebar", "post"), ("conversation", "post"), ("conversation", "delete"),
     ("rename", "get"), ("delete", "get"), ("delete", "delete"), ("rename", "put")],
)  # fmt: skip
def test_each_address_takes_its_own_method_only(as_alice, talk, name, method):
    address = url(name, talk if name in ("conversation", "rename", "delete") else None)

    assert getattr(as_alice, method)(address).status_code == 405
    assert Conversation.objects.exists()


@pytest.mark.parametrize("name", ["rename", "delete"])
def test_changes_need_the_csrf_token(alice, talk, name):
    client = Client(enforce_csrf_checks=True)
    client.force_login(alice)

    assert client.post(url(name, talk), {"title": "Mine"}).status_code == 403
    assert Conversation.objects.get().title == "Birds"


# --- another person's ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["conversation", "rename", "delete"])
@pytest.mark.parametrize("who", ["bob", "charlie", "admin"])
def test_another_persons_conversation_is_not_found(bob, charlie, admin_user, talk, name, who):
    """Not even by an administrator, who reads in the admin, where it is seen."""
    client = signed_in({"bob": bob, "charlie": charlie, "admin": admin_user}[who])
    method = client.get if name == "conversation" else client.post

    answer = method(url(name, talk), {"title": "Mine", "open": str(talk.pk)})
    nobodys = method(reverse(f"arena:{name}", args=[uuid.uuid4()]), {"title": "Mine"})

    assert answer.status_code == nobodys.status_code == 404
    assert Conversation.objects.get().title == "Birds"


def test_lists_hold_ones_own_conversations_only(bob, as_alice, talk, parrot):
    make_conversation(bob, parrot, title="Bob's secret")

    for name in ("chat", "sidebar"):
        response = as_alice.get(url(name))
        assert "Birds" in response.content.decode()
        assert "secret" not in response.content.decode()


# --- the page ------------------------------------------------------------------------------------------------


def test_the_empty_page_offers_the_chat_models(as_alice, parrot):
    make_chat_model("absent")
    make_chat_model("secret", published=False)

    response = as_alice.get(url("chat"))

    assert response.status_code == 200
    assert [(choice.name, choice.served) for choice in response.context["chat_models"]] == [
        ("absent", False),
        ("parrot", True),
    ]
    assert response.context["chosen_model"] == "parrot"
    assert response.context["conversation"] is None
    assert response.context["turns"] == []


def test_a_newcomer_begins_with_what_the_catalog_had_first_and_then_with_the_last_one(
    as_alice, alice, bob, parrot, workers_client
):
    added = make_chat_model("another", description="Added for a trial; its name comes first.")
    workers_client.host_script(added.name)
    make_conversation(bob, added)

    def chosen() -> str:
        return str(as_alice.get(url("chat")).context["chosen_model"])

    assert chosen() == "parrot"
    make_conversation(alice, added)
    assert chosen() == "another"
    added.published = False
    added.save()
    assert chosen() == "parrot"


def test_the_page_comes_up_without_chat_models(as_alice):
    response = as_alice.get(url("chat"))

    assert (response.status_code, response.context["chosen_model"]) == (200, None)


def test_the_page_comes_up_although_the_broker_is_away(as_alice, parrot, monkeypatch):
    def break_down():
        raise ConnectionError("socket gone")

    monkeypatch.setattr("workers.client.statuses", break_down)

    response = as_alice.get(url("chat"))
    assert response.status_code == 200
    assert [choice.served for choice in response.context["chat_models"]] == [False]


def test_the_page_shows_the_conversation(as_alice, talk):
    response = as_alice.get(url("conversation", talk))

    page = response.content.decode()
    assert response.status_code == 200
    for text in ("Birds", "Hello yourself", "How are you?", "As well as a parrot can be"):
        assert text in page
    assert [turn.shown.text for turn in response.context["turns"]] == [
        "Hello yourself",
        "As well as a parrot can be",
    ]


def test_the_page_shows_the_newest_of_several_replies(as_alice, talk):
    make_reply(talk.messages.get(position=1), "Hello again")

    turn = as_alice.get(url("conversation", talk)).context["turns"][0]
    assert [reply.text for reply in turn.replies] == ["Hello yourself", "Hello again"]
    assert turn.shown.text == "Hello again"


def test_a_running_reply_is_rendered_for_the_page_to_watch(as_alice, talk):
    reply = make_reply(make_turn(talk, "And?"), status=Reply.Status.QUEUED, outcome="")

    page = as_alice.get(url("conversation", talk)).content.decode()
    assert f'data-reply="{reply.id}" data-status="queued"' in page


def test_the_page_escapes_what_people_and_models_write(as_alice, alice, parrot):
    conversation = make_conversation(
        alice, parrot, title="<script>alert(1)</script>", system_prompt="</textarea><b>"
    )
    make_turn(conversation, "<img src=x onerror=alert(2)>", "<script>alert(3)</script>")

    page = as_alice.get(url("conversation", conversation)).content.decode()
    for payload in ("<script>alert", "<img src=x", "</textarea><b>"):
        assert payload not in page


def test_the_page_chooses_the_conversations_chat_model_while_it_is_published(as_alice, talk, parrot):
    make_chat_model("absent")
    assert as_alice.get(url("conversation", talk)).context["chosen_model"] == "parrot"

    parrot.published = False
    parrot.save()
    assert as_alice.get(url("conversation", talk)).context["chosen_model"] == "absent"


def test_the_page_of_a_conversation_without_its_chat_model_comes_up(as_alice, talk, parrot):
    parrot.delete()

    assert as_alice.get(url("conversation", talk)).status_code == 200


def test_the_pages_are_not_kept_by_a_browser(as_alice, talk):
    assert "no-store" in as_alice.get(url("conversation", talk)).headers["Cache-Control"]


# --- many rows -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["chat", "sidebar", "conversation"])
def test_the_number_of_queries_does_not_grow_with_the_rows(
    as_alice, alice, talk, parrot, name, django_assert_max_num_queries
):
    for number in range(60):
        make_conversation(alice, parrot, title=f"Conversation {number}")
    for number in range(40):
        make_turn(talk, f"Question {number}", "one", "two")

    # Session, user, list, folders, presets, catalog; for a conversation itself, its messages, replies and files.
    with django_assert_max_num_queries(11):
        response = as_alice.get(url(name, talk if name == "conversation" else None))
    assert "Conversation 59" in response.content.decode()


# --- rename and delete ---------------------------------------------------------------------------------------


def test_a_renamed_conversation_is_answered_with_its_line(as_alice, talk):
    response = as_alice.post(url("rename", talk), {"title": "Old  birds"}, headers=HTMX)

    assert response.status_code == 200
    assert "Old birds" in response.content.decode()
    assert f'data-item="{talk.pk}"' in response.content.decode()
    assert Conversation.objects.get().title == "Old birds"


@pytest.mark.parametrize("data", [{}, {"title": ""}, {"title": "   "}, {"title": "x" * 201}, {"name": "x"}])
def test_a_title_that_is_none_is_refused_in_a_sentence(as_alice, talk, data):
    response = as_alice.post(url("rename", talk), data, headers=HTMX)

    assert response.status_code == 422
    assert response.headers["Content-Type"] == "text/plain"
    assert response.content.decode().startswith("title: ")
    assert Conversation.objects.get().title == "Birds"


def test_a_deleted_conversation_leaves_an_empty_place(as_alice, talk):
    response = as_alice.post(url("delete", talk), {"open": str(uuid.uuid4())}, headers=HTMX)

    assert (response.status_code, response.content) == (200, b"")
    assert "HX-Redirect" not in response.headers
    assert not Conversation.objects.exists()


def test_deleting_the_open_conversation_leads_away_from_it(as_alice, talk):
    response = as_alice.post(url("delete", talk), {"open": str(talk.pk)}, headers=HTMX)

    assert response.headers["HX-Redirect"] == "/chat/"


def test_deleting_twice_is_not_found(as_alice, talk):
    as_alice.post(url("delete", talk))

    assert as_alice.post(url("delete", talk)).status_code == 404


@pytest.mark.parametrize(
    "address",
    ["/chat/x/", "/chat/1/", "/chat/../admin/", "/chat/2cafbb40-b3ea-488a-8ab6-8957e9492921/share/"],
)
def test_what_is_no_conversation_is_not_found(as_alice, address):
    assert as_alice.get(address).status_code == 404


# --- days ----------------------------------------------------------------------------------------------------


def at(day: str) -> Conversation:
    moment = datetime.combine(date.fromisoformat(day), datetime.min.time(), tzinfo=UTC) + timedelta(hours=12)
    return Conversation(title=day, updated_at=moment)


def test_it_groups_by_day_more_coarsely_with_age():
    days = ["2026-05-21", "2026-05-20", "2026-05-20", "2026-05-19", "2026-05-18", "2026-05-13", "2026-05-12",
            "2026-04-20", "2026-04-19", "2026-04-01", "2025-04-01"]  # fmt: skip

    groups = selectors.grouped_by_day([at(day) for day in days], today=date(2026, 5, 20))

    assert [(group.label, [one.title for one in group.conversations]) for group in groups] == [
        ("Today", ["2026-05-21", "2026-05-20", "2026-05-20"]),
        ("Yesterday", ["2026-05-19"]),
        ("Previous 7 days", ["2026-05-18", "2026-05-13"]),
        ("Previous 30 days", ["2026-05-12", "2026-04-20"]),
        ("April 2026", ["2026-04-19", "2026-04-01"]),
        ("April 2025", ["2025-04-01"]),
    ]


def test_it_groups_nothing_into_nothing():
    assert selectors.grouped_by_day([]) == []


def test_a_day_begins_at_midnight_of_the_sites_time_zone():
    conversation = Conversation(updated_at=datetime(2026, 5, 20, 23, 30, tzinfo=UTC))

    with timezone.override("Asia/Tokyo"):
        (group,) = selectors.grouped_by_day([conversation], today=date(2026, 5, 21))
    assert group.label == "Today"
