"""The contract of a moderator: a function that takes a text and returns its findings, most serious first or none.

It raises nothing: one that cannot do its work logs that and finds nothing, so that a site does not stand still because
a moderation service does.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeAlias


class Finding(NamedTuple):
    reason: str
    """A sentence for the operator."""
    excerpt: str
    refuse: bool
    """Refuse the message (or leave the battle's vote out), rather than only ask an operator to look."""


Moderator: TypeAlias = Callable[[str], Sequence[Finding]]
EXCERPT = 60  # characters on each side


def around(text: str, start: int, end: int) -> str:
    return text[max(0, start - EXCERPT) : end + EXCERPT]
