from collections.abc import Iterable

import pytest

from tests.fakes import InProcessClient
from workers.protocol import ChatMessage, Sampling
from workers.terminal.session import Session
from workers.terminal.talk import Talk


class Notebook:
    """A style that reads from a list and writes down what it is told to show."""

    def __init__(self, *lines: str):
        self.lines = list(lines)
        self.answers: list[str] = []
        self.replayed: list[str] = []
        self.notes: list[str] = []
        self.waits: list[str] = []
        self.problems: list[str] = []

    def read(self) -> str:
        if not self.lines:
            raise EOFError
        return self.lines.pop(0)

    def answer(self, deltas: Iterable[str]) -> None:
        self.answers.append("")
        for delta in deltas:
            self.answers[-1] += delta

    def waiting(self, text: str) -> None:
        self.waits.append(text)

    def replay(self, messages: Iterable[ChatMessage]) -> None:
        self.replayed = [message.content for message in messages]

    def note(self, text: str) -> None:
        self.notes.append(text)

    def problem(self, text: str) -> None:
        self.problems.append(text)


@pytest.fixture
def talk() -> Talk:
    return Talk()


@pytest.fixture
def say(workers_client: InProcessClient, talk: Talk):
    """Run a session of the given lines with the parrot and return its notebook."""

    def run(*lines: str, model: str = "parrot", sampling: Sampling | None = None) -> Notebook:
        notebook = Notebook(*lines)
        Session(
            chat_model=model,
            talk=talk,
            sampling=sampling or Sampling(),
            style=notebook,
            interactive=False,
        ).run()
        return notebook

    return run
