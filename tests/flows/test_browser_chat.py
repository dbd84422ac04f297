"""Chatting in the browser, with the true stack behind it."""

import re
from urllib.parse import quote

import pytest
from playwright.sync_api import Route, expect

from tests.flows.browsing import Person, Window, Windows
from tests.flows.stack import Stack, until

pytestmark = pytest.mark.browser

# A page that hears that its conversation was deleted, be it by itself, asks whether it is really gone.
GONE = r"status of 404|Response Status Error Code 404"
FACTS = re.compile(r"^\d+ tokens read · \d+ tokens · [\d.,]+ tokens/s · first after [\d.]+ s$")


@pytest.fixture
def window(windows: Windows, alice: Person) -> Window:
    """Alice's, before the first message of a new conversation."""
    return windows.open(alice)


def test_it_knows_the_capital_of_france_and_still_does_after_a_reload(window: Window, smollm2: str):
    window.pick(smollm2)
    window.set(temperature="0", max_tokens="40")
    window.write("What is the capital of France?")

    window.wait_finished()
    expect(window.answer).to_contain_text("Paris")
    expect(window.reply.locator("[data-facts]")).to_have_text(FACTS)
    expect(window.reply.locator("[data-model]")).to_have_text(smollm2)
    expect(window.page.locator("#title")).to_have_text("What is the capital of France?")
    expect(window.item(window.conversation)).to_contain_text("What is the capital of France?")
    shown, facts = window.answer.inner_html(), window.reply.locator("[data-facts]").inner_text()

    window.page.reload()
    expect(window.answer).to_contain_text("Paris")
    assert window.answer.inner_html() == shown
    assert window.reply.locator("[data-facts]").inner_text() == facts


def test_it_remembers_what_was_said_before(window: Window, smollm2: str):
    window.pick(smollm2)
    window.set(temperature="0", max_tokens="40")
    window.write("What is the capital of France?")
    window.wait_finished()
    window.write("And of Italy?")

    expect(window.page.locator(".turn")).to_have_count(2)
    window.wait_finished()
    expect(window.answer).to_contain_text("Rome")


def test_enter_sends_and_shift_enter_starts_a_line(window: Window, parrot_model: str):
    window.pick(parrot_model)
    keyboard = window.page.keyboard  # the field has the focus when the page opens
    keyboard.type("one")
    keyboard.press("Shift+Enter")
    keyboard.type("two")
    assert window.page.input_value("#text") == "one\ntwo"
    expect(window.page.locator(".turn")).to_have_count(0)

    keyboard.press("Enter")
    window.wait_finished()
    assert window.page.locator(".turn [data-question]").inner_text() == "one\ntwo"
    assert window.page.input_value("#text") == ""
    # Two lines, not one: the answer repeats them.
    assert window.answer.inner_text().split("\n") == ["one", "two"]


def test_without_scripts_one_reads_and_sends_nothing_into_an_address(
    windows: Windows, window: Window, alice: Person, parrot_model: str
):
    window.ask("Read me without scripts.", parrot_model)
    window.wait_finished()

    plain = windows.open(alice, window.conversation, scripts=False)

    expect(plain.answer).to_have_text("Read me without scripts.")
    expect(plain.page.locator(".chat__noscript")).to_be_visible()
    plain.page.fill("#text", "a secret")
    # Its form has no address: submitted by the browser itself, the text would become part of the page's.
    expect(plain.page.locator("#send")).to_be_disabled()


def test_what_is_typed_before_the_scripts_have_come_stays(windows: Windows, alice: Person, parrot_model: str):
    window = windows.open(alice)
    held: list[Route] = []
    window.page.route("**/js/chat/page*.js", lambda route: held.append(route))
    window.page.goto(f"{window.url}/chat/", wait_until="commit")
    window.page.fill("#text", "Typed early.")
    expect(window.page.locator("#send")).to_be_disabled()

    held[0].continue_()

    window.pick(parrot_model)
    window.page.click("#send")
    expect(window.answer).to_have_text("Typed early.")


def test_stop_keeps_the_text_and_stops_the_engine(stack: Stack, window: Window, slow_model: str):
    window.ask("Count.", slow_model)
    window.wait_for_words(5)

    window.page.click("#stop")

    until(lambda: stack.in_flight(slow_model) == 0, "the engine's stop")
    window.wait_finished("cancelled")
    expect(window.reply.locator("[data-note]")).to_have_text("You stopped this answer.")
    text = window.answer.inner_text()
    assert len(text.split()) >= 5
    assert text.split() == [f"w{number}" for number in range(len(text.split()))]
    window.page.reload()
    expect(window.answer).to_have_text(text)
    expect(window.reply).to_have_attribute("data-outcome", "cancelled")


