"""The chat page's websocket, through the whole ASGI application."""

import asyncio
import uuid
from datetime import timedelta
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from channels.testing import WebsocketCommunicator
from django.contrib.sessions.models import Session

from arena.consumers import FOLLOWED_AT_ONCE, FRAMES_AT_ONCE, ChatConsumer
from arena.models import Conversation, Message, Reply
from chatsite.asgi import application
from tests.arena.conftest import ORIGIN, Page, make_conversation, make_reply, make_turn, text_of, until
from tests.workers.support import PATIENCE, make_request
from workers import follow
from workers.connections import broker

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("_hub")]


@sync_to_async
def stored(reply_id: str) -> Reply:
    return Reply.objects.get(pk=reply_id)


# --- who may connect -----------------------------------------------------------------------------------------


async def test_it_turns_away_who_is_not_signed_in(db):
    assert await (await Page("").open()).close_code() == 4401


async def test_it_turns_away_a_made_up_session(db):
    assert await (await Page("x" * 32).open()).close_code() == 4401


@pytest.mark.parametrize(
    "origin",
    [
        None,
        "",
        "null",
        "http://evil.example",
        "http://localhost.evil.example",
        "http://localhost:9000",  # another program's page on this machine, to which cookies go as well
        "https://localhost",
        "http://[",
    ],
)
async def test_it_refuses_a_connection_from_another_site(alice, sign_in, origin):
    page = Page(await sync_to_async(sign_in)(alice), origin)

    connected, _ = await page.socket.connect(timeout=PATIENCE)
    assert not connected


async def test_it_lets_in_the_public_address_of_a_proxy_that_rewrites_the_host(alice, sign_in, settings):
    settings.CSRF_TRUSTED_ORIGINS = ["https://chat.example"]
    cookie = await sync_to_async(sign_in)(alice)

    page = await Page(cookie, "https://chat.example").open()

    await page.send(type="watch", reply=str(uuid.uuid4()))
    assert (await page.hear())["code"] == "not_found"


async def test_an_unknown_address_is_refused_and_no_exception():
    headers = [(b"host", b"localhost"), (b"origin", ORIGIN.encode())]
    socket = WebsocketCommunicator(application, "/ws/nowhere/", headers=headers)

    connected, _ = await socket.connect(timeout=PATIENCE)
    assert not connected


async def test_it_ends_the_page_when_the_person_has_logged_out(alice, parrot, workers_client, page_of):
    page = await (await sync_to_async(page_of)(alice)).open()
    await sync_to_async(Session.objects.all().delete)()

    await page.send(type="send", client_id=uuid.uuid4().hex, text="Hi")

    assert await page.close_code() == 4401
    assert not await Conversation.objects.aexists()


async def test_it_ends_the_page_of_a_locked_account(alice, parrot, workers_client, page_of):
    page = await (await sync_to_async(page_of)(alice)).open()
    alice.is_active = False
    await alice.asave()

    await page.send(type="send", client_id=uuid.uuid4().hex, text="Hi")

    assert await page.close_code() == 4401


async def test_it_ends_the_page_after_a_password_change_elsewhere(alice, parrot, workers_client, page_of):
    page = await (await sync_to_async(page_of)(alice)).open()
    alice.set_password("another horse battery")
    await alice.asave()

    await page.send(type="send", client_id=uuid.uuid4().hex, text="Hi")

    assert await page.close_code() == 4401


# --- a message becomes tokens --------------------------------------------------------------------------------


