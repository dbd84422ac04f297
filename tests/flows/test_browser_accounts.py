"""Signing up, logging in and out, and passwords, in a browser against the true stack."""

import re
from email import message_from_bytes, policy

import pytest
from playwright.sync_api import expect

from tests.flows.browsing import NOT_FOUND, PASSWORD, REFUSED, Newcomer, Person, Window, Windows
from tests.flows.stack import Stack, until

pytestmark = pytest.mark.browser

NEW_PASSWORD = "staple battery horse"


def log_out(window: Window) -> None:
    window.page.get_by_role("button", name="Account menu").click()
    window.page.get_by_role("button", name="Log out").click()
    expect(window.page.get_by_role("heading", name="Log in")).to_be_visible()


def log_in(window: Window, name: str, password: str = PASSWORD) -> None:
    window.submit("Log in", username=name, password=password)


def is_inside(window: Window) -> None:
    expect(window.page.locator("#text")).to_be_visible()


def test_a_newcomer_signs_up_chats_leaves_and_comes_back(windows: Windows, parrot_model: str):
    window = windows.open(path="/")
    window.page.get_by_role("link", name="Sign up").click()
    window.submit("Create the account", username="dora", email="Dora@people.example", password=PASSWORD)
    is_inside(window)
    window.ask("Hello from Dora.", parrot_model)
    window.wait_finished()
    conversation = window.conversation

    log_out(window)
    log_in(window, "dora")
    is_inside(window)
    log_out(window)
    log_in(window, "dora@people.example")
    is_inside(window)

    window.item(conversation).locator("a").click()
    expect(window.answer).to_have_text("Hello from Dora.")


def test_the_log_in_leads_back_to_where_one_wanted_to_go(windows: Windows, alice: Person):
    window = windows.open(path="/settings/usage/")
    expect(window.page.get_by_role("heading", name="Log in")).to_be_visible()
    log_in(window, alice.name)

    expect(window.page.get_by_role("heading", name="Usage")).to_be_visible()


@pytest.mark.parametrize("name", ["alice", "nobody-has-this-name"])
def test_a_wrong_password_says_no_more_than_that(windows: Windows, alice: Person, name: str):
    window = windows.open(path="/login/", excuse=REFUSED)
    log_in(window, name, "not the password")

    expect(window.page.get_by_role("alert")).to_have_text(
        "This name and password do not belong together. Check both and try again."
    )
    assert window.page.input_value("[name=username]") == name


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"username": "alice"}, "Another account has this username"),
        ({"username": "ALICE"}, "Another account has this username"),
        ({"username": "two words"}, "letters, numbers"),
        ({"username": "eve\u0000"}, "ull characters are not allowed"),
        ({"password": "short"}, "too short"),
        ({"password": "12345678901234"}, "entirely numeric"),
    ],
)
def test_a_bad_sign_up_names_the_field_and_keeps_the_rest(
    windows: Windows, alice: Person, fields: dict[str, str], sentence: str
):
    window = windows.open(path="/signup/", excuse=REFUSED)
    entered = {"username": "newname", "email": "newname@people.example", "password": PASSWORD, **fields}
    window.submit("Create the account", **entered)

    expect(window.page.locator(".field__error").first).to_contain_text(sentence)
    assert window.page.input_value("[name=email]") == "newname@people.example"
    assert window.page.url.endswith("/signup/")


def test_after_the_log_out_the_back_button_shows_nothing(
    windows: Windows, newcomer: Newcomer, parrot_model: str
):
    window = windows.open(newcomer())
    window.ask("Nobody else's business.", parrot_model)
    window.wait_finished()
    window.page.reload()
    expect(window.answer).to_have_text("Nobody else's business.")

    log_out(window)
    window.page.go_back()

    expect(window.page.get_by_role("heading", name="Log in")).to_be_visible()
    assert "Nobody else" not in window.page.content()


