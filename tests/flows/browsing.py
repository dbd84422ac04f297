"""People with true accounts, and what they use: a browser window, plain HTTP, a websocket of their own."""

import json
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import httpx
from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Origin

from tests.flows.stack import Stack

PASSWORD = "correct horse battery"
DESKTOP = (1280, 800)
PHONE = (390, 844)
PATIENCE = 90_000  # ms; a loaded machine is slow, and a test that waits for a condition loses nothing by it
SECONDS = PATIENCE / 1000

# What Chromium itself writes to the console while the site is away, and for a page that is not there.
SITE_AWAY = (
    r"WebSocket connection to .* failed|net::ERR_(INTERNET_DISCONNECTED|CONNECTION_REFUSED|CONNECTION_RESET)"
)
NOT_FOUND = r"status of 404"
REFUSED = r"status of (400|401|403|422|429)"
# Also written by Chromium, when a page is left while its socket is being opened.
LEFT_EARLY = r"WebSocket is closed before the connection is established"

COUNTED = 400
"""Numbered words in an answer of `counting_model`: w0 w1 w2 … `slow_model` says the same, but never comes to an end."""


def numbered_words(amount: int = COUNTED) -> str:
    return " ".join(f"w{number}" for number in range(amount))


@dataclass(frozen=True)
class Person:
    name: str
    url: str
    session: str
    """The session cookie's value; empty for somebody who is not signed in."""

    @property
    def email(self) -> str:
        return f"{self.name}@people.example"

    @contextmanager
    def http(self) -> Iterator[httpx.Client]:
        """Plain HTTP with this person's session, and with the form token that every POST needs."""
        with httpx.Client(base_url=self.url, timeout=SECONDS, trust_env=False) as client:
            if self.session:
                client.cookies.set("sessionid", self.session)
            client.get("/settings/" if self.session else "/login/", follow_redirects=True)
            client.headers["X-CSRFToken"] = client.cookies["csrftoken"]
            yield client

    @contextmanager
    def socket(self, origin: str | None = None) -> Iterator["ChatSocket"]:
        """The chat page's websocket, without the page."""
        with connect(
            self.url.replace("http", "ws") + "/ws/chat/",
            additional_headers={"Cookie": f"sessionid={self.session}"},
            origin=Origin(origin or self.url),
            proxy=None,
            open_timeout=SECONDS,
            ping_timeout=SECONDS,
            max_queue=None,  # with a limit, frames that nobody reads hold up the closing
        ) as connection:
            yield ChatSocket(connection)


def sign_up(stack: Stack, name: str) -> Person:
    """Through the page's own form, over plain HTTP: quicker than a browser."""
    # All the suite's people come from one address, more of them than one may sign up in an hour.
    with stack.broker() as broker:
        for attempts in broker.scan_iter("*attempts:sign-up-address:*"):
            broker.delete(attempts)
    person = Person(name, stack.url, session="")
    with person.http() as client:
        fields = {"username": name, "email": person.email, "password": PASSWORD}
        response = client.post("/signup/", data=fields)
        assert response.status_code == 302, response.text
        return Person(name, stack.url, client.cookies["sessionid"])


Newcomer = Callable[[], Person]
"""Signs somebody up whom nobody else knows."""


def log_in(stack: Stack, name: str, password: str = PASSWORD) -> Person:
    with Person(name, stack.url, session="").http() as client:
        response = client.post("/login/", data={"username": name, "password": password})
        assert response.status_code == 302, response.text
        return Person(name, stack.url, client.cookies["sessionid"])


def make_key(person: Person) -> str:
    """An API key of theirs, from the page for it: quicker than a process of Django."""
    with person.http() as client:
        page = client.post("/settings/keys/", data={"name": "tests"}).text
        found = re.search(r'id="new-key">([^<]+)<', page)
        assert found, page
        return found.group(1)


class ChatSocket:
    """Speaks docs/design/chat-socket.md; each wait has an end."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection

    def send(self, **frame: Any) -> None:
        self.connection.send(json.dumps(frame))

    def next(self, *kinds: str, seconds: float = SECONDS) -> dict[str, Any]:
        """The next frame of one of these types (of any without); others before it are dropped."""
        end = time.monotonic() + seconds
        while True:
            frame: dict[str, Any] = json.loads(self.connection.recv(timeout=max(0.0, end - time.monotonic())))
            if not kinds or frame["type"] in kinds:
                return frame

    def ask(self, text: str, chat_model: str, **more: Any) -> dict[str, Any]:
        """Send a message and wait until it is `accepted`."""
        frame = {"conversation": None, "settings": None, **more}
        self.send(
            type="send", client_id=f"wish-{time.monotonic_ns()}", text=text, chat_model=chat_model, **frame
        )
        answer = self.next("accepted", "error")
        assert answer["type"] == "accepted", answer
        return answer

    def text_of(self, reply: str, seconds: float = 2 * SECONDS) -> str:
        """Wait for the reply's end; its whole text."""
        text = ""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            frame = self.next("event", seconds=seconds)
            if frame["reply"] != reply:
                continue
            event = frame["event"]
            if event["type"] == "delta":
                text = event["text"] if frame.get("whole") else text + event["text"]
            elif event["type"] in ("finished", "failed"):
                assert event["type"] == "finished", event
                return text
        raise AssertionError(f"no end within {seconds:g} s")

    def close_code(self, seconds: float = SECONDS) -> int:
        """Wait until the site closes the connection."""
        end = time.monotonic() + seconds
        with suppress(ConnectionClosed):
            while True:
                self.connection.recv(timeout=max(0.0, end - time.monotonic()))
        assert self.connection.close_code is not None
        return self.connection.close_code