async def test_it_answers_a_message(alice, parrot, workers_client, control, page_of):
    workers_client.host_script("parrot", "reply=Hello there, Alice&rate=200")
    page = await (await sync_to_async(page_of)(alice)).open()
    client_id = uuid.uuid4().hex

    accepted = await page.say("Say hello", client_id=client_id)

    conversation = await Conversation.objects.aget()
    message = await Message.objects.aget()
    assert accepted == {
        "type": "accepted",
        "client_id": client_id,
        "conversation": {
            "id": str(conversation.id),
            "title": "Say hello",
            "url": f"/chat/{conversation.id}/",
            "created": True,
        },
        "message": {"id": message.id, "text": "Say hello"},
        "reply": {
            "id": accepted["reply"]["id"],
            "chat_model": "parrot",
            "repeatable": False,
            "probabilities": False,
            "replays": None,
        },
    }
    heard = await page.events(accepted["reply"]["id"])
    assert text_of(heard) == "Hello there, Alice"
    assert heard[0]["event"] == {"type": "started", "attempt": 1}
    assert heard[-1]["event"]["reason"] == "stop"
    assert heard[-1]["event"]["usage"]["completion_tokens"] == 3
    assert len({frame["seq"] for frame in heard}) == len(heard)
    await page.close()


async def test_it_tells_the_place_in_the_queue(alice, parrot, workers_client, control, page_of, monkeypatch):
    held: list[tuple[str, int, str]] = []
    monkeypatch.setattr(follow, "FIRST_CHECK_SECONDS", 0.02)
    monkeypatch.setattr(follow, "PLACE_SECONDS", 0.05)
    release = workers_client.publish
    monkeypatch.setattr(workers_client, "publish", lambda *message: held.append(message))
    await sync_to_async(workers_client.submit)(make_request(chat_model="parrot", report_task="", id="0" * 32))
    page = await (await sync_to_async(page_of)(alice)).open()

    reply = (await page.say("Hi"))["reply"]["id"]

    waiting = {"type": "waiting", "reply": reply, "loading": False}
    assert await page.hear() == {**waiting, "position": 2}
    await until(lambda: len(held) == 2)
    release(*held[0])
    assert await page.hear() == {**waiting, "position": 1}
    release(*held[1])
    assert text_of(await page.events(reply)) == "Hi"
    await page.close()


async def test_it_never_says_which_worker_answers(alice, parrot, workers_client, control, page_of):
    page = await (await sync_to_async(page_of)(alice)).open()
    accepted = await page.say("Hi")

    heard = await page.events(accepted["reply"]["id"])

    assert "in-process" not in str(heard)
    await page.close()


async def test_the_answer_is_stored_when_the_page_hears_of_its_end(
    alice, parrot, workers_client, control, page_of
):
    page = await (await sync_to_async(page_of)(alice)).open()
    accepted = await page.say("Hi")
    await page.events(accepted["reply"]["id"])

    assert (await stored(accepted["reply"]["id"])).status == Reply.Status.FINISHED
    # So the next message is not refused, however quick it is.
    again = await page.say("And again", conversation=accepted["conversation"]["id"])
    assert again["type"] == "accepted"
    assert again["conversation"]["created"] is False
    await page.close()


async def test_the_page_hears_of_the_end_although_the_control_worker_is_down(
    alice, parrot, workers_client, page_of, monkeypatch
):
    monkeypatch.setattr("arena.services.watching.PAUSES", (0.01, 0.01))
    page = await (await sync_to_async(page_of)(alice)).open()
    accepted = await page.say("Hi")

    heard = await page.events(accepted["reply"]["id"])
    assert heard[-1]["event"]["type"] == "finished"
    busy = await page.say("And again", conversation=accepted["conversation"]["id"])
    assert (busy["type"], busy["code"]) == ("error", "busy")
    await page.close()


async def test_it_keeps_settings_and_answers_with_them(alice, parrot, workers_client, control, page_of):
    page = await (await sync_to_async(page_of)(alice)).open()

    accepted = await page.say(
        "one two three four", settings={"max_tokens": 2, "system_prompt": "Be a parrot."}
    )

    heard = await page.events(accepted["reply"]["id"])
    assert heard[-1]["event"]["reason"] == "length"
    (request,) = workers_client.requests
    assert request.messages[0].content == "Be a parrot."
    await page.close()


