"""The arena's pages over HTTP."""

import re
import uuid

import pytest
from django.test import Client
from django.urls import reverse

from arena.models import Battle, ModerationCase, Terms, Vote
from arena.services import battles, terms
from arena.services.votes import address_hash
from tests.arena.battles.conftest import NAMES
from tests.workers.support import PATIENCE

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("pair")]


@pytest.fixture
def browser(player) -> Client:
    client = Client()
    client.force_login(player)
    return client


@pytest.fixture
def stranger(charlie) -> Client:
    terms.accept(user=charlie)
    client = Client()
    client.force_login(charlie)
    return client


@pytest.fixture
def battle(player, workers_client) -> Battle:
    started = battles.start(owner=player, text="Count <b>to</b> three.").battle
    workers_client.deliver_reports()
    return started


def address(battle: Battle, action: str = "battle") -> str:
    return reverse(f"arena:{action}", args=[battle.pk])


@pytest.mark.parametrize("name", ["anonymous", "side_by_side", "battles"])
def test_it_wants_people_to_sign_in(name):
    response = Client().get(reverse(f"arena:{name}"))
    assert response.status_code == 302
    assert response["Location"].startswith(reverse("accounts:login"))


def test_it_shows_the_terms_once(alice):
    client = Client()
    client.force_login(alice)
    assert "Before your first battle" in client.get(reverse("arena:anonymous")).text
    assert client.post(reverse("arena:accept_terms"), {"mode": "side_by_side"})["Location"] == reverse(
        "arena:side_by_side"
    )
    assert "Before your first battle" not in client.get(reverse("arena:anonymous")).text


def test_it_shows_the_operators_own_terms_as_text(alice):
    Terms.objects.create(text="No <script>alert(1)</script>")
    client = Client()
    client.force_login(alice)
    assert "&lt;script&gt;" in client.get(reverse("arena:anonymous")).text


def test_no_page_of_a_person_names_the_chat_models_before_the_vote(browser, battle):
    for page in (
        address(battle),
        reverse("arena:anonymous"),
        reverse("arena:battles"),
        reverse("accounts:usage"),
    ):
        html = browser.get(page).text
        assert not any(name in html for name in NAMES), page
        assert battle.nonce not in html
    assert "One two three." in browser.get(address(battle)).text
    assert battle.commitment in browser.get(address(battle)).text


def test_neither_answer_is_on_the_page_while_the_other_runs(browser, player, workers_client):
    workers_client.host_script(NAMES[0], "reply=slow words&first=600")
    battle = battles.start(owner=player, text="Go").battle
    workers_client._running[1 if battle.right_name == NAMES[1] else 0].result(PATIENCE)
    workers_client.wait_idle = lambda timeout=10: None
    workers_client.deliver_reports()
    html = browser.get(address(battle)).text
    assert "One two three." not in html
    assert html.count('data-status="queued"') >= 2
    battles.stop(owner=player, battle_id=battle.pk)


def test_it_escapes_what_people_write(browser, battle):
    html = browser.get(address(battle)).text
    assert "Count &lt;b&gt;to&lt;/b&gt; three." in html


def test_it_answers_a_vote_with_the_names_and_the_opened_seal(browser, battle):
    response = browser.post(address(battle, "cast_vote"), {"choice": "left", "reasons": ["clear", "useful"]})
    opened = response.json()
    assert (opened["left"]["name"], opened["right"]["name"]) == (battle.left_name, battle.right_name)
    assert opened["sealed_text"].split("\n") == [
        str(battle.pk),
        battle.left_name,
        battle.right_name,
        battle.nonce,
    ]
    assert Vote.objects.get().reasons == ["clear", "useful"]
    html = browser.get(address(battle)).text
    assert battle.left_name in html
    assert battle.right_name in html


def test_it_answers_a_second_vote_with_a_conflict(browser, battle):
    browser.post(address(battle, "cast_vote"), {"choice": "left"})
    response = browser.post(address(battle, "cast_vote"), {"choice": "right"})
    assert response.status_code == 409
    assert response.json()["error"]["code"] == "voted"


@pytest.mark.parametrize("choice", ["", "LEFT", "x" * 10_000])
def test_it_names_the_field_of_a_vote_that_is_none(browser, battle, choice):
    response = browser.post(address(battle, "cast_vote"), {"choice": choice})
    assert response.status_code == 422
    assert response.json()["error"]["field"] == "choice"
    assert battle.left_name not in response.text


@pytest.mark.parametrize("action", ["battle", "cast_vote", "flag", "share_battle"])
def test_another_persons_battle_does_not_exist(stranger, battle, action):
    fields = {"choice": "left", "reason": "rude"}
    for pk in (battle.pk, uuid.uuid4()):
        url = reverse(f"arena:{action}", args=[pk])
        response = stranger.get(url) if action == "battle" else stranger.post(url, fields)
        assert response.status_code == 404
    assert not Vote.objects.exists()


def test_it_does_not_change_anything_by_a_link(browser, battle):
    for action in ("cast_vote", "flag", "share_battle"):
        assert browser.get(address(battle, action)).status_code == 405


def test_it_shares_a_battle_with_everybody_and_takes_that_back(browser, battle):
    assert browser.post(address(battle, "share_battle")).status_code == 422
    browser.post(address(battle, "cast_vote"), {"choice": "tie"})
    link = browser.post(address(battle, "share_battle")).json()["link"]
    path = re.sub(r"^https?://[^/]+", "", link)
    page = Client().get(path)
    assert page.status_code == 200
    assert battle.left_name in page.text
    assert "alice" not in page.text
    browser.post(address(battle, "share_battle"), {"revoke": "1"})
    assert Client().get(path).status_code == 404
    assert Client().get(reverse("arena:shared", args=["x"])).status_code == 404


def test_it_takes_a_flag_with_a_reason(browser, battle):
    assert browser.post(address(battle, "flag"), {"reason": " "}).json()["error"]["field"] == "reason"
    assert browser.post(address(battle, "flag"), {"reason": "It is rude."}).json() == {"flagged": True}
    assert ModerationCase.objects.get().reason == "It is rude."


def test_it_counts_the_address_that_a_trusted_proxy_saw_and_no_claim(browser, battle, settings):
    settings.TRUSTED_PROXIES = 1
    browser.post(
        address(battle, "cast_vote"),
        {"choice": "left"},
        headers={"x-forwarded-for": "203.0.113.9, 192.0.2.1"},
    )
    assert Vote.objects.get().address_hash == address_hash("192.0.2.1")


def test_it_lists_chat_models_to_pick_only_for_a_named_comparison(browser):
    assert NAMES[0] in browser.get(reverse("arena:side_by_side")).text


def test_it_says_when_there_are_too_few_chat_models(browser, workers_client):
    workers_client.unhost(NAMES[0])
    assert "A battle needs two chat models" in browser.get(reverse("arena:anonymous")).text
