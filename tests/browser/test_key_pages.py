"""Keys with restrictions and the page of usage, on a phone and in the dark."""

from datetime import timedelta

import pytest
from django.utils import timezone
from playwright.sync_api import expect

from chatsite.accounts.models import ApiKey, UsageRecord
from chatsite.accounts.services import api_keys
from tests.browser.conftest import PHONE
from tests.browser.test_chat_page import signed_in  # noqa: F401 - fixture

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.mark.parametrize("phone", [True, False])
def test_a_key_is_restricted_and_changed_by_hand(make_page, live_server, alice, signed_in, phone):  # noqa: F811
    page = make_page(size=PHONE, dark=True) if phone else make_page()
    page.context.add_cookies(signed_in)
    page.goto(f"{live_server.url}/settings/keys/")
    page.get_by_label("Name", exact=True).fill("nightly")
    page.get_by_text("Restrictions and limits").click()
    page.get_by_label("Batches").check()
    page.get_by_label("Chat models").fill("parrot")
    page.get_by_label("Tokens per day").fill("5000")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.get_by_role("button", name="Create the key").click()
    expect(page.get_by_text("Copy it now")).to_be_visible()

    page.get_by_role("link", name="nightly").click()
    expect(page.get_by_label("Tokens per day")).to_have_value("5000")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.get_by_label("Batches").uncheck()
    page.get_by_role("button", name="Save").click()

    expect(page.get_by_text("The key is changed.")).to_be_visible()
    key = ApiKey.objects.get()
    assert (key.allowed_families, key.allowed_models, key.tokens_per_day) == ([], ["parrot"], 5000)


def test_usage_is_drawn(make_page, live_server, alice, signed_in):  # noqa: F811
    key, _ = api_keys.create(owner=alice, name="nightly")
    for number in range(20):
        UsageRecord.objects.create(
            request_id=f"{number:032x}", user=alice, api_key=key if number % 2 else None, source="api",
            chat_model="parrot", prompt_tokens=100 * number, completion_tokens=40, outcome="stop",
            created_at=timezone.now() - timedelta(days=number),
        )  # fmt: skip
    page = make_page(size=PHONE)
    page.context.add_cookies(signed_in)

    page.goto(f"{live_server.url}/settings/usage/")

    expect(page.get_by_role("img", name="Tokens per day")).to_be_visible()
    expect(page.get_by_role("rowheader", name="nightly")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