async def test_it_answers_again(alice, parrot, talk, workers_client, control, page_of):
    message = await talk.messages.alast()
    page = await (await sync_to_async(page_of)(alice)).open()

    accepted = await page.ask(type="regenerate", client_id=uuid.uuid4().hex, message=message.id)

    assert accepted["type"] == "accepted"
    assert accepted["message"] == {"id": message.id, "text": "How are you?"}
    assert accepted["conversation"]["created"] is False
    assert text_of(await page.events(accepted["reply"]["id"])) == "How are you?"
    assert await message.replies.acount() == 2
    await page.close()


async def test_two_answers_stream_side_by_side(alice, parrot, workers_client, control, page_of):
    workers_client.host_script("parrot", "tokens=20&rate=100")
    page = await (await sync_to_async(page_of)(alice)).open()
    replies = [(await page.say("one"))["reply"]["id"], (await page.say("two"))["reply"]["id"]]

    texts = dict.fromkeys(replies, "")
    ended = 0
    while ended < 2:
        frame = await page.hear()
        texts[frame["reply"]] += frame["event"].get("text", "")
        ended += frame["event"]["type"] == "finished"
    assert set(texts.values()) == {" ".join(f"w{number}" for number in range(20))}
    await page.close()


# --- stop ----------------------------------------------------------------------------------------------------


async def test_it_stops(alice, parrot, workers_client, control, page_of):
    workers_client.host_script("parrot", "tokens=100000&rate=50")
    page = await (await sync_to_async(page_of)(alice)).open()
    accepted = await page.say("Talk on")
    reply = accepted["reply"]["id"]
    heard = await page.events(reply, until="delta")

    await page.send(type="stop", reply=reply)

    heard += await page.events(reply)
    assert heard[-1]["event"]["reason"] == "cancelled"
    assert (await stored(reply)).text == text_of(heard)
    await page.close()


async def test_one_may_stop_from_another_tab(alice, parrot, workers_client, control, sign_in):
    workers_client.host_script("parrot", "tokens=100000&rate=50")
    cookie = await sync_to_async(sign_in)(alice)
    one, other = await Page(cookie).open(), await Page(cookie).open()
    accepted = await one.say("Talk on")

    await other.send(type="stop", reply=accepted["reply"]["id"])

    assert (await one.events(accepted["reply"]["id"]))[-1]["event"]["reason"] == "cancelled"
    await one.close()
    await other.close()


async def test_stopping_what_has_ended_says_nothing(alice, talk, workers_client, page_of):
    reply = await Reply.objects.aearliest("created_at")
    page = await (await sync_to_async(page_of)(alice)).open()

    await page.send(type="stop", reply=str(reply.id))

    assert await page.nothing()
    await page.close()


# --- watch ---------------------------------------------------------------------------------------------------


async def test_a_reload_in_mid_answer_shows_the_same_answer_from_its_first_word(
    alice, parrot, workers_client, control, sign_in
):
    workers_client.host_script("parrot", "tokens=40&rate=100")
    cookie = await sync_to_async(sign_in)(alice)
    page = await Page(cookie).open()
    reply = (await page.say("Count"))["reply"]["id"]
    await page.events(reply, until="delta")
    await page.close()

    reloaded = await Page(cookie).open()
    await reloaded.send(type="watch", reply=reply, after="")

    heard = await reloaded.events(reply)
    assert text_of(heard).split() == [f"w{number}" for number in range(40)]
    assert (await stored(reply)).text == text_of(heard)
    await reloaded.close()


async def test_a_reconnect_goes_on_behind_the_last_event_without_loss_or_doubling(
    alice, parrot, workers_client, control, sign_in
):
    workers_client.host_script("parrot", "tokens=60&rate=100")
    cookie = await sync_to_async(sign_in)(alice)
    page = await Page(cookie).open()
    reply = (await page.say("Count"))["reply"]["id"]
    heard = [*await page.events(reply, until="delta"), *await page.events(reply, until="delta")]
    await page.close()

    again = await Page(cookie).open()
    await again.send(type="watch", reply=reply, after=heard[-1]["seq"])

    heard += await again.events(reply)
    # On a busy machine the answer may have ended meanwhile, and comes whole.
    whole = next((place for place, frame in enumerate(heard) if frame.get("whole")), 0)
    assert text_of(heard[whole:]).split() == [f"w{number}" for number in range(60)]
    assert len({frame["seq"] for frame in heard}) == len(heard)
    await again.close()


