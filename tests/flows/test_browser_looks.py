"""Phone, dark mode, keyboard, and a clean console: the pages as a person meets them."""

import pytest
from playwright.sync_api import expect

from tests.flows.browsing import PHONE, Newcomer, Person, Window, Windows
from tests.flows.stack import Stack, until

pytestmark = pytest.mark.browser

LONG = "Donaudampfschifffahrtsgesellschaftskapitänsmütze" * 6
WIDE = f"{LONG}\n\n    {LONG}\n\n| {' | '.join('column' for _ in range(12))} |\n{'|---' * 12}|\n| {LONG} |"


def fits(window: Window) -> bool:
    """Nothing scrolls sideways."""
    return bool(
        window.page.evaluate(
            "document.scrollingElement.scrollWidth <= innerWidth"
            " && [...document.querySelectorAll('main')].every((main) => main.scrollWidth <= main.clientWidth)"
        )
    )


# --- phone -------------------------------------------------------------------------------------------------


def test_a_phone_can_chat(windows: Windows, newcomer: Newcomer, parrot_model: str):
    window = windows.open(newcomer(), size=PHONE)
    page = window.page
    assert fits(window)
    expect(page.locator("#sidebar")).not_to_be_in_viewport()
    window.pick(parrot_model)
    page.fill("#text", "From a phone.")
    page.tap("#send")
    expect(window.answer).to_have_text("From a phone.")
    assert fits(window)

    page.tap("#drawer-button")
    expect(page.locator("#sidebar")).to_be_in_viewport()
    expect(window.item(window.conversation)).to_be_visible()
    assert fits(window)
    # The veil beside the drawer closes it.
    page.touchscreen.tap(PHONE[0] - 10, PHONE[1] / 2)
    expect(page.locator("#sidebar")).not_to_be_in_viewport()

    page.tap("#drawer-button")
    page.tap("#new-conversation")
    expect(page.locator("#start")).to_be_visible()
    expect(page.locator("#sidebar")).not_to_be_in_viewport()


def test_on_a_phone_enter_starts_a_line(windows: Windows, alice: Person):
    window = windows.open(alice, size=PHONE)
    window.page.fill("#text", "one")
    window.page.press("#text", "Enter")

    assert window.page.input_value("#text") == "one\n"
    expect(window.page.locator(".turn")).to_have_count(0)


def test_a_phone_stops_an_answer(stack: Stack, windows: Windows, alice: Person, slow_model: str):
    window = windows.open(alice, size=PHONE)
    window.pick(slow_model)
    window.page.fill("#text", "Count.")
    window.page.tap("#send")
    window.wait_for_words(3)
    window.page.tap("#stop")

    window.wait_finished("cancelled")
    until(lambda: stack.in_flight(slow_model) == 0, "the engine's stop")


def test_wide_things_scroll_in_themselves_on_a_phone(windows: Windows, alice: Person, parrot_model: str):
    window = windows.open(alice, size=PHONE)
    window.pick(parrot_model)
    window.page.fill("#text", WIDE)
    window.page.tap("#send")
    window.wait_finished()

    expect(window.answer.locator("table, pre")).to_have_count(2)
    assert fits(window)
    window.page.tap("#drawer-button")
    assert fits(window)


PAGES = ["/chat/", "/settings/", "/settings/password/", "/settings/keys/", "/settings/usage/"]


@pytest.mark.parametrize("path", ["/login/", "/signup/", "/password-reset/", *PAGES])
def test_every_page_fits_a_phone(windows: Windows, alice: Person, path: str):
    window = windows.open(alice if path in PAGES else None, path, size=PHONE)

    expect(window.page.locator("main")).to_be_visible()
    assert window.page.url == window.url + path
    assert fits(window)
    width = window.page.locator("main").bounding_box()
    assert width
    assert width["width"] <= PHONE[0]


def test_the_settings_sheet_fits_a_phone(windows: Windows, alice: Person):
    window = windows.open(alice, size=PHONE)
    window.page.tap("#settings-button")

    expect(window.page.locator("#settings")).to_be_in_viewport(ratio=0.99)
    done = window.page.get_by_role("button", name="Done")
    expect(done).to_be_in_viewport(ratio=1)
    assert fits(window)
    done.tap()
    expect(window.page.locator("#settings")).to_be_hidden()


# --- other scripts -----------------------------------------------------------------------------------------

HEBREW = "שלום עולם (abc)\n\n- אחת\n- שתיים\n\n```\ncode\n```"


