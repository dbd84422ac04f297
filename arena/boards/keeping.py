"""A solved board as JSON and back, without its meetings, which counters give at once."""

from dataclasses import fields
from typing import Any

from arena.boards.solving import Board, Effect, Meeting, Standing


def as_json(board: Board) -> dict[str, Any]:
    kept = {field.name: getattr(board, field.name) for field in fields(board) if field.name != "meetings"}
    return kept | {
        "standings": [standing._asdict() for standing in board.standings],
        "effects": [effect._asdict() for effect in board.effects],
    }


def from_json(kept: dict[str, Any], meetings: dict[tuple[str, str], Meeting]) -> Board:
    return Board(
        **kept
        | {
            "standings": tuple(Standing(**one | {"alike": tuple(one["alike"])}) for one in kept["standings"]),
            "effects": tuple(Effect(**one) for one in kept["effects"]),
            "unbounded": tuple(kept["unbounded"]),
            "groups": tuple(map(tuple, kept["groups"])),
            "meetings": meetings,
        }
    )