async def test_closing_the_page_stops_the_following_and_not_the_answer(
    alice, parrot, workers_client, page_of
):
    workers_client.host_script("parrot", "tokens=30&rate=100")
    page = await (await sync_to_async(page_of)(alice)).open()
    reply = (await page.say("Count"))["reply"]["id"]
    await page.events(reply, until="delta")
    await page.close()

    assert not [task for task in asyncio.all_tasks() if task.get_name() == f"follow {reply}"]
    await sync_to_async(workers_client.deliver_reports)()
    assert (await stored(reply)).text.endswith("w29")


async def test_a_reply_that_has_ended_is_answered_from_the_database(alice, talk, workers_client, page_of):
    reply = await Reply.objects.alatest("created_at")
    page = await (await sync_to_async(page_of)(alice)).open()

    await page.send(type="watch", reply=str(reply.id), after="1-7")

    delta, finished = await page.events(str(reply.id))
    assert delta["event"] == {"type": "delta", "text": "As well as a parrot can be"}
    assert delta["whole"] is True
    assert "whole" not in finished
    assert finished["event"]["reason"] == "stop"
    assert delta["seq"] != finished["seq"]
    await page.close()


async def test_a_stream_that_expired_before_the_page_came_back(
    alice, parrot, workers_client, control, page_of
):
    page = await (await sync_to_async(page_of)(alice)).open()
    reply = (await page.say("Polly"))["reply"]["id"]
    heard = await page.events(reply)
    await sync_to_async(broker().flushall)()

    await page.send(type="watch", reply=reply, after=heard[1]["seq"])

    assert text_of(await page.events(reply)) == "Polly"
    await page.close()


async def test_it_watches_a_failed_reply(alice, talk, workers_client, page_of):
    message = await talk.messages.alast()
    failure = {
        "status": Reply.Status.FAILED,
        "outcome": "worker_lost",
        "error_message": "The worker has stopped.",
    }
    reply = await sync_to_async(make_reply)(message, "Half", **failure)
    page = await (await sync_to_async(page_of)(alice)).open()

    await page.send(type="watch", reply=str(reply.id), after="")

    delta, failed = await page.events(str(reply.id))
    assert delta["event"]["text"] == "Half"
    assert (failed["event"]["code"], failed["event"]["message"]) == ("worker_lost", "The worker has stopped.")
    await page.close()


async def test_watching_again_takes_the_place_of_watching(alice, parrot, workers_client, control, page_of):
    workers_client.host_script("parrot", "tokens=100000&rate=50")
    page = await (await sync_to_async(page_of)(alice)).open()
    reply = (await page.say("Talk on"))["reply"]["id"]
    for _ in range(3):
        await page.send(type="watch", reply=reply, after="")
    await asyncio.sleep(0.3)
    followers = [task for task in asyncio.all_tasks() if task.get_name() == f"follow {reply}"]
    assert len(followers) == 1

    await page.send(type="stop", reply=reply)
    await page.events(reply)
    assert await page.nothing()  # the end came once
    await page.close()


async def test_a_page_follows_a_limited_number_of_replies(alice, parrot, workers_client, page_of, settings):
    def many() -> list[Reply]:
        conversation = make_conversation(alice, parrot)
        return [
            make_reply(make_turn(conversation, "?"), status=Reply.Status.QUEUED, outcome="")
            for _ in range(FOLLOWED_AT_ONCE + 1)
        ]

    replies = await sync_to_async(many)()
    page = await (await sync_to_async(page_of)(alice)).open()
    for reply in replies:
        await page.send(type="watch", reply=str(reply.id), after="")

    error = await page.hear()
    assert (error["code"], error["reply"]) == ("too_many", str(replies[-1].id))
    await page.send(
        type="watch", reply=str(replies[0].id), after=""
    )  # one it follows already may be asked anew
    assert await page.nothing()
    await page.close()


