"""The open page lives through what happens to the processes behind it."""

import signal
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from tests.flows.browsing import SITE_AWAY, Person, Window, Windows, numbered_words, sign_up
from tests.flows.stack import SMOLLM2, Stack, until

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def fragile(weights: str) -> Iterator[Stack]:
    """A stack of this module's own: its processes are killed."""
    running = Stack()
    try:
        yield running.wait_ready()
    finally:
        running.close()


@pytest.fixture(scope="module")
def person(fragile: Stack) -> Person:
    return sign_up(fragile, "alice")


@pytest.fixture
def window(browser: Browser, fragile: Stack, person: Person) -> Iterator[Window]:
    opened = Windows(browser, fragile.url)
    yield opened.open(person, excuse=SITE_AWAY)
    opened.close()


def test_a_conversation_and_its_session_outlive_a_restart(fragile: Stack, window: Window):
    window.pick(SMOLLM2)
    window.set(temperature="0", max_tokens="40")
    window.write("What is the capital of France?")
    window.wait_finished()
    expect(window.answer).to_contain_text("Paris")
    shown = window.answer.inner_html()

    fragile.restart()

    # The page that was open all the time is connected again by itself, and the person still signed in.
    expect(window.page.locator("#connection")).to_be_hidden(timeout=180_000)
    window.write("And of Italy?")
    expect(window.page.locator(".turn")).to_have_count(2)
    window.wait_finished()
    expect(window.answer).to_contain_text("Rome")
    window.page.reload()
    expect(window.page.locator(".turn")).to_have_count(2)
    assert window.page.locator(".answer").first.inner_html() == shown
    assert window.page.input_value("#setting-temperature") == "0.0"


def test_an_answer_is_whole_after_the_web_process_was_killed(fragile: Stack, window: Window):
    fragile.add_worker("counting", "rate=25&tokens=400", name="counting-1")
    window.page.reload()
    window.ask("Count.", "counting")
    seen = window.wait_for_words(20)
    web = until(lambda: fragile.part("chatsite.webserver"), "the web process")

    web.send_signal(signal.SIGKILL)

    window.wait_for_words(seen + 1)
    window.wait_finished()
    expect(window.answer).to_have_text(numbered_words())
    expect(window.page.locator("#turns .entry--answer")).to_have_count(1)
    assert not web.is_running()


def test_a_killed_worker_ends_its_answer_with_a_sentence_and_a_second_try_works(
    fragile: Stack, window: Window
):
    worker = fragile.add_worker("doomed", "rate=10&tokens=1000", name="doomed-1")
    window.page.reload()
    window.ask("Count.", "doomed")
    window.wait_for_words(10)

    worker.send_signal(signal.SIGKILL)

    expect(window.reply).to_have_attribute("data-status", "failed")
    expect(window.reply.locator("[data-failure-text]")).to_contain_text("has stopped. Please try again.")
    kept = window.answer.inner_text().split()
    assert kept == numbered_words(len(kept)).split()
    assert len(kept) >= 10

    fragile.add_worker("doomed", "rate=40&tokens=100", name="doomed-2")
    window.reply.get_by_role("button", name="Try again").click()
    expect(window.reply.locator("[data-version-count]")).to_have_text("2 of 2")
    window.wait_finished()
    expect(window.answer).to_have_text(numbered_words(100))


def test_another_worker_goes_on_with_the_answer_on_the_page(fragile: Stack, window: Window):
    names = ("twin-a", "twin-b")
    workers = dict(zip(names, fragile.add_workers("twin", "rate=25&tokens=300", names), strict=True))
    window.page.reload()
    window.ask("Count.", "twin")
    window.wait_for_words(10)

    workers[fragile.busy_of(names)].send_signal(signal.SIGKILL)

    window.wait_finished()
    expect(window.answer).to_have_text(numbered_words(300))
    expect(window.page.locator("#turns .entry--answer")).to_have_count(1)
