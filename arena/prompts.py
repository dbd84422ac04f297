"""What a chat model is given to read. Pure: values in, values out; knows no database."""

from collections.abc import Iterable
from typing import NamedTuple

from workers.protocol import ChatMessage


class PastTurn(NamedTuple):
    """A message of the conversation and the answer the conversation goes on with, "" when there is none."""

    message: str
    reply: str


def build(*, system_prompt: str, past: Iterable[PastTurn], message: str) -> tuple[ChatMessage, ...]:
    """The prompt for an answer to `message`.

    A turn without an answer (failed, or stopped before its first word) is left out with its message: chat templates
    want the roles to alternate, and two user messages in a row would be read as one.
    """
    messages = [ChatMessage("system", system_prompt)] if system_prompt.strip() else []
    for turn in past:
        if turn.reply.strip():
            messages += [ChatMessage("user", turn.message), ChatMessage("assistant", turn.reply)]
    return (*messages, ChatMessage("user", message))