async def test_a_reply_that_the_broker_lost_ends_after_the_grace(
    alice, talk, workers_client, page_of, monkeypatch
):
    monkeypatch.setattr("arena.services.watching.UNKNOWN_PAUSE", 0.01)
    message = await talk.messages.alast()
    reply = await sync_to_async(make_reply)(message, status=Reply.Status.QUEUED, outcome="")
    page = await (await sync_to_async(page_of)(alice)).open()

    await page.send(type="watch", reply=str(reply.id), after="")
    assert await page.nothing(0.6)  # it may be on its way to the broker
    monkeypatch.setattr("arena.services.replies.GRACE", timedelta(0))

    (failed,) = await page.events(str(reply.id))
    assert failed["event"]["code"] == "worker_lost"
    assert (await stored(str(reply.id))).status == Reply.Status.FAILED
    await page.close()


# --- failures ------------------------------------------------------------------------------------------------


async def test_it_shows_that_no_worker_answers(alice, parrot, no_workers, page_of):
    page = await (await sync_to_async(page_of)(alice)).open()

    accepted = await page.say("Anybody?")

    assert accepted["type"] == "accepted"  # the message is kept, and can be answered again
    (failed,) = await page.events(accepted["reply"]["id"])
    assert failed["event"]["code"] == "no_worker"
    assert "offline" in failed["event"]["message"]
    await page.close()


async def test_it_shows_a_failure_in_mid_answer(alice, parrot, workers_client, control, page_of):
    workers_client.host_script("parrot", "tokens=20&fail_after=3")
    page = await (await sync_to_async(page_of)(alice)).open()
    reply = (await page.say("Count"))["reply"]["id"]

    heard = await page.events(reply)

    assert text_of(heard).split() == ["w0", "w1", "w2"]
    assert heard[-1]["event"]["code"] == "engine_failure"
    assert (await stored(reply)).status == Reply.Status.FAILED
    await page.close()


async def test_it_tells_the_remedy_for_a_conversation_that_is_too_long(
    alice, parrot, workers_client, control, page_of
):
    workers_client.host_script("parrot", "context=5")
    page = await (await sync_to_async(page_of)(alice)).open()

    reply = (await page.say("far more words than fit into five tokens"))["reply"]["id"]

    failed = (await page.events(reply))[-1]["event"]
    assert failed["code"] == "context_overflow"
    assert "Start a new one" in failed["message"]
    assert (await stored(reply)).error_message == failed["message"]
    await page.close()


async def test_a_broken_database_is_an_error_and_no_closed_socket(
    alice, parrot, workers_client, page_of, monkeypatch
):
    page = await (await sync_to_async(page_of)(alice)).open()
    monkeypatch.setattr("arena.services.conversations.title_from", lambda text: 1 / 0)

    error = await page.say("Hi")

    assert (error["type"], error["code"]) == ("error", "unavailable")
    assert "division" not in error["message"]
    await page.close()


async def test_a_broken_stream_is_an_error_for_its_reply(alice, parrot, workers_client, page_of, monkeypatch):
    page = await (await sync_to_async(page_of)(alice)).open()
    monkeypatch.setattr("workers.client.afollow", lambda request_id, after: 1 / 0)

    await page.say("Hi")

    error = await page.hear()
    assert (error["type"], error["code"]) == ("error", "unavailable")
    assert error["reply"] == str((await Reply.objects.aget()).id)
    await page.close()


async def test_no_text_reaches_the_logs(alice, parrot, workers_client, control, page_of, caplog):
    caplog.set_level("DEBUG")
    page = await (await sync_to_async(page_of)(alice)).open()
    accepted = await page.say("canary-prompt")
    await page.events(accepted["reply"]["id"])
    await page.send(type="send", client_id="wish-0001", text="canary-prompt", settings={"temperature": 9})
    await page.hear()
    await page.close()

    assert "canary" not in caplog.text


