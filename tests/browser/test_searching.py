"""Searching and pinning in the list of conversations."""

import pytest
from playwright.sync_api import expect

from arena.models import Conversation
from tests.browser.test_chat_page import (  # noqa: F401 - fixtures
    conversation,
    make_turn,
    open_chat,
    signed_in,
)

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def test_it_finds_while_one_types_and_shows_the_list_again(open_chat, conversation, alice, parrot):  # noqa: F811
    make_turn(conversation, parrot, "Where do toucans live?", "In South America.")
    Conversation.objects.create(owner=alice, title="Recipes")
    page, _ = open_chat()

    page.get_by_role("searchbox", name="Search your conversations").press_sequentially("toucans")
    expect(page.get_by_text("1 conversation found")).to_be_visible()
    expect(page.get_by_text("Where do toucans live?")).to_be_visible()
    expect(page.get_by_role("link", name="Recipes")).to_have_count(0)

    page.get_by_role("searchbox").fill("")
    expect(page.get_by_role("link", name="Recipes")).to_be_visible()


def test_it_pins_by_keyboard_and_keeps_the_focus(open_chat, conversation):  # noqa: F811
    page, _ = open_chat()
    button = page.get_by_role("button", name="Pin “Parrots”")

    button.press("Enter")

    expect(page.get_by_role("heading", name="Pinned")).to_be_visible()
    expect(button).to_have_attribute("aria-pressed", "true")
    expect(button).to_be_focused()
