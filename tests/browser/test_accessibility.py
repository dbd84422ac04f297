"""axe-core over every state of the pages, light on a desktop and dark on a phone: it must find nothing."""

from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from arena.models import Attachment, Battle, Conversation, Message, Reply, TokenProbabilities
from arena.services import presets, sharing, terms
from tests.browser.conftest import PHONE
from tests.browser.test_chat_page import (  # noqa: F401 - fixtures
    answer_of,
    conversation,
    make_turn,
    open_chat,
    pytestmark,
    signed_in,
    write,
)
from tests.factories import make_chat_model

AXE = (Path(__file__).parent / "vendor" / "axe.js").read_text(encoding="utf-8")
LOOKS: dict[str, dict[str, Any]] = {"light": {}, "dark phone": {"dark": True, "size": PHONE}}
TEXT = "# A heading\n\nSome `code`, $x^2$ and a table:\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n```python\nprint(1)\n```\n"


def check(page: Page, state: str, looks: str) -> None:
    """Fails with what axe-core has against the page as it is."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(AXE)
    found = page.evaluate(
        """async () => (await axe.run(document, { resultTypes: ["violations"] })).violations.map((violation) =>
             [violation.id, violation.help, violation.nodes.slice(0, 3).map((node) => node.html.slice(0, 200))])"""
    )
    assert not found, f"{state} ({looks}): {found}"


@pytest.fixture
def talk(alice, conversation: Conversation, parrot) -> Conversation:  # noqa: F811
    """A conversation in which everything is that an answer can have."""
    first, _second = make_turn(conversation, parrot, "Tell me", TEXT, "Another version")
    first.message.attachments.add(
        Attachment.objects.create(
            owner=alice,
            kind="text",
            name="notes.txt",
            content_type="text/plain",
            size=1,
            content=b"x",
            text="x",
        )
    )
    Message.objects.create(conversation=conversation, position=1, text="Tell", active=False)
    (last,) = make_turn(conversation, parrot, "More", "Hello there", position=2)
    last.sampling = {"seed": 1, "logprobs": True}
    last.reasoning = "Think."
    last.save()
    TokenProbabilities.objects.create(
        reply=last, tokens=[["Hello", -0.1, [["Hello", -0.1]]], [" there", -3.0, []]]
    )
    (failed,) = make_turn(conversation, parrot, "And?", "", position=3)
    Reply.objects.filter(pk=failed.pk).update(
        status="failed", outcome="engine_failure", error_message="It broke."
    )
    presets.save(owner=alice, name="Singer", settings={}, default=False)
    Conversation.objects.create(owner=alice, title="Owls", folder="Birds", pinned=False)
    return conversation


@pytest.mark.parametrize("looks", LOOKS)
def test_axe_finds_nothing_in_the_chat(open_chat, talk, looks):  # noqa: F811
    page, site = open_chat("/chat/", **LOOKS[looks])
    expect(page.locator("#send")).to_be_enabled()
    check(page, "empty", looks)

    write(page, "Say something")
    page.locator("#send").click() if looks == "dark phone" else None
    wish = site.next_frame("send")
    check(page, "being sent", looks)
    reply = site.accept(wish)
    site.event(reply, "1-0", {"type": "started", "attempt": 1})
    site.say(reply, "Some words\n\nand ", first=2)
    expect(answer_of(page)).to_contain_text("and")
    check(page, "streaming", looks)
    site.event(reply, "98-0", {"type": "failed", "code": "engine_failure", "message": "It broke."})
    expect(page.locator("[data-failure]:visible")).to_be_visible()
    # The played site is back at once, before the banner would come.
    page.evaluate(
        "Object.assign(document.getElementById('connection'), { hidden: false, textContent: 'Lost …' })"
    )
    check(page, "failed and disconnected", looks)

    page.goto(f"{page.url.split('/chat/')[0]}/chat/{talk.pk}/")
    expect(page.locator(".math[data-tex]").first).to_be_attached()
    page.locator("[data-action=tokens]:visible").first.click()
    page.locator(".token").first.focus()
    page.locator("#transcript").evaluate("element => element.scrollIntoView()")
    check(page, "branches, files, formulas, tokens and a failure", looks)
    if looks == "dark phone":
        page.click("#drawer-button")
        check(page, "the list over the page", looks)
        page.keyboard.press("Escape")
    page.click("#settings-button")
    page.locator(".preset-save summary").click()
    check(page, "settings", looks)
    page.keyboard.press("Escape")
    for dialog in (
        "keys-dialog",
        "models-dialog",
        "feedback-dialog",
        "flag-dialog",
        "folder-dialog",
        "delete-dialog",
    ):
        page.evaluate("id => document.getElementById(id).showModal()", dialog)
        check(page, dialog, looks)
        page.keyboard.press("Escape")


@pytest.fixture
def fought(alice, workers_client) -> Battle:
    """A battle whose answers are there, between two chat models with cards."""
    for name in ("zanzibar", "quokka"):
        make_chat_model(name, description="A small one.", licence="Apache-2.0")
        workers_client.host_script(name)
    terms.accept(user=alice)
    battle = Battle.objects.create(
        owner=alice, left_name="zanzibar", right_name="quokka", nonce="n", commitment="c" * 64
    )
    for side in ("left", "right"):
        half = Conversation.objects.create(owner=alice, battle=battle, side=side)
        message = Message.objects.create(conversation=half, position=1, text="Who?")
        Reply.objects.create(
            message=message, chat_model_name=side, status="finished", outcome="stop", text=TEXT
        )
    return battle


@pytest.mark.parametrize("looks", LOOKS)
def test_axe_finds_nothing_in_the_arena(make_page, live_server, signed_in, fought, alice, looks):  # noqa: F811
    page = make_page(**LOOKS[looks])
    page.context.add_cookies(signed_in)
    page.route_web_socket("**/ws/**", lambda socket: None)

    def visit(path: str, state: str) -> None:
        page.goto(live_server.url + path)
        check(page, state, looks)

    visit("/arena/", "a battle that has not begun")
    visit("/arena/side-by-side/", "a comparison")
    page.click("#settings-button")
    check(page, "parameters of a comparison", looks)
    page.goto(f"{live_server.url}/arena/{fought.pk}/")
    expect(page.locator("#vote")).to_be_visible()
    page.locator(".vote__reasons summary").click()
    check(page, "before the vote", looks)
    page.locator("[data-choice=left]").click()
    expect(page.locator("#reveal")).to_be_visible()
    page.get_by_text("Check the seal").click()
    check(page, "after the vote", looks)
    visit("/arena/battles/", "my battles")
    visit("/leaderboard/", "the leaderboard")


@pytest.mark.parametrize("looks", LOOKS)
def test_axe_finds_nothing_on_the_other_pages(make_page, live_server, signed_in, talk, alice, looks):  # noqa: F811
    share = sharing.share(owner=alice, conversation_id=talk.pk)
    page = make_page(**LOOKS[looks])
    pages = {
        "out": ("/login/", "/signup/", "/password-reset/", f"/chat/shared/{share.key}/", "/nowhere/"),
        "in": (
            f"/chat/{talk.pk}/share/",
            "/chat/links/",
            "/chat/import/",
            "/settings/",
            "/settings/keys/",
            "/settings/usage/",
            "/arena/",
        ),
    }
    for path in pages["out"]:
        page.goto(live_server.url + path)
        check(page, path, looks)
    page.context.add_cookies(signed_in)
    for path in pages["in"]:
        page.goto(live_server.url + path)
        check(page, path, looks)
