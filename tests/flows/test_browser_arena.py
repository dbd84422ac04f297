"""Battles in the browser, with the true stack behind it: from the prompt to the opened names."""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.flows.browsing import PATIENCE, Newcomer, Windows
from tests.flows.stack import SMOLLM2, Stack

pytestmark = pytest.mark.browser

SECRETS = ("zanzibar-7b", "quokka-13b")
SMALL_PHONE = (360, 640)
PIN = (
    "from arena.models import PinnedPair; from workers.models import ChatModel as C;"
    "PinnedPair.objects.all().delete();"
    "PinnedPair.objects.create(first=C.objects.get(name='{}'), second=C.objects.get(name='{}'), share=1)"
)


def pin(stack: Stack, first: str, second: str) -> None:
    """From now on every battle is fought by these two."""
    stack.manage("shell", "-v", "0", "-c", PIN.format(first, second))


@pytest.fixture(scope="module")
def scripted_pair(stack: Stack) -> tuple[str, str]:
    """A quick and a slow chat model that write the same words."""
    for name, rate in zip(SECRETS, (200, 12), strict=True):
        stack.add_worker(name, f"rate={rate}&tokens=40", name=f"{name}-1")
    return SECRETS


def on_top(page: Page, selector: str) -> bool:
    """Whether a press on the middle of an element would reach it, without scrolling."""
    return bool(
        page.locator(selector).evaluate(
            """element => {
              const { left, top, width, height } = element.getBoundingClientRect();
              return element.contains(document.elementFromPoint(left + width / 2, top + height / 2));
            }"""
        )
    )


class Traffic:
    """Everything the site sends to a page: documents, scripts, answers and frames."""

    def __init__(self, page: Page) -> None:
        self.heard: list[str] = []
        page.on(
            "websocket", lambda socket: socket.on("framereceived", lambda data: self.heard.append(str(data)))
        )
        page.on("response", lambda response: self.heard.append(f"{response.url} {response.all_headers()}"))

    def names(self, *secrets: str) -> list[str]:
        return [text[:200] for text in self.heard if any(secret in text for secret in secrets)]


@pytest.fixture
def unpinned(stack: Stack) -> Iterator[None]:
    yield
    stack.manage(
        "shell", "-v", "0", "-c", "from arena.models import PinnedPair as P; P.objects.all().delete()"
    )


@pytest.mark.usefixtures("unpinned")
def test_a_battle_by_keyboard_alone_names_nobody_before_the_vote_and_survives_a_reload(
    windows: Windows, newcomer: Newcomer, stack: Stack, scripted_pair: tuple[str, str]
):
    pin(stack, *scripted_pair)
    page = windows.open(newcomer(), "/arena/").page
    traffic = Traffic(page)
    keyboard = page.keyboard
    page.get_by_role("button", name="I accept").focus()
    keyboard.press("Enter")

    expect(page.locator("#send")).to_be_enabled()
    expect(page.locator("#text")).to_be_focused()
    keyboard.type("Write some words.")
    keyboard.press("Enter")
    page.wait_for_url(re.compile(r"/arena/[0-9a-f-]{36}/"))
    expect(page.locator("[data-side=left] [data-answer]")).to_contain_text("w3")
    page.reload()
    expect(page.locator("#vote")).to_be_visible(timeout=PATIENCE)
    for side in ("left", "right"):
        expect(page.locator(f"[data-side={side}] [data-answer]")).to_contain_text("w39")
    assert not any(secret in page.content() for secret in scripted_pair)
    assert traffic.names(*scripted_pair) == []
    assert traffic.heard

    keyboard.press("Escape")
    keyboard.press("1")
    expect(page.locator("#reveal")).to_be_visible()
    shown = {page.locator(f"[data-card={side}] [data-card-name]").inner_text() for side in ("left", "right")}
    assert shown == set(scripted_pair)
    expect(page.locator("[data-seal-checked]")).to_have_text(re.compile("it holds"))
    expect(page.locator("#reveal-title")).to_be_focused()
    assert on_top(page, "#reveal a.button--primary"), "something covers “New round”"
    keyboard.press("n")
    page.wait_for_url(re.compile(r"/arena/$"))


@pytest.mark.usefixtures("unpinned")
def test_a_battle_fits_a_small_phone(
    windows: Windows, newcomer: Newcomer, stack: Stack, scripted_pair: tuple[str, str]
):
    pin(stack, *scripted_pair)
    page = windows.open(newcomer(), "/arena/", size=SMALL_PHONE, dark=True).page
    page.get_by_role("button", name="I accept").click()
    page.get_by_role("button", name="Surprise me").click()
    assert page.input_value("#text")
    page.locator("#send").click()
    page.get_by_role("button", name="Right is better").click(timeout=2 * PATIENCE)
    expect(page.locator("#reveal")).to_be_visible()
    page.get_by_role("button", name="Share").click()
    expect(page.locator("#share-link")).to_have_value(re.compile(r"/arena/shared/"))
    assert page.evaluate("document.documentElement.scrollWidth") <= SMALL_PHONE[0]


def open_settings(page: Page) -> None:
    """A press before the page's scripts have come opens nothing."""
    for _ in range(60):
        page.click("#settings-button")
        if page.locator("#settings").is_visible():
            return
        page.wait_for_timeout(250)


@pytest.mark.usefixtures("unpinned")
def test_two_chat_models_stand_side_by_side_under_their_names(
    windows: Windows, newcomer: Newcomer, stack: Stack, scripted_pair: tuple[str, str]
):
    page = windows.open(newcomer(), "/arena/side-by-side/").page
    page.get_by_role("button", name="I accept").click()
    page.select_option("#pick-left", scripted_pair[0])
    page.select_option("#pick-right", SMOLLM2)
    open_settings(page)
    page.fill("#setting-max_tokens", "20")
    page.get_by_role("button", name="Done").click()
    page.fill("#text", "What is the capital of France?")
    page.press("#text", "Enter")
    expect(page.locator("[data-side=left] [data-name]")).to_have_text(scripted_pair[0])
    page.get_by_role("button", name="Tie").click(timeout=2 * PATIENCE)
    expect(page.locator("[data-exclusion]")).to_be_visible()


@pytest.mark.usefixtures("unpinned")
def test_two_real_models_fight_from_the_prompt_to_the_opened_names(
    windows: Windows, newcomer: Newcomer, stack: Stack, gemma: str
):
    pin(stack, gemma, SMOLLM2)
    page = windows.open(newcomer(), "/arena/").page
    traffic = Traffic(page)
    page.get_by_role("button", name="I accept").click()
    expect(page.locator("#send")).to_be_enabled()
    page.fill("#text", "What is the capital of France?")
    page.press("#text", "Enter")
    left = page.get_by_role("button", name="Left is better")
    expect(left).to_be_visible(timeout=2 * PATIENCE)
    assert traffic.names(gemma, SMOLLM2, "smollm", "gemma") == []
    for side in ("left", "right"):
        expect(page.locator(f"[data-side={side}] [data-answer]")).to_have_text(re.compile(r"\w"))
    left.click()
    expect(page.locator("#reveal")).to_be_visible()
    shown = {page.locator(f"[data-card={side}] [data-card-name]").inner_text() for side in ("left", "right")}
    assert shown == {gemma, SMOLLM2}
