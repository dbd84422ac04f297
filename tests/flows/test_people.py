"""Two people on one site: neither sees, steers or stops what is the other's. And what a stranger's page may not do."""

import uuid
from collections.abc import Iterator
from dataclasses import dataclass

import httpx
import pytest
from playwright.sync_api import expect
from websockets.exceptions import InvalidStatus

from tests.flows.browsing import NOT_FOUND, REFUSED, ChatSocket, Newcomer, Person, Windows, log_in
from tests.flows.stack import Stack, until

SECRET = "alice's secret sentence"


@dataclass(frozen=True)
class Talk:
    """A conversation of Alice's."""

    conversation: str
    message: int
    reply: str

    @property
    def path(self) -> str:
        return f"/chat/{self.conversation}/"


@pytest.fixture(scope="module")
def talk(alice: Person, parrot_model: str) -> Talk:
    with alice.socket() as socket:
        accepted = socket.ask(SECRET, parrot_model)
        reply = accepted["reply"]["id"]
        assert socket.text_of(reply) == SECRET
        return Talk(accepted["conversation"]["id"], accepted["message"]["id"], reply)


@pytest.fixture
def running(alice: Person, slow_model: str) -> Iterator[tuple[ChatSocket, Talk]]:
    """An answer of Alice's that is being written, and the socket that follows it."""
    with alice.socket() as socket:
        accepted = socket.ask("Count.", slow_model)
        reply = accepted["reply"]["id"]
        while socket.next("event")["event"]["type"] != "delta":
            pass
        yield socket, Talk(accepted["conversation"]["id"], accepted["message"]["id"], reply)
        socket.send(type="stop", reply=reply)
        socket.text_of(reply)


@pytest.fixture
def socket(charlie: Person) -> Iterator[ChatSocket]:
    """Charlie's."""
    with charlie.socket() as socket:
        yield socket


# --- pages -------------------------------------------------------------------------------------------------


@pytest.mark.browser
def test_the_page_of_a_foreign_conversation_is_not_found(windows: Windows, charlie: Person, talk: Talk):
    window = windows.open(charlie, talk.path, excuse=NOT_FOUND)

    expect(window.page.get_by_role("heading", level=1)).to_have_text("There is nothing here")
    assert SECRET not in window.page.content()
    unknown = windows.open(charlie, f"/chat/{uuid.uuid4()}/", excuse=NOT_FOUND)
    # Nothing tells a foreign conversation from one that never was.
    assert unknown.page.locator("main").inner_text() == window.page.locator("main").inner_text()


@pytest.mark.parametrize("action", ["rename", "delete"])
def test_a_foreign_conversation_cannot_be_changed(charlie: Person, alice: Person, talk: Talk, action: str):
    with charlie.http() as client:
        refusal = client.post(f"{talk.path}{action}/", data={"title": "Mine now"})
        assert refusal.status_code == 404
        assert SECRET not in refusal.text

    with alice.http() as client:
        page = client.get(talk.path)
        assert page.status_code == 200
        assert "Mine now" not in page.text


def test_the_list_holds_ones_own_conversations_only(charlie: Person, alice: Person, talk: Talk):
    with alice.http() as client:
        assert talk.conversation in client.get("/chat/list/").text
    with charlie.http() as client:
        for path in ("/chat/list/", "/chat/"):
            assert talk.conversation not in client.get(path).text


def test_a_foreign_key_cannot_be_seen_or_revoked(stack: Stack, charlie: Person, alice: Person):
    with alice.http() as client:
        made = client.post("/settings/keys/", data={"name": "alices-key", "expires": ""})
        assert made.status_code == 201
        key = made.text.split('id="new-key">')[1].split("<")[0]
        revoke = made.text.split('action="/settings/keys/')[1].split('"')[0]

    with charlie.http() as client:
        assert client.post(f"/settings/keys/{revoke}").status_code == 404
        assert "alices-key" not in client.get("/settings/keys/").text

    models = httpx.get(
        f"{stack.url}/v1/models", headers={"Authorization": f"Bearer {key}"}, trust_env=False, timeout=30
    )
    assert models.status_code == 200  # it still works


@pytest.mark.browser
@pytest.mark.parametrize(
    "path", ["", "accounts/user/", "accounts/apikey/", "arena/conversation/", "workers/worker/"]
)
def test_the_admin_refuses_everybody_but_staff(windows: Windows, charlie: Person, path: str):
    window = windows.open(charlie, f"/admin/{path}", excuse=REFUSED)

    expect(window.page.locator("main")).to_contain_text("may not use the administration")
    assert "alice" not in window.page.content()


@pytest.mark.parametrize("path", ["/chat/", "/settings/", "/settings/keys/", "/settings/usage/", "/admin/"])
def test_whoever_is_not_signed_in_is_sent_to_the_log_in(stack: Stack, path: str):
    with httpx.Client(base_url=stack.url, follow_redirects=True, trust_env=False, timeout=300) as client:
        page = client.get(path)

    assert page.url.path == "/login/"
    assert page.url.params["next"] == path


# --- the websocket -----------------------------------------------------------------------------------------


def test_a_foreign_answer_cannot_be_watched(socket: ChatSocket, talk: Talk):
    socket.send(type="watch", reply=talk.reply, after="")

    assert socket.next()["code"] == "not_found"


def test_a_running_foreign_answer_can_be_neither_watched_nor_stopped(
    socket: ChatSocket, running: tuple[ChatSocket, Talk]
):
    own, talk = running
    for kind in ("watch", "stop"):
        socket.send(type=kind, reply=talk.reply)
        assert socket.next()["code"] == "not_found"

    # Alice's goes on: another word comes after the refusals.
    assert own.next("event")["event"]["type"] == "delta"


