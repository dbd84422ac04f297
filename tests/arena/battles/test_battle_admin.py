"""Battles, votes, matchmaking and moderation in the admin."""

from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.db.models import Model
from django.test import Client
from django.urls import reverse

from arena.models import (
    Battle,
    BlockedPhrase,
    Contender,
    Conversation,
    Message,
    ModerationCase,
    PinnedPair,
    Reply,
    Terms,
    Vote,
)
from arena.services import battles, votes
from tests.arena.battles.conftest import NAMES
from tests.factories import make_user

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("pair")]


def url(name: str, *arguments: object) -> str:
    return reverse(f"admin:arena_{name}", args=arguments)


@pytest.fixture
def operator() -> Client:
    client = Client()
    client.force_login(make_user("operator", is_staff=True, is_superuser=True))
    return client


@pytest.fixture
def vote(player, workers_client) -> Vote:
    BlockedPhrase.objects.create(phrase="two")
    battle = battles.start(owner=player, text="Count <i>to</i> three.").battle
    workers_client.deliver_reports()
    return votes.cast_vote(owner=player, battle_id=battle.pk, choice="left", address="192.0.2.1")


def act(client: Client, name: str, action: str, row: Model) -> None:
    response = client.post(url(f"{name}_changelist"), {"action": action, "_selected_action": row.pk})
    assert response.status_code == 302, response.text


@pytest.mark.parametrize(
    "name", ["battle", "vote", "contender", "pinnedpair", "terms", "blockedphrase", "moderationcase"]
)
def test_every_list_and_every_row_opens(operator, vote, pair, name):
    Contender.objects.create(chat_model=pair[0], weight=2)
    PinnedPair.objects.create(first=pair[0], second=pair[1])
    Terms.objects.create(text="Be kind.")
    assert operator.get(url(f"{name}_changelist"), {"q": "a"} if name != "terms" else {}).status_code == 200
    model: Any = {
        "battle": Battle,
        "vote": Vote,
        "contender": Contender,
        "pinnedpair": PinnedPair,
        "terms": Terms,
        "blockedphrase": BlockedPhrase,
        "moderationcase": ModerationCase,
    }[name]
    assert operator.get(url(f"{name}_change", model.objects.first().pk)).status_code == 200


def test_it_shows_both_sides_of_a_battle_beside_each_other(operator, vote):
    html = operator.get(url("battle_change", vote.battle_id)).text
    assert html.count("One two three.") == 2
    assert "Count &lt;i&gt;to&lt;/i&gt; three." in html
    assert all(name in html for name in NAMES)


def test_it_shows_an_imported_battle(operator):
    battle = Battle.objects.create(
        left_name="a",
        right_name="b",
        source="file",
        turns=[{"prompt": "Why?", "left": "Because.", "right": "Hm."}],
    )
    html = operator.get(url("battle_change", battle.pk)).text
    assert "Because." in html
    assert "Hm." in html


def test_an_operator_leaves_a_vote_out_and_lets_it_in_again(operator, vote):
    act(operator, "vote", "leave_out", vote)
    vote.refresh_from_db()
    assert (vote.counted, vote.exclusion) == (False, "manual")
    act(operator, "vote", "let_in", vote)
    vote.refresh_from_db()
    assert (vote.counted, vote.exclusion) == (True, "")
    assert list(vote.decisions.values_list("decided_by__username", flat=True)) == ["operator"] * 2


def test_an_operator_decides_the_cases_of_the_queue(operator, vote):
    first, second = ModerationCase.objects.all()
    act(operator, "moderationcase", "dismiss", first)
    assert Vote.objects.get().counted
    act(operator, "moderationcase", "uphold", second)
    assert Vote.objects.get().exclusion == "moderation"
    assert sorted(ModerationCase.objects.values_list("status", flat=True)) == ["dismissed", "upheld"]


def test_a_case_about_an_answer_in_the_chat_leads_to_that_answer(operator, player, pair):
    conversation = Conversation.objects.create(owner=player, title="Birds", chat_model=pair[0])
    message = Message.objects.create(conversation=conversation, position=1, text="Hello")
    reply = Reply.objects.create(
        message=message, chat_model_name=NAMES[0], status="finished", text="Rude words"
    )
    case = ModerationCase.objects.create(reply=reply, origin=ModerationCase.Origin.FLAG, reason="Rude")

    place = f"{url('conversation_change', conversation.pk)}#reply-{reply.pk}"
    assert f'href="{place}"' in operator.get(url("moderationcase_changelist")).text
    assert f'href="{place}"' in operator.get(url("moderationcase_change", case.pk)).text
    assert f'id="reply-{reply.pk}"' in operator.get(place).text


def test_who_may_only_look_can_decide_nothing(vote):
    reader = make_user("reader", is_staff=True)
    reader.user_permissions.add(*Permission.objects.filter(codename__in=["view_vote", "view_battle"]))
    client = Client()
    client.force_login(reader)
    client.post(url("vote_changelist"), {"action": "leave_out", "_selected_action": vote.pk})
    assert Vote.objects.get().counted


def test_it_says_how_often_a_chat_model_fights(operator, pair):
    Contender.objects.create(chat_model=pair[0], weight=3)
    assert "100%" in operator.get(url("contender_changelist")).text


def test_a_pinned_pair_needs_two_chat_models(operator, pair):
    response = operator.post(
        url("pinnedpair_add"), {"first": pair[0].pk, "second": pair[0].pk, "share": "0.5"}
    )
    assert "two different chat models" in response.text
    assert not PinnedPair.objects.exists()
