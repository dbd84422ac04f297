"""A page that hears what happened in another tab, against a socket that the test plays."""

from playwright.sync_api import expect

from arena.models import Message, Reply
from tests.browser.test_chat_page import (  # noqa: F401 - fixtures
    answer_of,
    conversation,
    make_turn,
    open_chat,
    pytestmark,
    signed_in,
    write,
)


def test_it_takes_in_what_was_said_in_another_tab(open_chat, conversation, parrot):  # noqa: F811
    make_turn(conversation, parrot, "First", "An *old* answer")
    page, site = open_chat(f"/chat/{conversation.pk}/")
    expect(answer_of(page)).to_have_text("An old answer")
    assert site.next_frame("listen")
    page.fill("#text", "A draft")
    page.evaluate("window.kept = document.querySelector('.turn')")
    message = Message.objects.create(conversation=conversation, position=2, text="Second")
    reply = Reply.objects.create(message=message, chat_model=parrot, chat_model_name="parrot")

    site.send(type="news", conversation=str(conversation.pk), reply=str(reply.pk))

    expect(page.locator(".turn")).to_have_count(2)
    assert site.next_frame("watch") == {"type": "watch", "reply": str(reply.pk), "after": ""}
    site.say(str(reply.pk), "A new one")
    expect(answer_of(page)).to_have_text("A new one")
    expect(page.locator("#stop")).to_be_visible()
    site.finish(str(reply.pk))
    expect(page.locator("#send")).to_be_visible()
    assert page.evaluate("window.kept === document.querySelector('.turn')"), "it was drawn again"
    assert page.input_value("#text") == "A draft"


def test_news_of_its_own_wish_is_no_news(open_chat):  # noqa: F811
    page, site = open_chat()
    read = []
    page.on("request", lambda request: read.append(request.url))
    write(page, "Hello")
    wish = site.next_frame("send")
    reply = site.accept(wish)
    site.send(type="news", conversation=page.url.split("/")[-2], reply=reply)
    site.say(reply, "Hello")
    site.finish(reply)

    expect(answer_of(page)).to_have_text("Hello")
    page.wait_for_timeout(300)
    assert not [url for url in read if url.endswith("/turns/")]
    expect(page.locator("#share a")).to_be_visible()
    assert page.evaluate("document.querySelector('#share a').href") == f"{page.url}share/"


def test_it_says_that_the_conversation_was_deleted_elsewhere(open_chat, conversation):  # noqa: F811
    page, site = open_chat(f"/chat/{conversation.pk}/")
    assert site.next_frame("listen")
    name = str(conversation.pk)
    conversation.delete()

    site.send(type="news", conversation=name)

    page.wait_for_url("**/chat/")
