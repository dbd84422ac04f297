"""The chat page against a socket that the test plays: what the page sends, shows and never loses.

The pages are the true ones (templates, static files, policy); only the other end of the websocket is ours, so that
a lost connection or a doubled event comes exactly when a test wants it.
"""

import json
import uuid
from typing import Any

import pytest
from playwright.sync_api import Page, WebSocketRoute, expect

from arena.models import Conversation, Message, Reply
from tests.browser.conftest import PHONE

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

USAGE = {"prompt_tokens": 3, "completion_tokens": 2, "cached_tokens": 0}
TIMING = {"first_token": 0.1, "total": 0.5}


class Site:
    """The site's end of the page's websockets."""

    def __init__(self, page: Page) -> None:
        self.sockets: list[WebSocketRoute] = []
        self.frames: list[dict[str, Any]] = []
        # What keeps the connection going, and is no wish.
        self.standing: list[dict[str, Any]] = []
        self.page = page
        page.route_web_socket("**/ws/chat/", self._connected)

    def _connected(self, socket: WebSocketRoute) -> None:
        self.sockets.append(socket)
        socket.on_message(lambda text: self._heard(json.loads(text)))

    def _heard(self, frame: dict[str, Any]) -> None:
        (self.standing if frame["type"] in ("listen", "ping") else self.frames).append(frame)

    def next_frame(self, kind: str) -> dict[str, Any]:
        """Wait for the page's next frame of this type and take it."""
        for _ in range(3600):  # 90 seconds
            for frames in (self.frames, self.standing):
                for frame in frames:
                    if frame["type"] == kind:
                        frames.remove(frame)
                        return frame
            self.page.wait_for_timeout(25)
        raise AssertionError(f"the page sent no {kind!r}")

    def send(self, **frame: Any) -> None:
        self.sockets[-1].send(json.dumps(frame))

    def accept(
        self, wish: dict[str, Any], *, reply: str = "", message: int = 1, told: dict[str, Any] | None = None
    ) -> str:
        """Grant a `send` or `regenerate`; returns the reply's id."""
        reply = reply or str(uuid.uuid4())
        conversation = wish.get("conversation") or str(uuid.uuid4())
        self.send(
            type="accepted",
            client_id=wish["client_id"],
            conversation={
                "id": conversation,
                "title": "A title",
                "url": f"/chat/{conversation}/",
                "created": True,
            },
            message={"id": message, "text": wish.get("text", "")},
            reply={"id": reply, "chat_model": "parrot", **(told or {})},
        )
        return reply

    def event(self, reply: str, seq: str, event: dict[str, Any], **more: Any) -> None:
        self.send(type="event", reply=reply, seq=seq, event=event, **more)

    def say(self, reply: str, *texts: str, first: int = 1) -> None:
        for seq, text in enumerate(texts, start=first):
            self.event(reply, f"{seq}-0", {"type": "delta", "text": text})

    def finish(self, reply: str, reason: str = "stop", seq: str = "99-0") -> None:
        self.event(reply, seq, {"type": "finished", "reason": reason, "usage": USAGE, "timing": TIMING})


@pytest.fixture
def signed_in(client, live_server, alice, parrot, workers_client):
    """Cookies of Alice's session."""
    client.force_login(alice)
    return [{"name": "sessionid", "value": client.cookies["sessionid"].value, "url": live_server.url}]


@pytest.fixture
def open_chat(make_page, live_server, signed_in):
    """`open_chat("/chat/…/")` answers with the page and the site's end of its socket."""

    def open_page(path: str = "/chat/", **options: Any) -> tuple[Page, Site]:
        page = make_page(**options)
        page.context.add_cookies(signed_in)
        site = Site(page)
        page.goto(live_server.url + path)
        return page, site

    return open_page


@pytest.fixture
def conversation(alice, parrot) -> Conversation:
    return Conversation.objects.create(owner=alice, title="Parrots", chat_model=parrot)


def make_turn(conversation: Conversation, parrot, text: str, *answers: str, position: int = 1) -> list[Reply]:
    message = Message.objects.create(conversation=conversation, position=position, text=text)
    return [
        Reply.objects.create(
            message=message,
            chat_model=parrot,
            chat_model_name="parrot",
            status=Reply.Status.FINISHED,
            text=answer,
            outcome="stop",
        )
        for answer in answers
    ]


def write(page: Page, text: str) -> None:
    page.fill("#text", text)
    page.press("#text", "Enter")


def answer_of(page: Page):
    return page.locator(".turn:last-of-type .entry--answer:visible .answer")