def test_hebrew_reads_from_the_right_and_code_from_the_left(
    windows: Windows, alice: Person, parrot_model: str
):
    window = windows.open(alice)
    window.ask(HEBREW, parrot_model)
    window.wait_finished()

    begins = """element => {
        const range = document.createRange(), box = element.getBoundingClientRect();
        const node = document.createTreeWalker(element, NodeFilter.SHOW_TEXT).nextNode();
        range.setStart(node, 0);
        range.setEnd(node, 1);
        const letter = range.getBoundingClientRect();
        return letter.left - box.left > box.right - letter.right ? "right" : "left";
    }"""
    for selector in (".turn .question", ".answer p", ".answer li", "#title"):
        assert window.page.locator(selector).first.evaluate(begins) == "right", selector
    assert window.answer.locator("pre").evaluate(begins) == "left"
    assert window.answer.locator("ul").evaluate("list => getComputedStyle(list).direction") == "rtl"


# --- dark --------------------------------------------------------------------------------------------------


def brightness(window: Window, selector: str, colour: str) -> float:
    """0 to 1, of an element's computed colour, whatever notation the style sheet uses."""
    return float(
        window.page.evaluate(
            """([selector, property]) => {
                const canvas = document.createElement("canvas").getContext("2d");
                canvas.fillStyle = getComputedStyle(document.querySelector(selector))[property];
                canvas.fillRect(0, 0, 1, 1);
                const [red, green, blue] = canvas.getImageData(0, 0, 1, 1).data;
                return (red + green + blue) / 3 / 255;
            }""",
            [selector, colour],
        )
    )


@pytest.mark.parametrize("path", ["/login/", "/chat/", "/settings/"])
def test_dark_mode_turns_the_page_dark(windows: Windows, alice: Person, path: str):
    person = None if path == "/login/" else alice
    light, dark = windows.open(person, path), windows.open(person, path, dark=True)

    assert brightness(light, "body", "backgroundColor") > 0.85
    assert brightness(light, "h1", "color") < 0.4
    assert brightness(dark, "body", "backgroundColor") < 0.2
    assert brightness(dark, "h1", "color") > 0.7


def test_the_chosen_theme_stays(windows: Windows, alice: Person):
    window = windows.open(alice)
    window.page.get_by_role("button", name="Account menu").click()
    # The label and not the word in it: either part of a mouse click that reaches the label counts.
    window.page.locator("#account-menu").get_by_title("Dark").click()
    assert brightness(window, "body", "backgroundColor") < 0.2

    window.open("/settings/")

    assert brightness(window, "body", "backgroundColor") < 0.2


# --- keyboard ----------------------------------------------------------------------------------------------


def focused(window: Window) -> str:
    return str(window.page.evaluate("document.activeElement.id || document.activeElement.className"))


def tab_to(window: Window, target: str, key: str = "Tab") -> None:
    for _ in range(40):
        window.page.keyboard.press(key)
        if focused(window) == target:
            return
    raise AssertionError(f"{target} cannot be reached with {key}")


def test_a_whole_chat_works_without_a_mouse(
    stack: Stack, windows: Windows, newcomer: Newcomer, slow_model: str
):
    window = windows.open(newcomer())
    keyboard = window.page.keyboard
    expect(window.page.locator("#text")).to_be_focused()
    window.page.evaluate("document.activeElement.blur()")
    tab_to(window, "text")
    keyboard.type("Count, please.")
    tab_to(window, "chat-model")
    keyboard.type(slow_model)
    assert window.page.input_value("#chat-model") == slow_model
    tab_to(window, "text", "Shift+Tab")
    keyboard.press("Enter")
    window.wait_for_words(3)

    tab_to(window, "stop")
    keyboard.press("Enter")

    window.wait_finished("cancelled")
    until(lambda: stack.in_flight(slow_model) == 0, "the engine's stop")
    expect(window.page.locator("#text")).to_be_focused()
    keyboard.type("And again")
    assert window.page.input_value("#text") == "And again"


def test_the_first_tab_offers_to_skip_to_the_content(windows: Windows, alice: Person):
    window = windows.open(alice, "/settings/")
    window.page.keyboard.press("Tab")
    expect(window.page.get_by_role("link", name="Skip to the content")).to_be_focused()
    expect(window.page.get_by_role("link", name="Skip to the content")).to_be_in_viewport()

    window.page.keyboard.press("Enter")
    window.page.keyboard.press("Tab")
    assert window.page.evaluate("document.getElementById('content').contains(document.activeElement)")


def test_the_settings_open_and_close_from_the_keyboard(windows: Windows, newcomer: Newcomer):
    window = windows.open(newcomer())
    tab_to(window, "settings-button")
    window.page.keyboard.press("Enter")
    expect(window.page.locator("#settings")).to_be_visible()
    tab_to(window, "setting-temperature")
    window.page.keyboard.type("0.5")
    window.page.keyboard.press("Escape")

    expect(window.page.locator("#settings")).to_be_hidden()
    expect(window.page.locator("#settings-button")).to_be_focused()
    expect(window.page.locator("#settings-count [data-count]")).to_have_text("1")
