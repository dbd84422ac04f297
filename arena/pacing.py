"""Lets two answers appear in step, so that their speed says nothing about who writes them. Pure: no clock, no socket.

Both sides show the same number of characters until one of them has ended. Neither begins before both can. What a
reader sees is the pace of the slower one, whichever that is; what remains visible is each answer's length.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

SIDES = ("left", "right")
FASTEST = 400.0  # characters per second, about 100 tokens


class Piece(NamedTuple):
    """What a page may see next of one side. `ended`: with this piece the answer is whole."""

    side: str
    text: str
    ended: bool


@dataclass
class _Side:
    text: str = ""
    shown: int = 0
    complete: bool = False
    """All of the text is here."""
    ended: bool = False
    """The page knows that it is whole."""

    @property
    def waiting(self) -> int:
        return len(self.text) - self.shown


@dataclass
class Pacer:
    """One turn of a battle. `in_step` False (a named comparison) passes everything on at once."""

    in_step: bool = True
    fastest: float = FASTEST
    caught_up: bool = False
    """False until the first pieces: what both sides have by then may appear at once (a page that was reloaded)."""
    _sides: dict[str, _Side] = field(default_factory=lambda: {side: _Side() for side in SIDES})
    _budget: float = 0.0
    _pace: float = 0.0
    """Characters per second so far while both were writing."""
    _elapsed: float = 0.0

    def skip(self, side: str, characters: int) -> None:
        """The page has so many already."""
        self._sides[side].shown = max(0, characters)

    def add(self, side: str, text: str, *, whole: bool = False) -> None:
        """More text; `whole`: all of it, in the place of what came so far."""
        current = self._sides[side]
        current.text = text if whole else current.text + text

    def complete(self, side: str) -> None:
        self._sides[side].complete = True

    @property
    def done(self) -> bool:
        return all(side.ended for side in self._sides.values())

    def advance(self, seconds: float) -> list[Piece]:
        """What may appear now that `seconds` have passed since the last call."""
        if not self.in_step:
            return self._everything()
        open_sides = {name: side for name, side in self._sides.items() if not side.ended}
        writing = [side for side in open_sides.values() if not side.complete]
        if len(open_sides) == len(self._sides) and any(
            not side.text and not side.complete for side in writing
        ):
            return []
        amount = self._amount(seconds, open_sides, writing)
        pieces = [piece for name, side in open_sides.items() if (piece := _show(name, side, amount))]
        self.caught_up = self.caught_up or bool(pieces)
        return pieces

    def _amount(self, seconds: float, open_sides: dict[str, _Side], writing: list[_Side]) -> int:
        both = len(open_sides) == len(self._sides)
        # Sides may stand at different places only when a page was reloaded; `available` counts from the hindmost.
        available = min(
            (side.waiting for side in writing),
            default=max((s.waiting for s in open_sides.values()), default=0),
        )
        if not self.caught_up:
            return available
        speed = self.fastest if both or not self._pace else min(self.fastest, max(self._pace, 40.0))
        # A pause must not be followed by a burst: it would show how much had been waiting.
        self._budget = min(self._budget + speed * seconds, speed * max(seconds, 0.25))
        amount = min(int(self._budget), available)
        self._budget -= amount
        if both:
            self._measure(seconds, amount)
        return amount

    def _measure(self, seconds: float, amount: int) -> None:
        self._pace = (
            (self._pace * self._elapsed + amount) / (self._elapsed + seconds) if seconds else self._pace
        )
        self._elapsed += seconds

    def _everything(self) -> list[Piece]:
        pieces = (_show(name, side, side.waiting) for name, side in self._sides.items() if not side.ended)
        return [piece for piece in pieces if piece]


def _show(name: str, side: _Side, amount: int) -> Piece | None:
    text = side.text[side.shown : side.shown + amount]
    side.shown += len(text)
    side.ended = side.complete and side.waiting <= 0
    return Piece(name, text, side.ended) if text or side.ended else None
