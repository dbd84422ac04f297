"""The API reference in a browser: found by an address, read in another language, and used with a pasted key."""

import json

import pytest
from playwright.sync_api import expect

from chatsite.accounts.services import api_keys
from tests.browser.conftest import PHONE
from tests.browser.test_accessibility import check
from tests.browser.test_chat_page import signed_in  # noqa: F401 - fixture

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def test_an_endpoint_is_tried_with_a_pasted_key(
    make_page, live_server, alice, parrot, workers_client, signed_in  # noqa: F811
):  # fmt: skip
    _, key = api_keys.create(owner=alice, name="tests")
    page = make_page()
    page.context.add_cookies(signed_in)
    page.goto(f"{live_server.url}/docs/api#createChatCompletion")
    endpoint = page.locator("#createChatCompletion")

    expect(endpoint.get_by_text(f"curl {live_server.url}/v1/chat/completions")).to_be_visible()
    page.get_by_role("button", name="Python", exact=True).click()
    expect(endpoint.get_by_text(f'base_url="{live_server.url}/v1"')).to_be_visible()

    send = endpoint.get_by_role("button", name="Send")
    send.click()
    expect(page.get_by_label("Your key")).to_be_focused()
    page.get_by_label("Your key").fill(key)
    send.click()

    expect(endpoint.locator("[data-status]")).to_contain_text("200")
    answer = json.loads(endpoint.locator("[data-answer]").inner_text())
    assert answer["choices"][0]["message"]["content"] == "Name three rivers."

    page.goto(f"{live_server.url}/docs/api#getHealth")
    page.reload()
    expect(page.get_by_label("Your key")).to_have_value("")  # nothing is kept
    page.locator("#getHealth").get_by_role("button", name="Send").click()
    expect(page.locator("#getHealth [data-answer]")).to_contain_text('"status": "ok"')


@pytest.mark.parametrize("phone", [False, True])
def test_it_is_read_by_everybody_on_every_screen(make_page, live_server, phone, transactional_db):
    page = make_page(size=PHONE, dark=True) if phone else make_page()
    page.goto(f"{live_server.url}/docs/api")
    if not phone:
        page.get_by_role("link", name="POST Answer, and keep the turn").click()
        expect(page.locator("#createResponse")).to_have_attribute("open", "")
    page.evaluate("for (const each of document.querySelectorAll('.endpoint')) each.open = true")

    expect(
        page.locator("#createResponse").get_by_role("rowheader", name="previous_response_id")
    ).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    check(page, "reference", "dark phone" if phone else "light")
