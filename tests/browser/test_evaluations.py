"""The evaluation pages in a true browser: live progress, filters, and judging with the keyboard."""

import re

import pytest
from playwright.sync_api import Page, expect

from evaluation.models import EvaluationRun, HumanVerdict
from tests.browser.conftest import PHONE
from tests.evaluation.reading import make_run
from tests.factories import make_user

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def open_page(make_page, live_server, client):
    """Opens a page of the site, signed in as an operator."""
    client.force_login(make_user("sam", is_staff=True))
    session = client.cookies["sessionid"].value

    def open_as_operator(path: str, **options) -> Page:
        page: Page = make_page(**options)
        page.context.add_cookies([{"name": "sessionid", "value": session, "url": live_server.url}])
        page.goto(live_server.url + path)
        return page

    return open_as_operator


def test_it_judges_with_the_keyboard_alone(open_page):
    run = make_run(amount=2)
    page = open_page("/evaluations/judge/")
    for count in range(1, 5):
        expect(page.get_by_role("heading", level=1)).to_have_text("Which answer is better?")
        assert not re.search("parrot|poet", page.content())
        before = page.input_value("[name=ticket]")
        page.keyboard.press("123"[count % 3])
        # The last verdict leaves no ticket. Not with `wait_for_function`: it evaluates a string in the page, which the
        # Content-Security-Policy forbids.
        expect(page.locator(f'[name=ticket][value="{before}"]')).to_have_count(0)
        assert HumanVerdict.objects.filter(run=run).count() == count
    expect(page.get_by_role("heading", level=1)).to_have_text("Nothing left to judge")


def test_it_follows_a_run_and_shows_its_tables_at_the_end(open_page):
    run = make_run(status="running", answers_total=16, answers_done=3, verdicts_total=128)
    page = open_page(f"/evaluations/{run.pk}/")
    expect(page.locator("#progress")).to_contain_text("3 of 16 answers")
    EvaluationRun.objects.filter(pk=run.pk).update(answers_done=9)
    expect(page.locator("#progress")).to_contain_text("9 of 16 answers")
    EvaluationRun.objects.filter(pk=run.pk).update(status="finished")
    expect(page.locator("#progress")).to_have_count(0)
    expect(page.get_by_role("heading", name="Win rates")).to_be_visible()


@pytest.mark.parametrize("path", ["/evaluations/", "/evaluations/judge/", "run", "question"])
def test_it_fits_a_phone(open_page, path):
    run = make_run(chat_models=("parrot", "a-chat-model-with-a-very-long-name-of-its-own", "poet"))
    own = {"run": f"/evaluations/{run.pk}/", "question": f"/evaluations/{run.pk}/questions/1/"}
    page = open_page(own.get(path, path), size=PHONE, dark=True)
    expect(page.locator("h1")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE[0]
