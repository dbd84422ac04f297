"""One talk in the terminal, and the file it can be kept in. Pure: values and JSON, no files and no screen."""

import json
from dataclasses import dataclass, field
from typing import Any

from workers.protocol import ChatMessage, Role

FORMAT = "chatsite-talk"
ROLES: tuple[Role, ...] = ("system", "user", "assistant")
# FastChat's files name the roles as the prompt format does: the first one is the person's.
_FASTCHAT_KEYS = {"messages", "roles"}


class NotATalk(ValueError):  # noqa: N818 - reads as what happened
    """The text holds no saved talk. The message says what is missing."""


@dataclass
class Talk:
    """Messages in turns: a person's, then the chat model's."""

    system: str = ""
    messages: list[ChatMessage] = field(default_factory=list)

    def prompt(self) -> tuple[ChatMessage, ...]:
        """What the chat model is given to read."""
        system = (ChatMessage("system", self.system),) if self.system.strip() else ()
        return (*system, *self.messages)

    def say(self, text: str) -> None:
        self.messages.append(ChatMessage("user", text))

    def answer(self, text: str) -> None:
        self.messages.append(ChatMessage("assistant", text))

    def reset(self) -> None:
        """Start anew; the system prompt stays."""
        self.messages.clear()

    def forget_answer(self) -> bool:
        """Drop the last answer, so that its message can be asked again. False when nothing was asked yet."""
        if self.messages and self.messages[-1].role == "assistant":
            self.messages.pop()
        return bool(self.messages)

    def take_back(self) -> bool:
        """Drop the last message and its answer. False when there is none."""
        asked = self.forget_answer()
        if asked:
            self.messages.pop()
        return asked

    def to_json(self, *, chat_model: str) -> str:
        data = {
            "format": FORMAT,
            "chat_model": chat_model,
            "messages": [{"role": message.role, "content": message.content} for message in self.prompt()],
        }
        return json.dumps(data, ensure_ascii=False, indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "Talk":
        """Read what `to_json` wrote, or a conversation that FastChat's terminal chat saved. Raises `NotATalk`."""
        try:
            data = json.loads(text)
        except (ValueError, RecursionError):
            raise NotATalk("it is not JSON") from None
        if not isinstance(data, dict) or not isinstance(data.get("messages"), list):
            raise NotATalk("it has no list of messages")
        if data.keys() >= _FASTCHAT_KEYS and data.get("format") != FORMAT:
            return _from_fastchat(data)
        messages = [_message(entry) for entry in data["messages"]]
        system = messages.pop(0).content if messages and messages[0].role == "system" else ""
        _check_turns(messages)
        return cls(system, messages)


def _message(entry: Any) -> ChatMessage:
    match entry:
        case {"role": str(role), "content": str(content)} if role in ROLES:
            return ChatMessage(role, content)
    raise NotATalk(f"a message is not an object with a role ({', '.join(ROLES)}) and a content")


def _from_fastchat(data: dict[str, Any]) -> Talk:
    """`{"system_message", "roles": [person, model], "messages": [[role, text or null], ...], "offset"}`.

    The first `offset` messages are the prompt format's own examples and do not belong to the talk.
    """
    match data:
        case {"roles": [str(person), str(model), *_]}:
            roles = {person: "user", model: "assistant"}
        case _:
            raise NotATalk("its roles are not two names")
    offset = data.get("offset") or 0
    entries = data["messages"][offset if isinstance(offset, int) else 0 :]
    messages = []
    for entry in entries:
        match entry:
            case [str(role), str(text)] if role in roles:
                messages.append(_message({"role": roles[role], "content": text}))
            case [str(role), None] if role in roles:
                continue  # an answer that had not begun
            case _:
                raise NotATalk("a message is not a pair of a role and a text")
    _check_turns(messages)
    return Talk(str(data.get("system_message") or ""), messages)


def _check_turns(messages: list[ChatMessage]) -> None:
    expected = "user"
    for number, message in enumerate(messages, start=1):
        if message.role != expected:
            raise NotATalk(f"message {number} is by {message.role}, expected {expected}: they take turns")
        expected = "assistant" if expected == "user" else "user"
