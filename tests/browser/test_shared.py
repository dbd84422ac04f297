"""A shared conversation, read by somebody without an account."""

import pytest
from playwright.sync_api import expect

from arena.services import sharing
from tests.browser.conftest import PHONE
from tests.browser.test_chat_page import conversation, make_turn, signed_in  # noqa: F401 - fixtures

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def test_a_stranger_reads_it_on_a_phone(make_page, live_server, conversation, alice, parrot, signed_in):  # noqa: F811
    make_turn(conversation, parrot, "Which birds talk?", "**Parrots** do.")
    share = sharing.share(owner=alice, conversation_id=conversation.pk)
    page = make_page(size=PHONE, dark=True)

    page.goto(f"{live_server.url}/chat/shared/{share.key}/")

    expect(page.locator("[data-answer] strong")).to_have_text("Parrots")
    expect(page.get_by_role("link", name="Log in to continue as a copy")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.context.add_cookies(signed_in)
    page.goto(f"{live_server.url}/chat/{conversation.pk}/share/")
    page.get_by_role("button", name="Copy").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    page.get_by_role("button", name="Revoke the link").click()
    expect(page.get_by_text("Nobody can read a conversation of yours by a link.")).to_be_visible()
    page.goto(f"{live_server.url}/chat/{conversation.pk}/")
