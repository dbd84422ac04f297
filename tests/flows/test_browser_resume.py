"""An answer in the making belongs to the conversation and not to the page: reloads, tabs and lost networks."""

import pytest
from playwright.sync_api import expect

from tests.flows.browsing import COUNTED, SITE_AWAY, Newcomer, Person, Window, Windows, numbered_words
from tests.flows.stack import Stack, until

pytestmark = pytest.mark.browser


@pytest.fixture
def person(newcomer: Newcomer) -> Person:
    """Somebody with no other answer running."""
    return newcomer()


@pytest.fixture
def window(windows: Windows, person: Person, counting_model: str) -> Window:
    """In mid-answer."""
    window = windows.open(person)
    window.ask("Count.", counting_model)
    window.wait_for_words(20)
    return window


def is_whole(window: Window) -> None:
    """The answer ends with every word once, in order, and is one answer."""
    window.wait_finished()
    expect(window.answer).to_have_text(numbered_words())
    expect(window.page.locator("#turns .entry--answer")).to_have_count(1)


def test_a_reload_in_mid_answer_goes_on_with_the_same_answer(
    stack: Stack, window: Window, counting_model: str
):
    seen = window.wait_for_words(100)

    window.page.reload()

    window.wait_for_words(seen)
    assert stack.in_flight(counting_model) <= 1
    is_whole(window)


def test_many_reloads_in_mid_answer_lose_and_double_nothing(window: Window):
    for _ in range(4):
        window.wait_for_words(min(window.words() + 10, COUNTED))
        window.page.reload()

    is_whole(window)
    window.page.reload()
    expect(window.answer).to_have_text(numbered_words())


def test_a_closed_tab_loses_nothing(
    stack: Stack, windows: Windows, window: Window, person: Person, counting_model: str
):
    conversation = window.conversation
    window.page.close()

    until(lambda: stack.in_flight(counting_model) == 0, "the answer's end")
    with person.http() as client:
        until(lambda: f"w{COUNTED - 1}<" in client.get(conversation).text, "the stored answer")
    is_whole(windows.open(person, conversation))


def test_two_tabs_follow_the_same_answer(windows: Windows, window: Window):
    second = windows.another_tab(window, window.conversation)
    second.wait_for_words(window.words())

    expect(second.page.locator("#stop")).to_be_visible()
    is_whole(window)
    is_whole(second)


def test_stop_in_one_tab_ends_the_answer_in_the_other(windows: Windows, person: Person, slow_model: str):
    window = windows.open(person)
    window.ask("Count.", slow_model)
    window.wait_for_words(5)
    second = windows.another_tab(window, window.conversation)
    second.wait_for_words(5)

    second.page.click("#stop")

    for tab in (window, second):
        tab.wait_finished("cancelled")
        expect(tab.page.locator("#send")).to_be_visible()
    assert window.answer.inner_text() == second.answer.inner_text()


def test_an_answer_goes_on_behind_a_lost_network(window: Window):
    window.excuse(SITE_AWAY)
    window.page.context.set_offline(True)
    expect(window.page.locator("#connection")).to_contain_text("You are offline")
    before = window.words()
    assert before < COUNTED

    window.page.context.set_offline(False)

    expect(window.page.locator("#connection")).to_have_text("Connected again.")
    is_whole(window)
    expect(window.page.locator("#connection")).to_be_hidden()


def test_what_is_written_offline_is_sent_when_the_network_is_back(
    windows: Windows, person: Person, parrot_model: str
):
    window = windows.open(person, excuse=SITE_AWAY)
    window.ask("Online.", parrot_model)
    window.wait_finished()
    window.page.context.set_offline(True)
    expect(window.page.locator("#connection")).to_contain_text("You are offline")

    window.write("Offline.")
    expect(window.page.locator(".turn").last).to_contain_text("Sending")
    window.page.context.set_offline(False)

    expect(window.answer).to_have_text("Offline.")
    expect(window.page.locator(".turn")).to_have_count(2)
    window.page.reload()
    expect(window.page.locator(".turn")).to_have_count(2)


def test_the_back_button_returns_to_the_running_answer(window: Window):
    conversation = window.conversation
    window.page.get_by_role("link", name="API keys").first.click()
    expect(window.page.get_by_role("heading", name="API keys")).to_be_visible()

    window.page.go_back()

    assert window.conversation == conversation
    is_whole(window)


def test_an_answer_goes_on_while_another_conversation_is_read(
    windows: Windows, window: Window, person: Person, parrot_model: str
):
    running = window.conversation
    window.page.click("#new-conversation")
    window.ask("Meanwhile.", parrot_model)
    expect(window.answer).to_have_text("Meanwhile.")

    window.item(running).locator("a").click()

    is_whole(window)
