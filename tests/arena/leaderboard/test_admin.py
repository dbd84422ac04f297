"""What operators do with the leaderboard."""

from datetime import date, timedelta

import pytest
from django.test import Client
from django.utils import timezone

from arena.models import Listing, ListingChange, Snapshot, Vote
from arena.selectors import statistics
from arena.services import publishing
from chatsite.accounts.models import User
from tests.arena.conftest import make_conversation, make_turn
from tests.arena.leaderboard.conftest import make_vote

pytestmark = pytest.mark.django_db


@pytest.fixture
def operator(alice: User):
    alice.is_staff = alice.is_superuser = True
    alice.save()
    client = Client()
    client.force_login(alice)
    return client


def test_a_button_publishes_the_board(operator):
    address = "/admin/arena/snapshot/publish/"
    assert "no votes" in operator.post(address, follow=True).content.decode()
    make_vote("a", "b", "left")
    page = operator.post(address, follow=True).content.decode()
    assert "of 1 votes" in page
    assert Snapshot.objects.filter(published_by__username="alice").exists()
    assert operator.get(address).status_code == 405
    assert Client().post(address).status_code == 302


def test_staff_without_the_permission_publish_nothing(bob):
    bob.is_staff = True
    bob.save()
    make_vote("a", "b", "left")
    client = Client()
    client.force_login(bob)
    assert client.post("/admin/arena/snapshot/publish/").status_code == 403
    assert not Snapshot.objects.exists()


def test_an_action_solves_a_board_again(operator):
    make_vote("a", "b", "left")
    snapshot = publishing.publish()
    post = {"action": "verify", "_selected_action": [snapshot.pk]}
    assert "holds, bit for bit" in operator.post("/admin/arena/snapshot/", post, follow=True).content.decode()
    Vote.objects.update(choice="tie")
    assert "not the same" in operator.post("/admin/arena/snapshot/", post, follow=True).content.decode()


def test_a_published_board_can_be_read_but_not_changed(operator):
    make_vote("a", "b", "left")
    address = f"/admin/arena/snapshot/{publishing.publish().pk}/change/"
    assert operator.get(address).status_code == 200
    assert operator.post(address, {"slice": "x"}).status_code == 403


def test_hiding_a_chat_model_writes_the_log(operator):
    entry = {"name": "a", "organisation": "Aviary", "licence": "", "link": "", "visibility": "public"}
    operator.post("/admin/arena/listing/add/", entry)
    assert not ListingChange.objects.exists()
    entry["visibility"] = "withdrawn"
    number = operator.get("/admin/arena/listing/").context["cl"].result_list[0].pk
    operator.post(f"/admin/arena/listing/{number}/change/", entry)
    change = ListingChange.objects.get()
    assert (change.name, change.visibility, str(change.changed_by)) == ("a", "withdrawn", "alice")
    assert operator.get("/admin/arena/listingchange/").status_code == 200


def test_the_days_are_counted(alice, bob, parrot):
    today = timezone.localdate()
    make_turn(make_conversation(alice, parrot), "Hello", "Hello")
    make_turn(make_conversation(bob, parrot), "Hello", "Hello", "Again")
    make_vote("parrot", "lorem", "left", at=timezone.now(), voter=alice)
    make_vote("parrot", "lorem", "left", at=timezone.now() - timedelta(days=400), voter=alice)
    numbers = statistics.daily(days=7)
    assert numbers.days[-1] == today
    assert len(numbers.days) == 7
    assert (numbers.chats[-1], numbers.votes[-1], numbers.active_users[-1]) == (2, 1, 2)
    assert sum(numbers.votes) == 1
    assert list(numbers.models) == [("parrot", 3, 1), ("lorem", 0, 1)]


def test_days_without_anything_are_zero():
    numbers = statistics.daily(days=3, today=date(2026, 3, 2))
    assert list(numbers.days) == [date(2026, 2, 28), date(2026, 3, 1), date(2026, 3, 2)]
    assert list(numbers.chats) == [0, 0, 0]


@pytest.mark.parametrize("days", ["", "?days=7", "?days=365", "?days=nonsense", "?days=-1"])
def test_the_page_of_the_days_shows_plots_and_tables(operator, days):
    make_vote("<b>a</b>", "b", "left", at=timezone.now())
    html = operator.get(f"/admin/arena/dailystatistics/{days}").content.decode()
    assert html.count('<svg class="plot"') == 4
    # Nobody has answered anything: the fifth says so.
    assert "<figcaption>Replies of each chat model</figcaption><p" in html
    assert "&lt;b&gt;a" in html
    assert "<b>a" not in html


def test_the_page_of_the_days_is_for_operators(alice):
    client = Client()
    client.force_login(alice)
    assert client.get("/admin/arena/dailystatistics/").status_code == 302


def test_the_entries_show_rank_rating_and_votes(operator):
    for _ in range(20):
        make_vote("a", "b", "left")
        make_vote("b", "a", "tie")
    Listing.objects.create(name="b", organisation="Beta")
    Listing.objects.create(name="nobody")
    page = operator.get("/admin/arena/listing/").content.decode()
    assert '<td class="field-votes">40</td>' in page
    assert '<td class="field-rank">2</td>' in page
    assert '<td class="field-rating">–</td>' in page