def test_it_sends_a_message_and_writes_the_answer(open_chat):
    page, site = open_chat()
    write(page, "Say hello")
    wish = site.next_frame("send")
    assert wish["text"] == "Say hello"
    assert wish["conversation"] is None
    assert wish["chat_model"] == "parrot"
    unset = {"system_prompt": None, "temperature": None, "top_p": None, "max_tokens": None, "seed": None}
    assert wish["settings"] == unset | {"probabilities": False}

    reply = site.accept(wish)
    site.event(reply, "1-0", {"type": "started", "attempt": 1})
    site.say(reply, "He", "llo *you*", first=2)
    expect(answer_of(page)).to_have_text("Hello you")
    expect(page.locator("#stop")).to_be_visible()

    site.finish(reply)
    expect(page.locator("#send")).to_be_visible()
    assert "/chat/" in page.url
    assert not page.url.endswith("/chat/")
    expect(page.locator("#title")).to_have_text("A title")
    expect(page.locator("#text")).to_be_focused()


def test_it_writes_an_event_once_that_comes_twice(open_chat):
    page, site = open_chat()
    write(page, "Count")
    reply = site.accept(site.next_frame("send"))
    site.say(reply, "one ", "two ")
    site.say(reply, "one ", "two ", "three")
    site.finish(reply)
    expect(answer_of(page)).to_have_text("one two three")


def test_it_asks_for_the_rest_after_a_lost_connection(open_chat):
    page, site = open_chat()
    write(page, "Count")
    reply = site.accept(site.next_frame("send"))
    site.say(reply, "one ", "two ")
    expect(answer_of(page)).to_contain_text("two")

    site.sockets[-1].close(code=1011, reason="gone")
    assert site.next_frame("watch") == {"type": "watch", "reply": reply, "after": "2-0"}
    site.say(reply, "three", first=3)
    site.finish(reply)
    expect(answer_of(page)).to_have_text("one two three")


def test_it_does_not_wait_for_a_farewell_from_a_network_that_is_gone(open_chat):
    page, site = open_chat()
    write(page, "Say hello")
    reply = site.accept(site.next_frame("send"))
    site.say(reply, "He", "l", "lo")
    expect(answer_of(page)).to_have_text("Hello")
    # Cut off as it is, the other end does not answer the closing handshake.
    site.sockets[0].on_close(lambda code, reason: None)

    page.context.set_offline(True)
    page.context.set_offline(False)

    assert site.next_frame("watch") == {"type": "watch", "reply": reply, "after": "3-0"}
    assert len(site.sockets) == 2
    site.say(reply, " again", first=4)
    site.finish(reply)
    expect(answer_of(page)).to_have_text("Hello again")


def test_it_replaces_what_it_has_by_a_whole_text(open_chat):
    page, site = open_chat()
    write(page, "Count")
    reply = site.accept(site.next_frame("send"))
    site.say(reply, "one ", "two ")
    site.event(reply, "stored-1", {"type": "delta", "text": "one two three"}, whole=True)
    site.finish(reply, seq="stored-2")
    expect(answer_of(page)).to_have_text("one two three")


def test_it_sends_an_unconfirmed_message_again_under_its_name(open_chat):
    """The site grants a `client_id` once, so this asks nothing twice."""
    page, site = open_chat()
    write(page, "Did you get this?")
    first = site.next_frame("send")
    site.sockets[-1].close(code=1011)
    assert site.next_frame("send") == first


def test_it_sends_a_message_again_when_the_page_was_reloaded_before_the_site_confirmed_it(open_chat):
    page, site = open_chat()
    write(page, "Did you get this?")
    first = site.next_frame("send")
    page.reload()
    assert site.next_frame("send")["client_id"] == first["client_id"]
    site.accept(first)
    page.wait_for_url("**/chat/*-*/")
    kept = page.evaluate(
        "Object.keys(sessionStorage).filter((key) => /^(draft|outgoing|settings):/.test(key))"
    )
    assert kept == []


def test_it_gives_a_refused_text_back(open_chat):
    page, site = open_chat()
    write(page, "Now")
    wish = site.next_frame("send")
    site.send(
        type="error",
        client_id=wish["client_id"],
        reply=None,
        code="busy",
        field=None,
        message="Wait for the last answer.",
    )
    expect(page.locator("#problem")).to_have_text("Wait for the last answer.")
    expect(page.locator("#text")).to_have_value("Now")
    expect(page.locator(".turn")).to_have_count(0)
    expect(page.locator("#start")).to_be_visible()


