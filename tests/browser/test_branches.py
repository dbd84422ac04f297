"""Editing a message on the page, and the arrows between its versions."""

import pytest
from playwright.sync_api import expect

from arena.models import Message
from tests.browser.conftest import PHONE
from tests.browser.test_chat_page import (  # noqa: F401 - fixtures
    conversation,
    make_turn,
    open_chat,
    signed_in,
)
from tests.factories import make_chat_model

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def test_an_edited_message_is_sent_as_a_version_of_the_old_one(open_chat, conversation, parrot):  # noqa: F811
    make_turn(conversation, parrot, "Hello", "Hello yourself")
    page, site = open_chat(f"/chat/{conversation.pk}/")

    page.get_by_role("button", name="Edit this message").click()
    expect(page.get_by_label("Message", exact=True)).to_have_value("Hello")
    expect(page.get_by_text("You edit an earlier message")).to_be_visible()
    page.get_by_label("Message", exact=True).fill("Good morning")
    page.keyboard.press("Enter")

    wish = site.next_frame("send")
    assert (wish["text"], wish["edits"]) == ("Good morning", Message.objects.get().pk)
    expect(page.get_by_text("You edit an earlier message")).to_be_hidden()


def test_cancelling_an_edit_makes_the_next_message_a_new_one(open_chat, conversation, parrot):  # noqa: F811
    make_turn(conversation, parrot, "Hello", "Hello yourself")
    page, site = open_chat(f"/chat/{conversation.pk}/")

    page.get_by_role("button", name="Edit this message").click()
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_label("Message", exact=True)).to_have_value("")
    page.get_by_label("Message", exact=True).fill("And now?")
    page.keyboard.press("Enter")

    assert site.next_frame("send")["edits"] is None


def test_a_refused_edit_comes_back_as_an_edit(open_chat, conversation, parrot):  # noqa: F811
    make_turn(conversation, parrot, "Hello", "Hello yourself")
    page, site = open_chat(f"/chat/{conversation.pk}/")
    page.get_by_role("button", name="Edit this message").click()
    page.keyboard.press("Enter")
    wish = site.next_frame("send")

    site.send(
        type="error", client_id=wish["client_id"], reply=None, code="busy", field=None, message="Later."
    )

    expect(page.get_by_text("Later.", exact=True)).to_be_visible()
    expect(page.get_by_label("Message", exact=True)).to_have_value("Hello")
    page.keyboard.press("Enter")
    assert site.next_frame("send")["edits"] == wish["edits"]


def test_another_chat_model_answers_as_well_and_the_picker_follows(open_chat, conversation, parrot):  # noqa: F811
    make_chat_model("owl", description="Sees in the dark.")
    make_turn(conversation, parrot, "Hello", "Hello yourself")
    page, site = open_chat(f"/chat/{conversation.pk}/")

    page.get_by_role("button", name="Another model").click()
    dialog = page.get_by_role("dialog", name="Which chat model answers as well?")
    expect(dialog.locator("[aria-current=true]")).to_contain_text("parrot")
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(page.locator("#transcript")).to_be_visible()
    assert site.frames == []

    page.locator("#transcript").focus()
    page.keyboard.press("o")
    dialog.get_by_role("button", name="owl").click()

    wish = site.next_frame("regenerate")
    assert (wish["chat_model"], wish["replays"]) == ("owl", None)
    expect(page.locator("#chat-model")).to_have_value("owl")


def test_with_one_chat_model_no_other_is_offered(open_chat, conversation, parrot):  # noqa: F811
    make_turn(conversation, parrot, "Hello", "Hello yourself")
    page, _ = open_chat(f"/chat/{conversation.pk}/")

    expect(page.get_by_role("button", name="Regenerate")).to_be_visible()
    expect(page.get_by_role("button", name="Another model")).to_be_hidden()


def test_the_arrows_lead_from_branch_to_branch_on_a_phone(open_chat, conversation, parrot):  # noqa: F811
    make_turn(conversation, parrot, "Hello", "Hello yourself")
    Message.objects.update(active=False)
    make_turn(conversation, parrot, "Good morning", "Morning!")
    page, _ = open_chat(f"/chat/{conversation.pk}/", size=PHONE)

    expect(page.get_by_text("2 of 2")).to_be_visible()
    page.get_by_role("button", name="Previous version of the message").click()

    expect(page.get_by_text("Hello yourself")).to_be_visible()
    expect(page.get_by_text("1 of 2")).to_be_visible()
    expect(page.get_by_text("Morning!")).to_have_count(0)