def test_regenerate_gives_a_second_version_and_keeps_the_first(
    window: Window, parrot_model: str, smollm2: str
):
    window.ask("Say it once more.", parrot_model)
    window.wait_finished()
    expect(window.reply.locator("[data-versions]")).to_be_hidden()

    window.set(max_tokens="10")
    window.reply.locator("[data-action=regenerate-with]").click()
    window.page.locator(f"#models-dialog button[value='{smollm2}']").click()
    expect(window.reply.locator("[data-version-count]")).to_have_text("2 of 2")
    expect(window.reply).to_have_attribute("data-status", "finished")
    second = window.answer.inner_text()

    window.reply.locator("[data-action=previous]").click()
    expect(window.reply.locator("[data-version-count]")).to_have_text("1 of 2")
    expect(window.answer).to_have_text("Say it once more.")
    expect(window.reply.locator("[data-model]")).to_have_text(parrot_model)
    expect(window.reply.locator("[data-older]")).to_be_visible()
    window.reply.locator("[data-action=next]").click()
    assert window.answer.inner_text() == second

    window.page.reload()
    expect(window.reply.locator("[data-version-count]")).to_have_text("2 of 2")
    assert window.answer.inner_text() == second


def test_conversations_are_made_renamed_and_deleted(windows: Windows, alice: Person, parrot_model: str):
    window = windows.open(alice)
    window.ask("The first conversation", parrot_model)
    window.wait_finished()
    first = window.conversation

    window.page.click("#new-conversation")
    expect(window.page.locator("#start")).to_be_visible()
    window.ask("The second conversation", parrot_model)
    window.wait_finished()
    second = window.conversation
    assert second != first

    item = window.item(first)
    item.hover()
    item.locator("[data-action=rename]").click()
    item.locator("[name=title]").fill("A <b>new</b> name & more")
    item.locator("[name=title]").press("Enter")
    expect(window.item(first).locator("[data-title]")).to_have_text("A <b>new</b> name & more")
    window.item(first).locator("a").click()
    expect(window.page.locator("#title")).to_have_text("A <b>new</b> name & more")
    expect(window.answer).to_have_text("The first conversation")

    window.item(first).hover()
    window.item(first).get_by_title("Delete").click()
    expect(window.page.locator("#delete-dialog")).to_contain_text("cannot be undone")
    window.page.get_by_role("button", name="Keep it").click()
    expect(window.item(first)).to_be_visible()
    window.item(first).get_by_title("Delete").click()
    window.excuse(GONE)
    window.page.locator("#delete-dialog").get_by_role("button", name="Delete").click()

    window.page.wait_for_url(f"{window.url}/chat/")  # the open one is gone, so is its page
    expect(window.item(second)).to_be_visible()
    expect(window.item(first)).to_have_count(0)
    with alice.http() as client:
        assert client.get(first).status_code == 404
        assert client.get(second).status_code == 200


def test_settings_and_chat_model_belong_to_the_conversation(
    window: Window, parrot_model: str, counting_model: str
):
    window.pick(counting_model)
    window.set(system_prompt="Be brief.", temperature="0.25", top_p="0.5", max_tokens="5")
    expect(window.page.locator("#settings-count [data-count]")).to_have_text("4")
    window.write("Count.")
    window.wait_finished("length")
    expect(window.answer).to_have_text("w0 w1 w2 w3 w4")
    expect(window.reply.locator("[data-note]")).to_contain_text("token limit")
    limited = window.conversation

    window.page.click("#new-conversation")
    expect(window.page.locator("#settings-count")).to_be_hidden()
    window.ask("Repeat this.", parrot_model)
    window.wait_finished()
    expect(window.answer).to_have_text("Repeat this.")

    window.open(limited)
    assert window.page.input_value("#chat-model") == counting_model
    for name, value in {"system_prompt": "Be brief.", "temperature": "0.25", "top_p": "0.5"}.items():
        assert window.page.input_value(f"#setting-{name}") == value
    window.write("Again.")
    expect(window.page.locator(".turn")).to_have_count(2)
    window.wait_finished("length")
    expect(window.answer).to_have_text("w0 w1 w2 w3 w4")


def test_a_setting_that_cannot_be_is_named_before_anything_is_sent(window: Window, parrot_model: str):
    window.pick(parrot_model)
    window.page.click("#settings-button")
    window.page.fill("#setting-temperature", "3")
    window.page.get_by_role("button", name="Done").click()

    expect(window.page.locator("#error-temperature")).to_have_text("Enter at most 2.")
    expect(window.page.locator("#settings")).to_be_visible()
    window.page.fill("#setting-temperature", "2")
    expect(window.page.locator("#error-temperature")).to_be_hidden()
    window.page.get_by_role("button", name="Done").click()
    window.write("Now it works.")
    window.wait_finished()


MARKDOWN = """# Heading

A **bold** word, a [link](https://example.org/), a [bad one](javascript:alert(1)) and `code`.

<script>window.harmed = true</script>
<img src=x onerror="window.harmed = true">

```python
def add(a, b):
    return a + b
```

| a | b |
|--:|---|
| 1 | 2 |
"""