def test_it_shows_a_refused_setting_at_its_field(open_chat):
    page, site = open_chat()
    write(page, "Now")
    wish = site.next_frame("send")
    site.send(
        type="error",
        client_id=wish["client_id"],
        reply=None,
        code="invalid",
        field="settings.max_tokens",
        message="At most 4096.",
    )
    expect(page.locator("#error-max_tokens")).to_have_text("At most 4096.")
    expect(page.get_by_label("Longest answer")).to_be_focused()


def test_it_sends_the_settings_with_the_message(open_chat):
    page, site = open_chat()
    page.click("#settings-button")
    page.get_by_label("System prompt").fill("Answer in rhymes.")
    page.get_by_label("Temperature").fill("0")
    page.get_by_label("Longest answer").fill("50")
    page.get_by_role("button", name="Done").click()
    write(page, "Hi")
    assert site.next_frame("send")["settings"] == {
        "system_prompt": "Answer in rhymes.",
        "temperature": 0,
        "top_p": None,
        "max_tokens": 50,
        "seed": None,
        "probabilities": False,
    }


@pytest.mark.parametrize(
    ("label", "value"),
    [("Temperature", "2.1"), ("Top-p", "-0.1"), ("Longest answer", "0"), ("Longest answer", "1.5")],
)
def test_it_does_not_send_a_setting_that_is_out_of_bounds(open_chat, label, value):
    page, site = open_chat()
    page.click("#settings-button")
    page.get_by_label(label).fill(value)
    page.keyboard.press("Escape")
    write(page, "Hi")
    expect(page.get_by_label(label)).to_have_attribute("aria-invalid", "true")
    expect(page.locator("#text")).to_have_value("Hi")
    assert site.frames == []


def test_it_keeps_a_draft_and_unsent_settings_over_a_reload(open_chat):
    page, _ = open_chat()
    page.fill("#text", "half a thou")
    page.click("#settings-button")
    page.get_by_label("Temperature").fill("1.5")
    page.reload()
    expect(page.locator("#text")).to_have_value("half a thou")
    expect(page.locator("[name=temperature]")).to_have_value("1.5")


def test_it_does_not_send_while_a_word_is_composed(open_chat):
    """Enter accepts a word in Chinese, Japanese or Korean input; it must not send half a sentence."""
    page, site = open_chat()
    page.fill("#text", "にほん")
    page.evaluate(
        """document.getElementById("text").dispatchEvent(
          new KeyboardEvent("keydown", { key: "Enter", isComposing: true, bubbles: true, cancelable: true }))"""
    )
    page.wait_for_timeout(100)
    assert site.frames == []
    expect(page.locator("#text")).to_have_value("にほん")


def test_it_starts_a_new_line_with_shift_and_enter(open_chat):
    page, site = open_chat()
    page.fill("#text", "one")
    page.press("#text", "Shift+Enter")
    page.keyboard.type("two")
    expect(page.locator("#text")).to_have_value("one\ntwo")
    assert site.frames == []


def test_it_fills_the_composer_with_an_example(open_chat):
    page, site = open_chat()
    page.locator(".example").first.click()
    expect(page.locator("#text")).not_to_have_value("")
    expect(page.locator("#text")).to_be_focused()
    assert site.frames == []


def test_it_stops_an_answer_and_keeps_its_text(open_chat):
    page, site = open_chat()
    write(page, "Go on")
    reply = site.accept(site.next_frame("send"))
    site.say(reply, "and on ")
    page.click("#stop")
    assert site.next_frame("stop") == {"type": "stop", "reply": reply}
    site.finish(reply, "cancelled")
    expect(page.locator(".turn [data-note]")).to_contain_text("stopped")
    expect(answer_of(page)).to_have_text("and on")


def test_escape_stops_an_answer_wherever_the_focus_is_but_closes_a_sheet_first(open_chat):
    page, site = open_chat()
    write(page, "Go on")
    reply = site.accept(site.next_frame("send"))
    site.say(reply, "and on ")
    expect(answer_of(page)).to_have_text("and on")

    page.click("#settings-button")
    page.keyboard.press("Escape")
    expect(page.locator("#settings")).to_be_hidden()
    expect(page.locator("#stop")).to_have_attribute("aria-disabled", "false")

    answer_of(page).click()  # takes the focus out of the field
    page.keyboard.press("Escape")
    assert site.next_frame("stop") == {"type": "stop", "reply": reply}