def test_a_changed_password_logs_the_other_browsers_out(
    stack: Stack, windows: Windows, newcomer: Newcomer, parrot_model: str
):
    person = newcomer()
    here, elsewhere = windows.open(person), windows.open(path="/login/")
    log_in(elsewhere, person.name)
    is_inside(elsewhere)

    here.open("/settings/password/")
    here.submit(
        "Change the password",
        old_password=PASSWORD,
        new_password1=NEW_PASSWORD,
        new_password2=NEW_PASSWORD,
    )
    expect(here.page.locator(".notice--success")).to_be_visible()
    here.open()
    is_inside(here)

    # The page that is still open elsewhere is led to the log-in by its first message, which waits there.
    elsewhere.ask("Am I still in?", parrot_model)
    expect(elsewhere.page.get_by_role("heading", name="Log in")).to_be_visible()
    elsewhere.excuse(REFUSED)
    log_in(elsewhere, person.name, PASSWORD)
    expect(elsewhere.page.get_by_role("alert")).to_contain_text("do not belong together")
    log_in(elsewhere, person.name, NEW_PASSWORD)
    expect(elsewhere.answer).to_have_text("Am I still in?")
    expect(elsewhere.page.locator(".turn")).to_have_count(1)


def test_a_forgotten_password_is_reset_by_mail(stack: Stack, windows: Windows, newcomer: Newcomer):
    person = newcomer()
    window = windows.open(path="/login/")
    window.page.get_by_role("link", name="Forgot your password?").click()
    window.submit("Ask for a link", email=person.email)
    expect(window.page.get_by_role("heading", level=1)).to_be_visible()

    link = reset_link(stack, person)
    assert link.startswith(stack.url)
    window.page.goto(link)
    assert link.split("/")[-2] not in window.page.url  # the token is not left in the address
    window.submit("Set the password", new_password1=NEW_PASSWORD, new_password2=NEW_PASSWORD)
    window.page.get_by_role("main").get_by_role("link", name="Log in").click()
    log_in(window, person.name, NEW_PASSWORD)
    is_inside(window)

    with person.http() as client:  # the session from before the reset
        assert client.get("/chat/").status_code == 302
    used = windows.open(path=link.removeprefix(stack.url))
    expect(used.page.locator("main")).to_contain_text("This link does not work any more")


def test_a_reset_tells_nobody_who_has_an_account(stack: Stack, windows: Windows, alice: Person):
    sentences = []
    for address in (alice.email, "nobody@people.example"):
        window = windows.open(path="/password-reset/")
        window.submit("Ask for a link", email=address)
        expect(window.page).to_have_url(re.compile("/password-reset/done/$"))
        sentences.append(window.page.locator("main").inner_text())

    assert sentences[0] == sentences[1]


def test_a_key_is_shown_once_and_works_until_it_is_revoked(
    stack: Stack, windows: Windows, newcomer: Newcomer, parrot_model: str
):
    window = windows.open(newcomer(), "/settings/keys/")
    window.submit("Create the key", name="<i>my script</i>")
    key = window.page.locator("#new-key").inner_text()
    assert key.startswith("sk-")
    answer = stack.ask(key, parrot_model, "Say it.")
    assert answer.json()["choices"][0]["message"]["content"] == "Say it."

    window.open("/settings/keys/")
    expect(window.page.locator("table")).to_contain_text("<i>my script</i>")
    assert key not in window.page.content()
    window.page.get_by_role("button", name="Revoke <i>my script</i>").click()
    expect(window.page.locator(".notices")).to_contain_text("is revoked")
    assert stack.ask(key, parrot_model, "Say it.").status_code == 401
    window.open("/settings/usage/")
    expect(window.page.locator("main table").first).to_contain_text(parrot_model)


def test_an_unknown_page_is_ours(windows: Windows):
    window = windows.open(path="/no/such/page/", excuse=NOT_FOUND)

    expect(window.page.get_by_role("heading", level=1)).to_have_text("There is nothing here")


def reset_link(stack: Stack, person: Person) -> str:
    """From the mail to this person, which the site leaves in a file while no mail server is set."""

    def mail() -> str:
        for path in sorted((stack.data / "mail").glob("*")):
            message = message_from_bytes(path.read_bytes(), policy=policy.default)
            if message["To"] == person.email:
                return str(message.get_content())
        return ""

    found = re.search(r"https?://\S+", until(mail, "the mail"))
    assert found
    return found.group()