class Window:
    """One person's browser window on the site.

    `complaints` are the console's errors and warnings, broken scripts and refusals of the Content-Security-Policy, but
    for those that `excuse` names; `Windows` fails the test when there are any.
    """

    def __init__(self, page: Page, url: str, excuse: str = "") -> None:
        self.page, self.url = page, url
        self.complaints: list[str] = []
        self._excuse = re.compile(f"{LEFT_EARLY}|{excuse}" if excuse else LEFT_EARLY)
        page.on("pageerror", lambda error: self.complaints.append(f"script: {error}"))
        page.on("console", lambda message: self._heard(message.type, message.text))

    def _heard(self, kind: str, text: str) -> None:
        if kind in ("error", "warning") and not self._excuse.search(text):
            self.complaints.append(f"{kind}: {text}")

    def excuse(self, pattern: str) -> None:
        """From here on the console may say this."""
        self._excuse = re.compile(f"{self._excuse.pattern}|{pattern}")

    def open(self, path: str = "/chat/") -> "Window":
        self.page.goto(self.url + path)
        return self

    def submit(self, button: str, **fields: str) -> None:
        """Fill the page's form and press its button."""
        for name, value in fields.items():
            self.page.fill(f"form.card [name={name}]", value)
        self.page.get_by_role("button", name=button, exact=True).click()

    # --- chatting ------------------------------------------------------------------------------------------

    def pick(self, chat_model: str) -> None:
        self.page.select_option("#chat-model", chat_model)

    def write(self, text: str) -> None:
        expect(self.page.locator("#send")).to_be_enabled()  # the page's scripts have come
        self.page.fill("#text", text)
        self.page.press("#text", "Enter")

    def ask(self, text: str, chat_model: str) -> None:
        self.pick(chat_model)
        self.write(text)

    def set(self, **settings: str) -> None:
        """In the panel; a system prompt is `system_prompt`."""
        self.page.click("#settings-button")
        for name, value in settings.items():
            self.page.fill(f"#setting-{name}", value)
        self.page.get_by_role("button", name="Done").click()

    @property
    def reply(self) -> Locator:
        """The newest message's answer that is in view."""
        return self.page.locator("#turns .turn").last.locator(".entry--answer:visible")

    @property
    def answer(self) -> Locator:
        return self.reply.locator("[data-answer]")

    def words(self) -> int:
        """How many words of the answer are on the page at this moment."""
        return len(self.answer.inner_text().split()) if self.answer.count() else 0

    def wait_for_words(self, amount: int) -> int:
        """Until so many are there; how many there are then."""
        expect(self.answer).to_have_text(re.compile(rf"(\S+\s+){{{amount - 1}}}\S+"), timeout=PATIENCE)
        return self.words()

    def wait_finished(self, outcome: str = "stop") -> None:
        expect(self.reply).to_have_attribute("data-status", "finished", timeout=2 * PATIENCE)
        expect(self.reply).to_have_attribute("data-outcome", outcome)

    @property
    def conversation(self) -> str:
        """The path of the conversation that is open; waits until there is one."""
        self.page.wait_for_url(re.compile(r"/chat/[0-9a-f-]{36}/"))
        return self.page.url.removeprefix(self.url)

    def item(self, conversation: str) -> Locator:
        """Its line in the list."""
        return self.page.locator(f'[data-item="{conversation.split("/")[2]}"]')


class Windows:
    """Opens windows, and closes them all at the end."""

    def __init__(self, browser: Browser, url: str) -> None:
        self._browser, self._url = browser, url
        self._contexts: list[BrowserContext] = []
        self._windows: list[Window] = []

    def open(
        self,
        person: Person | None = None,
        path: str = "/chat/",
        *,
        size: tuple[int, int] = DESKTOP,
        dark: bool = False,
        scripts: bool = True,
        excuse: str = "",
    ) -> Window:
        """A window in a browser of its own, signed in as `person`."""
        context = self._browser.new_context(
            viewport={"width": size[0], "height": size[1]},
            color_scheme="dark" if dark else "light",
            has_touch=size == PHONE,
            is_mobile=size == PHONE,
            reduced_motion="reduce",
            java_script_enabled=scripts,
        )
        context.set_default_timeout(PATIENCE)
        self._contexts.append(context)
        if person:
            context.add_cookies([{"name": "sessionid", "value": person.session, "url": self._url}])
        return self._window(context, excuse).open(path)

    def another_tab(self, window: Window, path: str, excuse: str = "") -> Window:
        """In the same browser, so with the same session."""
        return self._window(window.page.context, excuse).open(path)

    def _window(self, context: BrowserContext, excuse: str) -> Window:
        window = Window(context.new_page(), self._url, excuse)
        self._windows.append(window)
        return window

    def close(self) -> None:
        for context in self._contexts:
            context.close()
        complaints = [complaint for window in self._windows for complaint in window.complaints]
        assert not complaints, complaints


expect.set_options(timeout=PATIENCE)