# --- bad clients ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["{", "[]", "null", "ping", '{"type": "send"', "x" * 262_145, "[" * 50_000])
async def test_it_closes_on_what_is_no_frame(alice, page_of, text):
    page = await (await sync_to_async(page_of)(alice)).open()

    await page.socket.send_to(text_data=text)

    assert await page.close_code() == 4400


async def test_it_closes_on_binary_data(alice, page_of):
    page = await (await sync_to_async(page_of)(alice)).open()

    await page.socket.send_to(bytes_data=b'{"type": "stop"}')

    assert await page.close_code() == 4400


@pytest.mark.parametrize(
    ("frame", "field"),
    [
        ({}, "type"),
        ({"type": "shout"}, "type"),
        ({"type": "send", "client_id": "wish-0001"}, "text"),
        ({"type": "send", "client_id": "wish-0001", "text": "nul\x00"}, "text"),
        ({"type": "send", "client_id": "wish-0001", "text": "  "}, "text"),
        ({"type": "send", "client_id": "wish-0001", "text": "x" * 32_001}, "text"),
        ({"type": "send", "client_id": "wish-0001", "text": "Hi", "chat_model": "lorem"}, "chat_model"),
        ({"type": "send", "client_id": "wish-0001", "text": "Hi", "settings": {"top_p": 7}}, "settings.top_p"),
        ({"type": "send", "client_id": "wish-0001", "text": "Hi", "settings": {"max_tokens": 10**40}},
         "settings.max_tokens"),
        ({"type": "send", "client_id": "wish-0001", "text": "Hi", "conversation": "../admin"}, "conversation"),
        ({"type": "regenerate", "client_id": "wish-0001", "message": "9" * 19}, "message"),
        ({"type": "stop"}, "reply"),
        ({"type": "watch", "reply": str(uuid.uuid4()), "after": "9" * 30}, "after"),
    ],
)  # fmt: skip
async def test_it_names_the_field_of_a_bad_frame_and_goes_on(
    alice, parrot, workers_client, control, page_of, frame, field
):
    page = await (await sync_to_async(page_of)(alice)).open()

    error = await page.ask(**frame)

    assert (error["type"], error["code"][:7], error["field"]) == ("error", error["code"][:7], field)
    assert error["message"].endswith((".", "anew.", "one."))
    assert not await Conversation.objects.aexists()
    assert (await page.say("Still there?"))["type"] == "accepted"
    await page.close()


async def test_it_slows_down_a_page_that_is_too_fast(alice, page_of, monkeypatch):
    monkeypatch.setattr("arena.consumers.FRAMES_PER_SECOND", 0.01)
    page = await (await sync_to_async(page_of)(alice)).open()
    for _ in range(FRAMES_AT_ONCE + 10):
        await page.send(type="stop", reply="no id")

    codes = [(await page.hear())["code"] for _ in range(FRAMES_AT_ONCE + 10)]

    assert codes[:FRAMES_AT_ONCE] == ["invalid"] * FRAMES_AT_ONCE
    assert codes.count("too_fast") >= 8
    await page.close()


async def test_a_double_click_starts_one_answer(alice, parrot, workers_client, control, page_of):
    workers_client.host_script("parrot", "tokens=50&rate=100")
    page = await (await sync_to_async(page_of)(alice)).open()
    wish = {"type": "send", "client_id": uuid.uuid4().hex, "text": "Hi", "conversation": None}

    first, second = await page.ask(**wish), await page.ask(**wish)

    assert first == second
    assert await Message.objects.acount() == 1
    assert len(workers_client.requests) == 1
    await page.close()


async def test_two_tabs_cannot_write_into_one_conversation_at_once(
    alice, parrot, talk, workers_client, control, sign_in
):
    workers_client.host_script("parrot", "tokens=100000&rate=50")
    cookie = await sync_to_async(sign_in)(alice)
    tabs = [await Page(cookie).open() for _ in range(4)]

    answers = await asyncio.gather(*(tab.say("Hi", conversation=str(talk.id)) for tab in tabs))

    assert sorted(answer["type"] for answer in answers) == ["accepted", "error", "error", "error"]
    assert {answer["code"] for answer in answers if answer["type"] == "error"} == {"busy"}
    assert await talk.messages.acount() == 3
    for tab in tabs:
        await tab.close()


