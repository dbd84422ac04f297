"""Searching, pinning, and the list that opens in steps."""

from datetime import timedelta

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from arena.models import Conversation
from arena.selectors import conversations as selectors
from arena.selectors import searching
from arena.views.chat import LISTED_AT_ONCE
from tests.arena.conftest import make_conversation, make_turn

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("workers_client")]


def found(user, query: str) -> list[str]:
    return [conversation.title for conversation, _ in searching.search(user, query)]


@pytest.fixture
def as_alice(alice) -> Client:
    client = Client()
    client.force_login(alice)
    return client


@pytest.fixture
def talks(alice, parrot):
    make_turn(make_conversation(alice, parrot, title="Birds"), "Do parrots sleep?", "They doze on a branch.")
    make_turn(make_conversation(alice, parrot, title="天气"), "今天北京的天气怎么样", "晴，有 50% 的云")


@pytest.mark.parametrize(
    "query", ["birds", "PARROTS", "doze", "parrots doze", "branch birds sleep", "  doze  "]
)
def test_it_finds_each_word_in_title_message_or_answer(alice, talks, query):
    assert found(alice, query) == ["Birds"]


def test_it_finds_words_without_blanks_around_them(alice, talks):
    assert found(alice, "北京") == ["天气"]


@pytest.mark.parametrize("query", ["parrots eagle", "%", "_", "' OR 1=1 --", "\\"])
def test_it_finds_only_what_holds_every_word_as_it_is_written(alice, talks, query):
    assert found(alice, query) == (["天气"] if query == "%" else [])


@pytest.mark.parametrize("query", ["", "   ", "\x00"])
def test_it_finds_nothing_for_nothing(alice, talks, query):
    assert found(alice, query) == []


def test_another_person_finds_nothing(charlie, talks):
    assert found(charlie, "parrots") == []


def test_the_excerpt_shows_the_surroundings_of_the_word():
    text = "a" * 100 + " needle\n in " + "b" * 100

    assert searching.excerpt(text, "NEEDLE") == "…" + "a" * 39 + " needle in " + "b" * 35 + "…"
    assert searching.excerpt("short", "short") == "short"


def test_the_page_shows_what_was_found_and_escapes_it(as_alice, alice, parrot):
    make_turn(make_conversation(alice, parrot, title="<b>T</b>"), "find <i>me</i>", "ok")

    page = as_alice.get(reverse("arena:sidebar"), {"q": "find"}).content.decode()

    assert "1 conversation found" in page
    assert "find &lt;i&gt;me&lt;/i&gt;" in page
    assert "&lt;b&gt;T&lt;/b&gt;" in page


def test_the_page_says_that_nothing_was_found(as_alice, talks):
    page = as_alice.get(reverse("arena:sidebar"), {"q": "eagle"}).content.decode()

    assert "Nothing holds all the words of “eagle”" in page


def test_a_search_costs_one_query_however_much_it_finds(alice, talks, django_assert_num_queries):
    with django_assert_num_queries(1):
        assert len(searching.search(alice, "天")) == 1


# --- pins ----------------------------------------------------------------------------------------------------


def pin(client: Client, conversation: Conversation, pinned: str):
    return client.post(reverse("arena:pin", args=[conversation.pk]), {"pinned": pinned})


def test_a_pinned_conversation_stays_on_top(as_alice, alice, parrot):
    old = make_conversation(alice, parrot, title="Old", updated_at=timezone.now() - timedelta(days=90))
    make_conversation(alice, parrot, title="New")

    response = pin(as_alice, old, "true")

    groups = [
        (group.label, [str(item) for item in group.conversations])
        for group in response.context["conversation_groups"]
    ]
    assert groups == [("Pinned", ["Old"]), ("Today", ["New"])]
    pin(as_alice, old, "false")
    assert [str(item) for item in selectors.sidebar(alice)] == ["New", "Old"]


def test_another_persons_conversation_is_not_pinned(client, charlie, talk):
    client.force_login(charlie)

    assert pin(client, talk, "true").status_code == 404
    assert not Conversation.objects.get().pinned


# --- steps ---------------------------------------------------------------------------------------------------


def test_a_long_list_opens_in_steps(as_alice, alice):
    Conversation.objects.bulk_create(
        Conversation(owner=alice, title=f"No. {number}") for number in range(LISTED_AT_ONCE + 1)
    )

    first = as_alice.get(reverse("arena:sidebar"))
    whole = as_alice.get(reverse("arena:sidebar"), {"limit": first.context["longer_list"]})

    assert len(first.context["conversations"]) == LISTED_AT_ONCE
    assert f"limit={2 * LISTED_AT_ONCE}" in first.content.decode()
    assert len(whole.context["conversations"]) == LISTED_AT_ONCE + 1
    assert whole.context["longer_list"] is None


@pytest.mark.parametrize("limit", ["", "-1", "many", "9" * 30, "²"])
def test_a_wrong_limit_is_no_error(as_alice, talks, limit):
    assert len(as_alice.get(reverse("arena:sidebar"), {"limit": limit}).context["conversations"]) == 2