def test_it_says_that_the_token_limit_was_reached(open_chat):
    page, site = open_chat()
    write(page, "Go on")
    reply = site.accept(site.next_frame("send"))
    site.say(reply, "and")
    site.finish(reply, "length")
    expect(page.locator(".turn [data-note]")).to_contain_text("token limit")


def test_it_shows_a_failure_with_its_reason_and_tries_again(open_chat):
    page, site = open_chat()
    write(page, "Fail")
    reply = site.accept(site.next_frame("send"), message=7)
    site.say(reply, "half an ans")
    site.event(reply, "9-0", {"type": "failed", "code": "worker_lost", "message": "The worker went away."})
    expect(page.locator("[data-failure]")).to_contain_text("The worker went away.")
    expect(answer_of(page)).to_have_text("half an ans")

    page.get_by_role("button", name="Try again").click()
    wish = site.next_frame("regenerate")
    assert wish["message"] == 7
    second = site.accept(wish, message=7)
    site.say(second, "whole answer")
    site.finish(second)
    expect(answer_of(page)).to_have_text("whole answer")
    expect(page.locator("[data-version-count]:visible")).to_have_text("2 of 2")


def test_it_turns_over_the_versions_of_an_answer(open_chat, conversation, parrot):
    make_turn(conversation, parrot, "Hi", "first answer", "second answer")
    page, _ = open_chat(f"/chat/{conversation.id}/")
    expect(answer_of(page)).to_have_text("second answer")
    page.get_by_role("button", name="Previous version").click()
    expect(answer_of(page)).to_have_text("first answer")
    expect(page.locator("[data-older]:visible")).to_have_count(1)
    page.get_by_role("button", name="Next version").click()
    expect(answer_of(page)).to_have_text("second answer")


def test_it_regenerates_only_the_last_answer(open_chat, conversation, parrot):
    make_turn(conversation, parrot, "One", "first")
    make_turn(conversation, parrot, "Two", "second", position=2)
    page, _ = open_chat(f"/chat/{conversation.id}/")
    expect(page.get_by_role("button", name="Regenerate")).to_have_count(1)


def test_it_watches_a_running_answer_from_its_start(open_chat, conversation, parrot):
    message = Message.objects.create(conversation=conversation, position=1, text="Count")
    reply = Reply.objects.create(message=message, chat_model=parrot, chat_model_name="parrot")
    page, site = open_chat(f"/chat/{conversation.id}/")
    assert site.next_frame("watch") == {"type": "watch", "reply": str(reply.id), "after": ""}
    expect(page.locator(".waiting")).to_be_visible()
    site.say(str(reply.id), "one ", "two")
    site.finish(str(reply.id))
    expect(answer_of(page)).to_have_text("one two")


def test_it_draws_stored_answers_like_streamed_ones(open_chat, conversation, parrot):
    source = "# Head\n\n- a\n- b\n\n```python\nx = 1\n```\n<script>alert(1)</script>"
    make_turn(conversation, parrot, "Show", source)
    page, site = open_chat(f"/chat/{conversation.id}/")
    expect(answer_of(page).locator("h3")).to_have_text("Head")
    stored = answer_of(page).inner_html()

    write(page, "Again")
    reply = site.accept(site.next_frame("send"), message=2)
    site.say(reply, *[source[i : i + 5] for i in range(0, len(source), 5)])
    site.finish(reply)
    expect(answer_of(page).locator(".code")).to_have_count(1)
    assert answer_of(page).inner_html() == stored


def test_it_announces_an_answer_in_blocks(open_chat):
    """A screen reader is told of the start, of each paragraph once, and of the end; never of a token."""
    page, site = open_chat()
    write(page, "Tell")
    reply = site.accept(site.next_frame("send"))
    site.event(reply, "1-0", {"type": "started", "attempt": 1})
    site.say(reply, "One", "two.\n\nThree", "four.\n\nFive.\n\nSix.", first=2)
    site.finish(reply)
    lines = page.locator("#announcer p")
    expect(lines.last).to_have_text("Answer finished.")
    told = "\n".join(lines.all_inner_texts())
    assert told.startswith("Answer started.")
    assert [told.count(words) for words in ("Onetwo.", "Threefour.", "Five.", "Six.")] == [1, 1, 1, 1]


