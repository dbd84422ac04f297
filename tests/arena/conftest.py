"""What the arena's tests share: a chat page without a browser, and conversations that have been held."""

import asyncio
import contextlib
import time
import uuid
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from celery import current_app
from channels.testing import WebsocketCommunicator
from django.test import Client

import arena.tasks  # noqa: F401 - registers the control tasks, which a Celery worker finds by itself
from arena.models import Conversation, Message, Reply
from arena.services import watching
from chatsite.accounts.models import User
from chatsite.asgi import application
from tests.fakes import InProcessClient
from tests.workers.support import PATIENCE
from workers import follow
from workers.models import ChatModel

ORIGIN = "http://localhost"


class Page:
    """An open chat page of one person: a websocket through the whole ASGI application."""

    def __init__(self, cookie: str, origin: str | None = ORIGIN, path: str = "/ws/chat/") -> None:
        headers = [(b"host", b"localhost"), (b"cookie", f"sessionid={cookie}".encode())]
        if origin is not None:
            headers.append((b"origin", origin.encode()))
        self.socket = WebsocketCommunicator(application, path, headers=headers)
        self.backlog: list[dict[str, Any]] = []

    async def open(self) -> "Page":
        connected, _ = await self.socket.connect(timeout=PATIENCE)
        assert connected
        return self

    async def send(self, **frame: Any) -> None:
        await self.socket.send_json_to(frame)

    async def hear(self) -> dict[str, Any]:
        """The next frame."""
        return self.backlog.pop(0) if self.backlog else await self._receive()

    async def _receive(self) -> dict[str, Any]:
        frame: dict[str, Any] = await self.socket.receive_json_from(timeout=PATIENCE)
        return frame

    async def ask(self, **frame: Any) -> dict[str, Any]:
        """Send a frame and return the first one that answers it; events in front of it are heard later."""
        await self.send(**frame)
        while (answer := await self._receive())["type"] in ("event", "waiting"):
            self.backlog.append(answer)
        return answer

    async def say(self, text: str, **fields: Any) -> dict[str, Any]:
        """Send a message; the answer's `accepted` or `error` frame."""
        fields = {
            "client_id": uuid.uuid4().hex,
            "conversation": None,
            "chat_model": "parrot",
            "settings": None,
            **fields,
        }
        return await self.ask(type="send", text=text, **fields)

    async def events(self, reply: str, *, until: str = "end") -> list[dict[str, Any]]:
        """Event frames of `reply`, up to its end or to the first event of a type."""
        heard = []
        while True:
            frame = await self.hear()
            if frame["type"] == "event" and frame["reply"] == reply:
                heard.append(frame)
                if frame["event"]["type"] in ("finished", "failed", until):
                    return heard

    async def nothing(self, seconds: float = 0.2) -> bool:
        return bool(await self.socket.receive_nothing(timeout=seconds))

    async def close_code(self) -> int:
        """The code the site closes the socket with."""
        while (message := await self.socket.receive_output(PATIENCE))["type"] != "websocket.close":
            pass
        return int(message["code"])

    async def close(self) -> None:
        await self.socket.disconnect(timeout=PATIENCE)
        # All database work of an event loop goes through one thread; a query that a follower began may still run there.
        await sync_to_async(lambda: None)()


async def until(condition: Callable[[], Any]) -> None:
    """Fail when `condition` does not become true."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        await asyncio.sleep(0.01)


def text_of(frames: list[dict[str, Any]]) -> str:
    return "".join(frame["event"]["text"] for frame in frames if frame["event"]["type"] == "delta")


@pytest.fixture
def sign_in(db) -> Callable[[User], str]:
    """Log a person in; returns the session cookie's value."""

    def _sign_in(user: User) -> str:
        client = Client()
        client.force_login(user)
        return client.cookies["sessionid"].value

    return _sign_in


@pytest.fixture
def page_of(sign_in) -> Callable[[User], Page]:
    """A chat page of a person, not opened yet. Call it before the test's first `await`."""
    return lambda user: Page(sign_in(user))


@pytest.fixture
async def _hub() -> AsyncIterator[None]:
    """The hub of followers belongs to the event loop, which ends with the test."""
    yield
    hub = follow.hub()
    if hub._reader is not None:
        hub._reader.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await hub._reader
    if hub._client is not None:
        await hub._client.aclose()


@pytest.fixture
async def control(workers_client: InProcessClient, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    """The control worker: reports are recorded as they come, however long a busy machine takes for it."""
    monkeypatch.setattr(watching, "PAUSES", (*watching.PAUSES, *[1.0] * int(PATIENCE)))

    async def deliver() -> None:
        while True:
            if workers_client.reports:
                # Not the waiting form: a database call of the page would wait with it, until every reply has ended.
                await sync_to_async(workers_client.deliver_made_reports)()
            await asyncio.sleep(0.01)

    current_app.loader.import_default_modules()  # takes a second, in which the page's database calls would wait
    task = asyncio.create_task(deliver())
    yield
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


def make_conversation(owner: User, chat_model: ChatModel | None = None, **values: Any) -> Conversation:
    return Conversation.objects.create(owner=owner, chat_model=chat_model, **{"title": "Birds", **values})


def make_turn(conversation: Conversation, text: str, *answers: str, **values: Any) -> Message:
    """A message with finished replies."""
    position = conversation.messages.count() + 1
    message = Message.objects.create(conversation=conversation, position=position, text=text)
    for answer in answers:
        make_reply(message, answer, **values)
    return message


def make_reply(message: Message, text: str = "", **values: Any) -> Reply:
    defaults = {"status": Reply.Status.FINISHED, "outcome": "stop", "chat_model_name": "parrot"}
    return Reply.objects.create(message=message, text=text, **{**defaults, **values})


@pytest.fixture
def talk(alice: User, parrot: ChatModel) -> Conversation:
    """Alice's conversation with two finished turns."""
    conversation = make_conversation(alice, parrot)
    make_turn(conversation, "Hello", "Hello yourself")
    make_turn(conversation, "How are you?", "As well as a parrot can be")
    return conversation


@pytest.fixture
def commits(django_capture_on_commit_callbacks) -> Callable[[], Any]:
    """`with commits():` runs what waits for the commit."""
    return lambda: django_capture_on_commit_callbacks(execute=True)


@pytest.fixture
def no_workers(workers_client: InProcessClient) -> InProcessClient:
    """Nobody serves the parrot."""
    workers_client.unhost("parrot")
    return workers_client
