"""What a chat model is given to read. Pure: values in, values out; knows no database."""

from collections.abc import Iterable
from typing import NamedTuple

from workers.protocol import ChatMessage


class Shown(NamedTuple):
    """The files that go with a message."""

    texts: tuple[tuple[str, str], ...] = ()
    """Name and text of each."""
    images: tuple[str, ...] = ()
    """As `data:` URLs."""


NOTHING = Shown()


class PastTurn(NamedTuple):
    """A message of the conversation and the answer the conversation goes on with, "" when there is none."""

    message: str
    reply: str
    shown: Shown = NOTHING


def build(
    *, system_prompt: str, past: Iterable[PastTurn], message: str, shown: Shown = NOTHING, sees: bool = True
) -> tuple[ChatMessage, ...]:
    """The prompt for an answer to `message`. Who does not see is told of past images in words.

    A turn without an answer (failed, or stopped before its first word) is left out with its message: chat templates
    want the roles to alternate, and two user messages in a row would be read as one.
    """
    messages = [ChatMessage("system", system_prompt)] if system_prompt.strip() else []
    for turn in past:
        if turn.reply.strip():
            messages += [_spoken(turn.message, turn.shown, sees=sees), ChatMessage("assistant", turn.reply)]
    return (*messages, _spoken(message, shown, sees=sees))


def labelled(name: str, text: str) -> str:
    """A file as a chat model is given it: between two lines that say where it begins, where it ends and what it is."""
    shown = " ".join(name.replace('"', "'").split())
    return f'<file name="{shown}">\n{text.strip()}\n</file>'


def _spoken(text: str, shown: Shown, *, sees: bool) -> ChatMessage:
    """The files' texts come first: a question behind what it is about is answered better than one in front."""
    blocks = [labelled(name, content) for name, content in shown.texts]
    if shown.images and not sees:
        blocks.append("(An image was shown here, which you cannot see.)")
    return ChatMessage("user", "\n\n".join([*blocks, text]), images=shown.images if sees else ())
