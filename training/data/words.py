"""Step: conversations with blocked words are left out."""

import re
from collections.abc import Iterable
from functools import lru_cache

from training.data.records import BadRow, Message

FASTCHAT = ("openai", "chatgpt")
"""What FastChat's cleaning blocks, anywhere in a text."""


def check_words(
    messages: Iterable[Message], blocked: tuple[str, ...], roles: tuple[str, ...] = ("user", "assistant")
) -> None:
    """Raises `BadRow` when a message of `roles` has one of `blocked` in it, whatever its case."""
    if not blocked:
        return
    pattern = _pattern(blocked)
    for message in messages:
        if message.role in roles and (match := pattern.search(message.text.lower())):
            raise BadRow("blocked_word", f"The {message.role} says {match[0]!r}.")


@lru_cache(maxsize=64)
def _pattern(blocked: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(re.escape(word.lower()) for word in blocked))
