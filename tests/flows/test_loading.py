"""Chat models that are loaded into the running product, and given up again."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from tests.flows.browsing import Person, Windows
from tests.flows.stack import SMOLLM2, Stack, until


@pytest.fixture
def second(stack: Stack) -> Iterator[str]:
    """A chat model of the catalog with one slot, which talks until it is stopped."""
    stack.manage(
        "models", "add", "second", "--engine=scripted", "--checkpoint=tokens=9999&rate=5", "--slots=1"
    )
    yield "second"
    if hosts(stack, "second"):
        stack.manage("models", "unload", "second", timeout=300)


def hosts(stack: Stack, chat_model: str) -> list[str]:
    return [status.worker for status in stack.statuses() if status.serves(chat_model)]


def test_it_answers_without_a_restart_beside_what_was_there(
    stack: Stack, windows: Windows, alice: Person, charlie: Person, admin_key: str, second: str
):
    before = stack.worker_of(SMOLLM2).pid
    (host,) = hosts(stack, SMOLLM2)
    said = stack.manage("models", "load", second, "--worker", host, timeout=300)
    assert said.splitlines()[-1].startswith(f"second is loaded by {host}")
    until(lambda: hosts(stack, second) == [host], "the heartbeat")

    # Somebody has its only slot: who comes now waits, and is told where.
    window = windows.open(charlie)
    with alice.socket() as socket:
        reply = socket.ask("Go!", second)["reply"]["id"]
        socket.next("event", seconds=90)
        window.ask("And me?", second)
        waiting = window.reply.locator("[data-waiting-text]")
        expect(waiting).to_have_text("Position 1 in the queue", timeout=90_000)
        socket.send(type="stop", reply=reply)
    window.wait_for_words(2)
    assert stack.ask(admin_key, SMOLLM2, "Hello!", max_tokens=5).status_code == 200
    window.page.click("#stop")
    window.wait_finished("cancelled")

    said = stack.manage("models", "unload", second, timeout=300)
    assert said.splitlines()[-1] == f"second is unloaded from {host}."
    until(lambda: not hosts(stack, second), "the unloading")
    assert stack.ask(admin_key, second, "Still there?").status_code == 503
    assert stack.ask(admin_key, SMOLLM2, "Hello!", max_tokens=5).status_code == 200
    assert stack.worker_of(SMOLLM2).pid == before
