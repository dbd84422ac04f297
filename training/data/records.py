"""What training data is made of. Every file format is read into these values and written from them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, TypeAlias

ROLES = ("system", "user", "assistant", "tool")


@dataclass(frozen=True, slots=True)
class Message:
    role: str
    """One of `ROLES`."""
    text: str
    extra: Mapping[str, Any] = field(default_factory=dict)
    """Whatever else the file says of it (tool_calls, name, weight, …); templates see it, writers keep it."""

    @property
    def trained(self) -> bool:
        """Whether its tokens carry loss: an assistant's, unless the file weighs it with 0 (as OpenAI's format does)."""
        return self.role == "assistant" and self.extra.get("weight", 1) != 0

    def as_dict(self) -> dict[str, Any]:
        """As chat templates want it."""
        return {"role": self.role, "content": self.text, **self.extra}


@dataclass(frozen=True, slots=True)
class Conversation:
    id: str
    messages: tuple[Message, ...]
    extra: Mapping[str, Any] = field(default_factory=dict)
    """Further fields of its row (model, tools, plugins, …)."""

    @property
    def rounds(self) -> list[tuple[Message, ...]]:
        """The messages behind the system messages at the front, cut in front of each user message."""
        cut: list[list[Message]] = []
        for message in self.messages[len(self.head) :]:
            if message.role == "user" or not cut:
                cut.append([])
            cut[-1].append(message)
        return [tuple(messages) for messages in cut]

    @property
    def head(self) -> tuple[Message, ...]:
        """The system messages at the front."""
        count = 0
        while count < len(self.messages) and self.messages[count].role == "system":
            count += 1
        return self.messages[:count]

    @property
    def text(self) -> str:
        return "\n".join(message.text for message in self.messages)

    def with_messages(self, messages: Sequence[Message]) -> "Conversation":
        return replace(self, messages=tuple(messages))


@dataclass(frozen=True, slots=True)
class Preference:
    """Two continuations of the same messages, one of which somebody preferred."""

    id: str
    prompt: tuple[Message, ...]
    chosen: tuple[Message, ...]
    rejected: tuple[Message, ...]
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def text(self) -> str:
        return "\n".join(message.text for message in (*self.prompt, *self.chosen, *self.rejected))


Record: TypeAlias = Conversation | Preference


class Rejected(NamedTuple):
    """A record that is left out."""

    id: str
    reason: str
    """A stable word that reports count by."""
    detail: str = ""
    """For people: where and what."""


class BadRow(ValueError):  # noqa: N818 - reads as what happened
    """A row that no format explains."""

    def __init__(self, reason: str, detail: str):
        super().__init__(detail)
        self.reason, self.detail = reason, detail
