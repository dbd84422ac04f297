"""How the tools say how far they are."""

from typing import Protocol


class Say(Protocol):
    def __call__(self, text: str, /) -> None: ...


def quiet(text: str, /) -> None:
    """Say nothing."""
