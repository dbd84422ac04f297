"""What the chat page does besides talking: files, thumbs, tokens, replays, presets, folders, keys and formulas."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from arena.models import Attachment, Conversation, Feedback, ModerationCase, Preset, Reply, TokenProbabilities
from tests.arena.test_attachments import host_with
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

FORMULAS = r"""The area is $\pi r^2$ and costs $5 or $6 each, \(a_1\) too.

$$
\begin{aligned}
- x &= \frac{1}{2} \\
y &= \text{<b>bold</b>}
\end{aligned}
$$

\[ \sqrt{2} \]

`$code$` and $\unknownthing{$ stay.
"""


def test_files_go_with_a_message_and_come_back_when_it_is_refused(open_chat, alice):  # noqa: F811
    page, site = open_chat()
    with page.expect_response("**/chat/files/"):
        page.set_input_files(
            "#file-input", {"name": "notes.txt", "mimeType": "text/plain", "buffer": b"Parrots"}
        )
    chips = page.locator("#files .file")
    expect(chips).to_have_text(re.compile("notes.txt"))
    write(page, "Read this")
    wish = site.next_frame("send")
    assert wish["attachments"] == [str(Attachment.objects.get().pk)]
    expect(chips).to_have_count(0)
    expect(page.locator(".turn [data-files]")).to_contain_text("notes.txt")

    site.send(
        type="error", client_id=wish["client_id"], reply=None, code="busy", field=None, message="Not now."
    )
    expect(chips).to_have_text(re.compile("notes.txt"))

    page.get_by_role("button", name="Remove notes.txt").click()
    expect(page.locator("#files")).to_be_hidden()
    page.set_input_files("#file-input", {"name": "x.bin", "mimeType": "", "buffer": b"\x00\x01"})
    expect(page.locator("#problem")).to_contain_text("neither text")


def test_an_image_is_made_smaller_and_kept_from_a_chat_model_that_is_blind(open_chat, workers_client):  # noqa: F811
    host_with(workers_client, "parrot")
    page, site = open_chat()
    picture = page.evaluate(
        """async () => {
          const canvas = document.createElement("canvas");
          canvas.width = 3000; canvas.height = 300;
          canvas.getContext("2d").fillRect(0, 0, 50, 50);
          const blob = await new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
          return [...new Uint8Array(await blob.arrayBuffer())];
        }"""
    )
    page.set_input_files("#file-input", {"name": "a.png", "mimeType": "image/png", "buffer": bytes(picture)})
    image = page.locator("#files img")
    expect(image).to_have_attribute("alt", "a.png")
    # Not with `wait_for_function`: it evaluates a string in the page, which the Content-Security-Policy forbids.
    expect(page.locator("#files img")).to_have_js_property("naturalWidth", 1568)

    write(page, "What is it?")
    expect(page.locator("#problem")).to_contain_text("cannot look at images")
    assert site.frames == []
    page.evaluate("document.querySelector('#chat-model option').dataset.sees = ''")
    page.press("#text", "Enter")
    assert len(site.next_frame("send")["attachments"]) == 1


@pytest.fixture
def answered(conversation, parrot) -> Reply:  # noqa: F811
    (reply,) = make_turn(conversation, parrot, "Hi", "Hello there")
    reply.sampling = {"temperature": 0.7, "seed": 3, "logprobs": True}
    reply.reasoning = "They greet me."
    reply.prompt_tokens, reply.completion_tokens, reply.total_seconds = 12, 2, 0.5
    reply.save()
    TokenProbabilities.objects.create(
        reply=reply, tokens=[["Hello", -0.05, [["Hello", -0.05], ["Hi\n", -3.2]]], [" there", -4.0, []]]
    )
    return reply


def test_an_answer_is_rated_flagged_and_looked_at_token_by_token(open_chat, answered):  # noqa: F811
    page, _ = open_chat(f"/chat/{answered.message.conversation_id}/")
    page.get_by_role("button", name="Bad answer").click()
    page.get_by_label("superficial").check()
    page.get_by_label("In your own words").fill("Parrots say more.")
    page.get_by_role("button", name="Send", exact=True).last.click()
    expect(page.locator("#toast")).to_have_text("Thank you.")
    expect(page.get_by_role("button", name="Bad answer")).to_have_attribute("aria-pressed", "true")
    kept = Feedback.objects.get()
    assert (kept.good, kept.reasons, kept.comment) == (False, ["superficial"], "Parrots say more.")
    page.get_by_role("button", name="Bad answer").click()
    expect(page.get_by_role("button", name="Bad answer")).to_have_attribute("aria-pressed", "false")
    assert not Feedback.objects.exists()

    page.get_by_role("button", name="Report this answer").click()
    page.get_by_label("In a few words").fill("rude")
    page.get_by_role("button", name="Tell the operators").click()
    expect(page.locator("#toast")).to_contain_text("The operators will look")
    assert ModerationCase.objects.get().reply == answered

    page.get_by_role("button", name="Tokens").click()
    page.locator(".token").first.focus()
    detail = page.locator(".tokens__detail")
    expect(detail).to_contain_text("95.1 %")
    expect(detail).to_contain_text("Hi\\n 4.1 %")
    expect(page.locator(".token").last).to_have_class("token token--4")
    expect(page.locator("[data-facts]").first).to_contain_text("12 tokens read · 2 tokens · 4 tokens/s")
    page.get_by_text("Reasoning", exact=True).click()
    expect(page.get_by_text("They greet me.")).to_be_visible()


def test_a_replay_says_whether_it_came_out_the_same(open_chat, answered):  # noqa: F811
    page, site = open_chat(f"/chat/{answered.message.conversation_id}/")
    page.get_by_role("button", name="Replay").click()
    wish = site.next_frame("regenerate")
    assert (wish["replays"], wish["settings"], wish["chat_model"]) == (str(answered.pk), None, None)
    told = {"repeatable": True, "probabilities": False, "replays": str(answered.pk)}
    reply = site.accept(wish, message=answered.message_id, told=told)
    site.event(reply, "1-0", {"type": "delta", "text": "", "reasoning": "Again?"})
    expect(page.locator(".entry--answer:visible [data-waiting-text]")).to_have_text("Thinking …")
    site.say(reply, "Hello there", first=2)
    site.finish(reply)
    expect(page.locator(".entry--answer:visible [data-replayed]")).to_contain_text("the same answer")
    expect(page.locator(".entry--answer:visible [data-version-count]")).to_have_text("2 of 2")


def test_settings_are_kept_as_a_preset_and_taken_from_it(open_chat):  # noqa: F811
    page, site = open_chat()
    page.click("#settings-button")
    page.get_by_label("System prompt").fill("Sing.")
    page.get_by_label("Temperature").fill("0.25")
    page.get_by_text("Save these settings").click()
    page.get_by_label("Name").fill("Singer")
    page.get_by_label("New conversations begin").check()
    page.get_by_role("button", name="Save the preset").click()
    expect(page.locator("#toast")).to_have_text("The preset is saved.")
    preset = Preset.objects.get()
    assert (preset.name, preset.system_prompt, preset.temperature, preset.default) == (
        "Singer",
        "Sing.",
        0.25,
        True,
    )

    page.click("#settings-reset")
    expect(page.get_by_label("System prompt")).to_have_value("")
    page.select_option("#preset", label="Singer")
    expect(page.get_by_label("System prompt")).to_have_value("Sing.")
    page.get_by_label("Seed").fill("7")
    page.get_by_role("button", name="Done").click()
    write(page, "Hi")
    settings = site.next_frame("send")["settings"]
    assert (settings["system_prompt"], settings["temperature"], settings["seed"]) == ("Sing.", 0.25, 7)

    page.click("#settings-button")
    page.get_by_role("button", name="Delete this preset").click()
    expect(page.locator("#preset option")).to_have_count(1)
    assert not Preset.objects.exists()


def test_keys_and_folders(open_chat, conversation, parrot):  # noqa: F811
    make_turn(conversation, parrot, "Hi", "Hello")
    page, site = open_chat(f"/chat/{conversation.pk}/")
    page.press("#text", "Escape")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keyboard shortcuts")).to_be_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("r")
    assert site.next_frame("regenerate")
    page.keyboard.press("/")
    expect(page.locator("#search")).to_be_focused()
    page.keyboard.press("n")  # a letter of the search
    expect(page.locator("#search")).to_have_value("n")
    page.fill("#search", "")

    item = page.locator(f'[data-item="{conversation.pk}"]')
    item.hover()
    item.get_by_role("button", name="Put “Parrots” into a folder").click()
    page.get_by_role("combobox", name="Folder").fill("Birds")
    page.get_by_role("button", name="Move").click()
    expect(page.locator("details.day--folder summary")).to_have_text("Birds")
    expect(item.locator(".item__link")).to_have_attribute("aria-current", "page")
    assert Conversation.objects.get().folder == "Birds"

    page.locator("#keys-button").click()
    page.get_by_label("Shortcuts of one key are on").uncheck()
    page.get_by_role("button", name="Close", exact=True).click()
    page.locator("#transcript").focus()
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keyboard shortcuts")).to_be_hidden()


def test_formulas_are_drawn_and_prices_are_not(open_chat, conversation, parrot):  # noqa: F811
    make_turn(conversation, parrot, "Formulas?", FORMULAS)
    page, site = open_chat(f"/chat/{conversation.pk}/", size=PHONE)
    answer = answer_of(page)
    expect(answer.locator("math")).to_have_count(4)
    assert answer.locator(".math--block math").count() == 2
    expect(answer).to_contain_text("costs $5 or $6 each")
    expect(answer.locator("code").last).to_have_text("$code$")
    assert answer.locator("b, [style], li").count() == 0
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE[0]

    write(page, "Stream them")
    page.locator("#send").click()
    reply = site.accept(site.next_frame("send"), message=5)
    for at in range(0, len(FORMULAS), 9):
        site.say(reply, FORMULAS[at : at + 9], first=at + 1)
    site.finish(reply, seq="9999-0")
    expect(answer_of(page).locator("math")).to_have_count(4)
    stored, streamed = (page.locator(".answer[data-rendered]").nth(index).inner_html() for index in (0, 1))
    assert stored == streamed


def test_the_import_page_is_two_steps_away(open_chat, tmp_path: Path):  # noqa: F811
    page: Page
    page, _ = open_chat()
    page.get_by_role("link", name="Import").click()
    file = tmp_path / "chat.jsonl"
    file.write_text('{"messages": [{"role": "user", "content": "From elsewhere"}]}\n')
    page.get_by_label("File").set_input_files(file)
    page.get_by_role("button", name="Import").click()
    expect(page.locator(".notices")).to_contain_text("1 conversation was imported.")
    expect(page.locator("#conversations")).to_contain_text("From elsewhere")