def test_it_follows_the_text_until_the_reader_scrolls_up(open_chat):
    page, site = open_chat()
    write(page, "Much")
    reply = site.accept(site.next_frame("send"))
    site.say(reply, *[f"Paragraph {i}.\n\n" for i in range(60)])
    expect(page.get_by_text("Paragraph 59.")).to_be_in_viewport()

    page.mouse.move(800, 400)
    page.mouse.wheel(0, -600)
    expect(page.locator("#latest")).to_be_visible()
    before = page.evaluate("document.getElementById('content').scrollTop")
    site.say(reply, *[f"Paragraph {i}.\n\n" for i in range(60, 80)], first=61)
    expect(page.get_by_text("Paragraph 79.")).to_have_count(1)
    assert page.evaluate("document.getElementById('content').scrollTop") == before

    page.click("#latest")
    expect(page.get_by_text("Paragraph 79.")).to_be_in_viewport()
    expect(page.locator("#latest")).to_be_hidden()


def test_it_goes_to_the_login_when_the_session_has_ended(open_chat, live_server):
    page, site = open_chat()
    page.wait_for_load_state("load")
    page.context.clear_cookies()
    for _ in range(4500):
        if site.sockets:
            break
        page.wait_for_timeout(20)
    site.sockets[-1].close(code=4401)
    page.wait_for_url("**/login/?next=%2Fchat%2F")


def test_it_renames_in_place_with_the_keyboard(open_chat, conversation, parrot):
    make_turn(conversation, parrot, "Hi", "Hello")
    page, _ = open_chat(f"/chat/{conversation.id}/")
    page.get_by_role("button", name="Rename “Parrots”").press("Enter")
    page.keyboard.type("Birds")
    page.keyboard.press("Enter")
    expect(page.locator(".item__title")).to_have_text("Birds")
    expect(page.locator("#title")).to_have_text("Birds")
    expect(page.locator(".item__link")).to_be_focused()
    conversation.refresh_from_db()
    assert conversation.title == "Birds"


def test_it_asks_before_it_deletes(open_chat, conversation):
    page, _ = open_chat()
    page.get_by_role("button", name="Delete “Parrots”").press("Enter")
    expect(page.get_by_role("button", name="Keep it")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.locator(".item")).to_have_count(1)
    assert Conversation.objects.filter(pk=conversation.pk).exists()

    page.get_by_role("button", name="Delete “Parrots”").press("Enter")
    page.locator("#delete-dialog").get_by_role("button", name="Delete").click()
    expect(page.locator(".item")).to_have_count(0)
    expect(page.locator("#new-conversation")).to_be_focused()
    assert not Conversation.objects.filter(pk=conversation.pk).exists()


def test_it_opens_the_list_as_a_drawer_on_a_phone(open_chat, conversation):
    page, _ = open_chat(size=PHONE)
    button = page.locator("#drawer-button")
    expect(button).to_have_attribute("aria-expanded", "false")
    expect(page.locator(".item__link")).to_be_hidden()
    button.click()
    expect(page.locator(".item__link")).to_be_visible()
    expect(page.get_by_role("button", name="Close the list")).to_be_focused()
    assert page.evaluate("document.getElementById('content').inert")
    page.keyboard.press("Escape")
    expect(button).to_be_focused()
    expect(button).to_have_attribute("aria-expanded", "false")
    assert not page.evaluate("document.getElementById('content').inert")


@pytest.mark.parametrize("size", [PHONE, (768, 1024), (1440, 900)])
def test_it_never_scrolls_sideways(open_chat, conversation, parrot, size):
    wide = (
        "| "
        + " | ".join("column" for _ in range(30))
        + " |\n|"
        + "--|" * 30
        + "\n\n```\n"
        + "x" * 400
        + "\n```\n\n"
        + "y" * 400
    )
    make_turn(conversation, parrot, "z" * 400, wide)
    page, _ = open_chat(f"/chat/{conversation.id}/", size=size)
    expect(answer_of(page).locator(".code")).to_have_count(1)
    for element in ("document.documentElement", "document.getElementById('content')"):
        assert page.evaluate(f"{element}.scrollWidth - {element}.clientWidth") == 0


def test_it_keeps_a_chosen_theme_and_paints_it_first(open_chat):
    page, _ = open_chat()
    page.get_by_role("button", name="Account menu").click()
    page.locator("#account-menu label", has_text="Dark").click()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(16, 21, 19)"
    page.reload()
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(16, 21, 19)"


def test_it_starts_a_new_line_with_enter_on_a_phone(open_chat):
    """A screen keyboard has no Shift and Enter; the button sends."""
    page, site = open_chat(size=PHONE)
    page.fill("#text", "one")
    page.press("#text", "Enter")
    page.keyboard.type("two")
    expect(page.locator("#text")).to_have_value("one\ntwo")
    assert site.frames == []
    page.get_by_role("button", name="Send", exact=True).tap()
    assert site.next_frame("send")["text"] == "one\ntwo"
