"""Files in battles: both sides are shown the same, and images only go to chat models that see."""

import pytest

from arena.errors import InvalidValue, NotEnoughChatModels, NotFound
from arena.models import Battle, Message
from arena.selectors import battles as selectors
from arena.services import attachments, battles
from tests.arena.battles.conftest import NAMES
from tests.arena.test_attachments import PNG, host_with, seeing
from tests.factories import make_chat_model

pytestmark = pytest.mark.django_db


def take(owner, name="notes.txt", content=b"Parrots live long."):
    return attachments.take_in(owner=owner, name=name, content=content).pk


def test_both_sides_read_the_same_file(player, pair, workers_client, commits):
    with commits():
        battle = battles.start(owner=player, text="How long?", attachment_ids=[take(player)]).battle

    asked = {request.messages[-1].content for request in workers_client.requests}
    assert asked == {'<file name="notes.txt">\nParrots live long.\n</file>\n\nHow long?'}
    assert len(workers_client.requests) == 2
    (turn,) = selectors.turns(battle)
    assert [file.name for file in turn.files] == ["notes.txt"]


def test_a_later_turn_remembers_the_file_of_the_first(player, pair, workers_client, commits):
    with commits():
        battle = battles.start(owner=player, text="How long?", attachment_ids=[take(player)]).battle
    workers_client.deliver_reports()
    with commits():
        battles.say(owner=player, battle_id=battle.pk, text="Sure?")

    later = workers_client.requests[2:]
    assert len(later) == 2
    assert all("Parrots live long." in request.messages[0].content for request in later)


def test_an_image_is_fought_about_by_chat_models_that_see_only(player, pair, workers_client, commits):
    make_chat_model("blind-1b")
    for name in ("blind-1b", *NAMES):
        host_with(workers_client, name)
    with pytest.raises(NotEnoughChatModels, match="look at images"):
        battles.start(owner=player, text="What?", attachment_ids=[take(player, "a.png", PNG)])
    assert not Battle.objects.exists()

    for name in NAMES:
        seeing(workers_client, name)
    for _ in range(3):
        with commits():
            battle = battles.start(
                owner=player, text="What?", attachment_ids=[take(player, "a.png", PNG)]
            ).battle
        workers_client.deliver_reports()
        assert {battle.left_name, battle.right_name} == set(NAMES)
    assert all(request.messages[-1].images for request in workers_client.requests)


def test_a_side_that_is_blind_is_not_named(player, pair, workers_client, commits):
    seeing(workers_client, NAMES[0])
    host_with(workers_client, NAMES[1])
    with commits():
        battle = battles.start(owner=player, text="Hello").battle
    workers_client.deliver_reports()

    with pytest.raises(InvalidValue, match="One of the two chat models cannot look") as caught:
        battles.say(
            owner=player, battle_id=battle.pk, text="What?", attachment_ids=[take(player, "a.png", PNG)]
        )

    assert not any(name in caught.value.message for name in NAMES)
    assert Message.objects.filter(conversation__battle=battle).count() == 2


def test_another_persons_file_does_not_exist(player, bob, pair, workers_client):
    with pytest.raises(NotFound):
        battles.start(owner=player, text="What?", attachment_ids=[take(bob)])
    assert not Battle.objects.exists()