async def test_one_person_has_a_limited_number_of_answers_running(
    alice, parrot, workers_client, page_of, settings
):
    settings.RUNNING_REPLIES_PER_USER = 2
    workers_client.host_script("parrot", "tokens=1000&rate=20")
    page = await (await sync_to_async(page_of)(alice)).open()

    answers = [await page.say(f"number {number}") for number in range(3)]

    assert [answer["type"] for answer in answers] == ["accepted", "accepted", "error"]
    assert answers[2]["code"] == "too_many"
    await page.close()


# --- Charlie -------------------------------------------------------------------------------------------------


@pytest.fixture
def running_reply(talk) -> Reply:
    """Alice's, in her conversation, being written."""
    return make_reply(make_turn(talk, "Secret?"), status=Reply.Status.QUEUED, outcome="")


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("kind", ["send", "regenerate", "stop", "watch", "watch a finished one"])
async def test_another_persons_things_do_not_exist(
    alice, charlie, talk, running_reply, workers_client, page_of, kind, known
):
    """Charlie gets the same answer for what is Alice's and for what nobody has, and nothing else ever."""
    message = await talk.messages.alast()
    finished = await Reply.objects.filter(status="finished").aearliest("created_at")
    nobodys = str(uuid.uuid4())
    frames: dict[str, dict[str, Any]] = {
        "send": {"type": "send", "text": "Let me in", "conversation": str(talk.id) if known else nobodys},
        "regenerate": {"type": "regenerate", "message": message.id if known else 2**40},
        "stop": {"type": "stop", "reply": str(running_reply.id) if known else nobodys},
        "watch": {"type": "watch", "reply": str(running_reply.id) if known else nobodys, "after": ""},
        "watch a finished one": {
            "type": "watch",
            "reply": str(finished.id) if known else nobodys,
            "after": "",
        },
    }
    page = await (await sync_to_async(page_of)(charlie)).open()

    error = await page.ask(client_id="wish-0001", **frames[kind])

    assert (error["type"], error["code"]) == ("error", "not_found")
    assert error["message"] in {
        "This conversation does not exist (any more).",
        "This message does not exist (any more).",
        "This answer does not exist (any more).",
    }
    assert await page.nothing()
    assert await talk.messages.acount() == 3
    await page.close()


async def test_nothing_of_alices_answer_reaches_bob(alice, bob, parrot, workers_client, control, page_of):
    workers_client.host_script("parrot", "tokens=20&rate=100")
    hers, his = (
        await (await sync_to_async(page_of)(alice)).open(),
        await (await sync_to_async(page_of)(bob)).open(),
    )
    accepted = await hers.say("Count")

    await hers.events(accepted["reply"]["id"])

    assert await his.nothing()
    await hers.close()
    await his.close()


async def test_bob_may_do_the_same_with_his_own(bob, talk, workers_client, control, page_of):
    page = await (await sync_to_async(page_of)(bob)).open()

    accepted = await page.say("My own")

    assert text_of(await page.events(accepted["reply"]["id"])) == "My own"
    await page.close()


async def test_a_server_that_shuts_down_leaves_no_follower_behind(alice, parrot, workers_client, page_of):
    workers_client.host_script("parrot", "tokens=1000&rate=20")
    page = await (await sync_to_async(page_of)(alice)).open()
    reply = (await page.say("Talk on"))["reply"]["id"]

    page.socket.future.cancel()
    await until(lambda: not [task for task in asyncio.all_tasks() if task.get_name() == f"follow {reply}"])


def test_the_consumer_needs_no_channel_layer():
    assert ChatConsumer.channel_layer_alias == ""
    assert ORIGIN.startswith("http://")
