"""How long and how decorated an answer is. Pure; the four counts that published style control uses."""

import re
from typing import NamedTuple

_CODE = re.compile(r"```.*?(?:```|\Z)", re.DOTALL)
_HEADER = re.compile(r"^#{1,6}\s", re.MULTILINE)
# Blanks of its own line only: across lines a long run of empty ones would be read again from each of them.
_ITEM = re.compile(r"^[^\S\n]*(?:[-*+]|\d+[.)])\s", re.MULTILINE)
_BOLD = re.compile(r"\*\*[^*\n]+\*\*|__[^_\n]+__")


class Counts(NamedTuple):
    length: int
    """Tokens, about: four characters of text each."""
    headers: int
    lists: int
    """List items."""
    bold: int


def count(text: str) -> Counts:
    """Code blocks count for the length only: a comment in one is no header."""
    prose = _CODE.sub("", text)
    return Counts(
        -(-len(text) // 4), len(_HEADER.findall(prose)), len(_ITEM.findall(prose)), len(_BOLD.findall(prose))
    )
