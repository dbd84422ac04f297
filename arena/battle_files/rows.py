"""One vote as every file format says it, and the error that names file and line."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from arena.ratings.categories import Turn
from arena.ratings.style import StyleCounts

LEFT, RIGHT, TIE, BOTH_BAD = "left", "right", "tie", "both_bad"
SCORES: Mapping[str, float] = {LEFT: 1.0, RIGHT: 0.0, TIE: 0.5, BOTH_BAD: 0.5}

# What other programs call the winner. Anything else is refused: a guess would silently count as a tie.
_WINNERS = {
    "left": LEFT, "a": LEFT, "model_a": LEFT, "leftvote": LEFT, "model_x": LEFT,
    "right": RIGHT, "b": RIGHT, "model_b": RIGHT, "rightvote": RIGHT, "model_y": RIGHT,
    "tie": TIE, "tievote": TIE, "draw": TIE,
    "both_bad": BOTH_BAD, "tie (bothbad)": BOTH_BAD, "bothbad": BOTH_BAD, "bothbad_vote": BOTH_BAD,
    "tie (both bad)": BOTH_BAD,
}  # fmt: skip


class BadFile(Exception):  # noqa: N818 - reads as what it is
    """A file or one of its lines cannot be used. The message names both, and the remedy."""

    def __init__(
        self, path: Path | str, line: int | None, problem: str, row: Mapping[str, Any] | None = None
    ) -> None:
        self.path, self.line, self.problem, self.row = str(path), line, problem, row
        super().__init__(f"{path}, row {line}: {problem}" if line is not None else f"{path}: {problem}")


class BadRow(Exception):  # noqa: N818
    """What is wrong with one row; the reader adds where it stood."""


class Style(NamedTuple):
    left: StyleCounts
    right: StyleCounts


@dataclass(frozen=True)
class BattleRow:
    """One vote. `voter` and `prompt` are keys that are the same for the same person and the same prompt, or empty."""

    left: str
    right: str
    winner: str
    voter: str = ""
    prompt: str = ""
    external_id: str = ""
    when: float | None = None  # seconds since 1970, UTC
    anonymous: bool = True
    language: str = ""
    categories: tuple[str, ...] = ()
    turns: tuple[Turn, ...] = ()
    style: Style | None = None
    weight: float = 1.0
    extra: Mapping[str, Any] = field(default_factory=dict)
    line: int = 0

    @property
    def score(self) -> float:
        """1 left, 0 right, ½ either kind of tie."""
        return SCORES[self.winner]


def winner_of(value: object) -> str:
    """left, right, tie or both_bad; BadRow for a label that is not known."""
    known = _WINNERS.get(str(value).strip().casefold())
    if known is None:
        raise BadRow(
            f"unknown winner {str(value)[:60]!r}; known are model_a, model_b, tie, tie (bothbad), "
            "left, right, both_bad."
        )
    return known