def test_an_answer_with_markdown_code_and_a_script_is_rendered_safely(
    stack: Stack, windows: Windows, alice: Person
):
    stack.add_worker("writer", f"rate=40&reply={quote(MARKDOWN)}", name="writer-1")
    window = windows.open(alice)
    window.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    window.ask("Write.", "writer")
    window.wait_finished()
    streamed = window.answer.inner_html()

    expect(window.answer.locator("strong")).to_have_text("bold")
    expect(window.answer.locator("h3")).to_have_text("Heading")
    expect(window.answer.locator("table td").first).to_have_class("align-right")
    expect(window.answer.locator('a[href="https://example.org/"]')).to_have_attribute(
        "rel", re.compile("noopener")
    )
    expect(window.answer.locator("a")).to_have_count(1)
    expect(window.answer.locator("script, img")).to_have_count(0)
    expect(window.answer).to_contain_text("<script>window.harmed = true</script>")
    assert window.page.evaluate("window.harmed") is None
    expect(window.answer.locator("pre .hljs-keyword").first).to_have_text("def")
    window.answer.locator("[data-action=copy-code]").click()
    expect(window.answer.locator("[data-action=copy-code]")).to_have_text("Copied")
    assert window.page.evaluate("navigator.clipboard.readText()") == "def add(a, b):\n    return a + b\n"

    window.page.reload()
    expect(window.answer.locator("strong")).to_have_text("bold")
    assert window.answer.inner_html() == streamed


def test_an_answer_that_fails_says_so_and_can_be_tried_again(stack: Stack, windows: Windows, alice: Person):
    stack.add_worker("clumsy", "tokens=50&fail_after=3", name="clumsy-1")
    window = windows.open(alice)
    window.ask("Go.", "clumsy")

    expect(window.reply).to_have_attribute("data-status", "failed")
    expect(window.answer).to_have_text("w0 w1 w2")
    expect(window.reply.locator("[data-failure]")).to_contain_text("fails here on purpose")
    window.page.reload()
    expect(window.reply.locator("[data-failure]")).to_contain_text("fails here on purpose")
    expect(window.answer).to_have_text("w0 w1 w2")

    window.reply.get_by_role("button", name="Try again").click()
    expect(window.reply.locator("[data-version-count]")).to_have_text("2 of 2")
    expect(window.reply).to_have_attribute("data-status", "failed")


def test_a_double_press_sends_once_and_is_no_mistake(window: Window, slow_model: str):
    window.pick(slow_model)
    window.page.fill("#text", "Once.")
    for _ in range(3):
        window.page.keyboard.press("Enter")
    window.wait_for_words(3)

    expect(window.page.locator(".turn")).to_have_count(1)
    expect(window.page.locator("#problem")).to_be_hidden()

    # A further message has to wait, is kept, and the word about it goes with its reason.
    window.write("Too early.")
    expect(window.page.locator("#problem")).to_contain_text("still being written")
    window.page.click("#stop")
    window.wait_finished("cancelled")
    expect(window.page.locator("#problem")).to_be_hidden()
    assert window.page.input_value("#text") == "Too early."


def test_a_text_typed_while_another_tab_is_answered_is_kept(
    windows: Windows, window: Window, parrot_model: str, slow_model: str
):
    window.ask("Hello.", parrot_model)
    window.wait_finished()
    second = windows.another_tab(window, window.conversation)
    window.ask("From the first tab.", slow_model)
    window.wait_for_words(2)

    expect(second.page.locator(".turn")).to_have_count(2)  # what the first tab asked
    second.write("From the second tab.")

    assert second.page.input_value("#text") == "From the second tab."
    window.page.click("#stop")
    window.wait_finished("cancelled")
    expect(second.page.locator(".turn")).to_have_count(2)


def test_what_another_tab_has_deleted_goes_from_this_one_as_well(
    window: Window, alice: Person, parrot_model: str
):
    window.ask("Soon gone.", parrot_model)
    window.wait_finished()
    gone = window.conversation
    window.excuse(GONE)
    with alice.http() as client:
        assert client.post(f"{gone}delete/").status_code == 200

    window.page.wait_for_url("**/chat/")
    expect(window.item(gone)).to_have_count(0)
    window.ask("Anybody there?", parrot_model)
    window.wait_finished()


def test_an_answer_to_a_deleted_conversation_stops(
    stack: Stack, window: Window, alice: Person, slow_model: str
):
    window.ask("Count.", slow_model)
    window.wait_for_words(3)
    window.excuse(GONE)
    with alice.http() as client:
        assert client.post(f"{window.conversation}delete/").status_code == 200

    until(lambda: stack.in_flight(slow_model) == 0, "the engine's stop")
    window.page.wait_for_url("**/chat/")
    expect(window.page.locator("#send")).to_be_visible()
