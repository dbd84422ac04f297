"""What the operator sees of people and workers in the admin."""

import pytest
from playwright.sync_api import expect

from tests.flows.browsing import Newcomer, Person, Windows, log_in
from tests.flows.stack import Stack, until

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def admin(stack: Stack) -> Person:
    return log_in(stack, "admin", stack.admin_password)


def test_a_conversation_reads_as_a_dialogue(
    windows: Windows, admin: Person, newcomer: Newcomer, parrot_model: str, smollm2: str
):
    person = newcomer()
    window = windows.open(person)
    window.ask("<b>First</b> question", parrot_model)
    window.wait_finished()
    window.write("Second question")
    expect(window.page.locator(".turn")).to_have_count(2)
    window.wait_finished()
    conversation = window.conversation.split("/")[2]

    operator = windows.open(admin, "/admin/arena/conversation/")
    row = operator.page.locator("#result_list tbody tr").filter(has_text=person.name)
    row.locator("th a").click()

    assert conversation in operator.page.url
    dialogue = operator.page.locator(".dialogue .dialogue__text")
    expect(dialogue).to_have_text(
        ["<b>First</b> question", "<b>First</b> question"] + ["Second question"] * 2
    )
    expect(operator.page.locator(".dialogue__turn--reply").first).to_contain_text(parrot_model)
    # Read, not rewritten: there is no field to type into and no button that saves.
    expect(operator.page.locator("#content input[type=text], #content textarea")).to_have_count(0)
    expect(operator.page.locator("[name=_save]")).to_have_count(0)


def test_the_workers_page_shows_by_itself_what_runs(
    stack: Stack, windows: Windows, admin: Person, alice: Person, slow_model: str
):
    operator = windows.open(admin, "/admin/workers/worker/")
    row = operator.page.locator("#live-list tr").filter(has_text="slow-1")
    expect(row).to_contain_text("ready")
    fleet = operator.page.locator("#live-fleet tr").filter(has_text=slow_model).locator("td").nth(2)
    expect(fleet).to_have_text("0")

    window = windows.open(alice)
    window.ask("Count.", slow_model)
    window.wait_for_words(2)
    expect(fleet).to_have_text("1")
    expect(row).to_contain_text("1 of 64")
    window.page.click("#stop")
    expect(fleet).to_have_text("0")
    expect(row).to_contain_text("0 of 64")
    until(lambda: stack.in_flight(slow_model) == 0, "the engine's stop")
    assert operator.page.url.endswith("/admin/workers/worker/")  # never loaded anew by hand


@pytest.mark.parametrize(
    "path",
    [
        "",
        "accounts/user/",
        "accounts/apikey/",
        "arena/conversation/",
        "arena/reply/",
        "workers/worker/",
        "workers/chatmodel/",
        "workers/chatmodel/add/",
        "accounts/user/add/",
    ],
)
@pytest.mark.parametrize("dark", [False, True])
def test_every_page_of_the_admin_opens_without_a_complaint(
    windows: Windows, admin: Person, path: str, dark: bool
):
    window = windows.open(admin, f"/admin/{path}", dark=dark)

    expect(window.page.locator("#content")).to_be_visible()
    expect(window.page.locator("#header")).to_contain_text("chatsite")
    assert window.page.url == f"{window.url}/admin/{path}"
