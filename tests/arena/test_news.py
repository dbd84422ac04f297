"""What one page of a person hears of the others, through the whole ASGI application."""

import uuid

import pytest
import redis
from asgiref.sync import sync_to_async
from channels.layers import InMemoryChannelLayer, get_channel_layer

from arena import consumers
from arena.services import conversations, news
from tests.arena.conftest import Page, make_conversation, make_turn

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("_hub")]


async def listening(page: Page) -> Page:
    """Opened, and sure to hear what is announced from now on."""
    await page.open()
    await page.send(type="listen")
    assert await page.hear() == {"type": "news"}
    return page


async def test_a_second_page_hears_of_the_first_ones_message(alice, parrot, workers_client, control, page_of):
    first = await (await sync_to_async(page_of)(alice)).open()
    second = await listening(await sync_to_async(page_of)(alice))

    accepted = await first.say("Hello")

    heard = await second.hear()
    assert heard == {
        "type": "news",
        "conversation": accepted["conversation"]["id"],
        "reply": accepted["reply"]["id"],
    }
    await second.send(type="watch", reply=heard["reply"], after="")
    assert (await second.events(heard["reply"]))[-1]["event"]["type"] == "finished"


async def test_nobody_elses_page_hears_of_it(alice, bob, parrot, workers_client, control, page_of):
    page = await (await sync_to_async(page_of)(alice)).open()
    bobs = await listening(await sync_to_async(page_of)(bob))

    await page.say("Hello")

    assert await bobs.nothing()


async def test_it_tells_of_a_new_title_a_pin_another_version_and_a_deletion(alice, page_of):
    talk = await sync_to_async(make_conversation)(alice)
    message = await sync_to_async(make_turn)(talk, "Hi", "Hello")
    page = await listening(await sync_to_async(page_of)(alice))

    for service, values in (
        (conversations.rename, {"conversation_id": talk.pk, "title": "Parrots"}),
        (conversations.pin, {"conversation_id": talk.pk, "pinned": True}),
        (conversations.show_version, {"message_id": message.pk}),
        (conversations.delete, {"conversation_id": talk.pk}),
    ):
        await sync_to_async(service)(owner=alice, **values)
        assert await page.hear() == {"type": "news", "conversation": str(talk.pk)}


async def test_it_answers_a_ping_and_listens_only_once(alice, page_of):
    page = await listening(await sync_to_async(page_of)(alice))

    await page.send(type="listen")
    await page.send(type="ping")

    assert await page.hear() == {"type": "pong"}


async def test_a_page_hears_news_of_nothing_when_the_channel_layer_is_back(alice, page_of, monkeypatch):
    monkeypatch.setattr(consumers, "LAYER_AWAY", 0.01)
    receive, failures = InMemoryChannelLayer.receive, [redis.ConnectionError("away")]

    async def received(layer, channel):
        if failures:
            raise failures.pop()
        return await receive(layer, channel)

    monkeypatch.setattr(InMemoryChannelLayer, "receive", received)
    page = await listening(await sync_to_async(page_of)(alice))

    assert await page.hear() == {"type": "news"}
    assert await page.nothing()


async def test_a_page_that_was_closed_is_in_no_group_any_more(alice, page_of):
    page = await listening(await sync_to_async(page_of)(alice))
    await page.close()

    assert news.group_of(alice.pk) not in get_channel_layer().groups


def test_a_wish_is_granted_while_the_channel_layer_is_away(alice, monkeypatch):
    async def gone(layer, group, message):
        raise redis.ConnectionError("away")

    monkeypatch.setattr(InMemoryChannelLayer, "group_send", gone)
    talk = make_conversation(alice)

    assert conversations.rename(owner=alice, conversation_id=talk.pk, title="Owls").title == "Owls"


def test_nothing_is_announced_of_what_was_rolled_back(alice, monkeypatch):
    sent = []
    monkeypatch.setattr(news, "_send", lambda owner, what: sent.append(what))
    talk = make_conversation(alice)

    with pytest.raises(Exception, match="at least one letter"):
        conversations.rename(owner=alice, conversation_id=talk.pk, title=" ")

    assert sent == []


def test_the_turns_alone_are_for_the_owner_only(client, alice, charlie):
    talk = make_conversation(alice)
    make_turn(talk, "Hi", "Hello there")
    address = f"/chat/{talk.pk}/turns/"

    client.force_login(alice)
    page = client.get(address).content.decode()
    assert "Hello there" in page
    assert "<html" not in page
    client.force_login(charlie)
    assert client.get(address).status_code == 404
    assert client.get(f"/arena/{uuid.uuid4()}/state/").status_code == 404