def test_nothing_can_be_said_into_a_foreign_conversation(
    socket: ChatSocket, alice: Person, talk: Talk, parrot_model: str
):
    send = {"type": "send", "client_id": "intruder-1", "text": "intruded", "chat_model": parrot_model}
    socket.send(**send, conversation=talk.conversation, settings=None)
    assert socket.next()["code"] == "not_found"
    socket.send(type="regenerate", client_id="intruder-2", message=talk.message)
    assert socket.next()["code"] == "not_found"

    with alice.http() as client:
        page = client.get(talk.path).text
    assert "intruded" not in page
    assert page.count("data-reply=") == 2  # the one answer, and the mould for new ones


def test_a_foreign_wish_cannot_be_read_back_by_its_client_id(
    socket: ChatSocket, alice: Person, parrot_model: str
):
    wish = {"type": "send", "client_id": "a-known-client-id", "conversation": None, "settings": None}
    with alice.socket() as own:
        own.send(**wish, text=SECRET, chat_model=parrot_model)
        hers = own.next("accepted")

    socket.send(**wish, text="mine", chat_model=parrot_model)

    accepted = socket.next("accepted")
    assert accepted["message"]["text"] == "mine"
    assert accepted["conversation"]["id"] != hers["conversation"]["id"]
    socket.text_of(accepted["reply"]["id"])


@pytest.mark.parametrize("origin", ["https://evil.example", "http://127.0.0.1:1", "null"])
def test_a_page_of_another_site_gets_no_websocket(alice: Person, origin: str):
    with pytest.raises(InvalidStatus) as refusal, alice.socket(origin=origin):
        pass
    assert refusal.value.response.status_code == 403


def test_a_websocket_without_a_session_is_closed_with_4401(stack: Stack):
    nobody = Person("nobody", stack.url, session="")
    with nobody.socket() as socket:
        assert socket.close_code() == 4401
    forged = Person("forged", stack.url, session="0123456789abcdefghijklmnopqrstuv")
    with forged.socket() as socket:
        assert socket.close_code() == 4401


def test_a_log_out_ends_the_open_websockets_of_that_session_only(
    stack: Stack, newcomer: Newcomer, parrot_model: str
):
    first = newcomer()
    second = log_in(stack, first.name)
    with first.socket() as socket, second.socket() as other:
        with first.http() as client:
            assert client.post("/logout/").status_code == 302

        socket.send(type="watch", reply=str(uuid.uuid4()))
        assert socket.close_code() == 4401
        accepted = other.ask("Still here.", parrot_model)
        assert other.text_of(accepted["reply"]["id"]) == "Still here."


def test_one_person_cannot_take_all_slots(stack: Stack, newcomer: Newcomer, slow_model: str):
    greedy = newcomer()
    with greedy.socket() as socket:
        accepted = [socket.ask("Count.", slow_model) for _ in range(4)]
        socket.send(type="send", client_id="one-too-many", text="Count.", conversation=None)
        assert socket.next("error")["code"] == "too_many"

        until(lambda: stack.in_flight(slow_model) >= 4, "four answers")
        for wish in accepted:
            socket.send(type="stop", reply=wish["reply"]["id"])
        until(lambda: stack.in_flight(slow_model) == 0, "the end of all four")


# --- headers -----------------------------------------------------------------------------------------------

PAGES = ["/login/", "/signup/", "/password-reset/", "/chat/", "/settings/", "/settings/keys/", "/nowhere/"]


@pytest.mark.parametrize("path", PAGES)
def test_every_page_carries_the_headers_that_protect_it(alice: Person, path: str):
    with alice.http() as client:
        headers = client.get(path, follow_redirects=True).headers

    policy = {name: values for name, *values in map(str.split, headers["content-security-policy"].split(";"))}
    assert policy["default-src"] == ["'none'"]
    assert policy["script-src"] == policy["style-src"] == ["'self'"]
    assert policy["frame-ancestors"] == policy["base-uri"] == ["'none'"]
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["referrer-policy"] == "same-origin"
    assert "x-powered-by" not in headers


def test_cookies_are_kept_from_scripts_and_from_other_sites(stack: Stack, alice: Person):
    with Person(alice.name, stack.url, session="").http() as client:
        response = client.post("/login/", data={"username": alice.name, "password": "correct horse battery"})

    cookies = {cookie.split("=")[0]: cookie.lower() for cookie in response.headers.get_list("set-cookie")}
    assert "httponly" in cookies["sessionid"]
    assert "samesite=lax" in cookies["sessionid"]
    assert "samesite=lax" in cookies["csrftoken"]
    assert response.headers["location"] == "/chat/"


def test_a_form_of_another_site_is_refused(alice: Person):
    with alice.http() as client:
        del client.headers["X-CSRFToken"]
        assert client.post("/logout/").status_code == 403
        foreign = {"X-CSRFToken": client.cookies["csrftoken"], "Origin": "https://evil.example"}
        assert client.post("/logout/", headers=foreign).status_code == 403
        assert client.get("/chat/").status_code == 200  # still signed in


def test_a_page_for_an_unknown_host_is_refused_without_a_trace(stack: Stack):
    response = httpx.get(
        f"{stack.url}/login/", headers={"Host": "evil.example"}, trust_env=False, timeout=300
    )

    assert response.status_code == 400
    assert "Traceback" not in response.text
