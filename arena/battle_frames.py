"""The arena page's websocket frames (docs/design/battle-socket.md). Nothing in them says who is who before the vote:
a side is "left" or "right", and an event carries text, its end, or a sentence that fits every chat model.
"""

import uuid
from typing import Any, Literal, NotRequired, TypeAlias, TypedDict

from django.utils.translation import gettext

from arena import frames
from arena.errors import InvalidValue
from arena.models import Battle
from arena.services.battles import Round
from arena.services.conversations import MAX_MESSAGE_CHARACTERS, SettingsChange
from workers.protocol import ErrorCode

LONGEST_ANSWER = 10_000_000  # characters; only bounds what a page may claim to have


class StartFrame(TypedDict):
    type: Literal["start"]
    client_id: str
    text: str
    mode: str
    left: str
    right: str
    settings: SettingsChange | None
    attachments: list[uuid.UUID]


class SayFrame(TypedDict):
    type: Literal["say"]
    client_id: str
    battle: uuid.UUID
    text: str
    attachments: list[uuid.UUID]


class AgainFrame(TypedDict):
    type: Literal["regenerate"]
    client_id: str
    battle: uuid.UUID


class StopFrame(TypedDict):
    type: Literal["stop"]
    battle: uuid.UUID


class WatchFrame(TypedDict):
    type: Literal["watch"]
    battle: uuid.UUID
    after: dict[str, int]
    """Characters that the page has of each side's last answer."""


PageFrame: TypeAlias = (
    StartFrame | SayFrame | AgainFrame | StopFrame | WatchFrame | frames.ListenFrame | frames.PingFrame
)


class EventFrame(TypedDict):
    type: Literal["event"]
    battle: str
    turn: int
    side: str
    text: str
    ended: NotRequired[dict[str, str]]
    """`outcome` (a finish reason, or "failed") and, for a failed side, `message`."""


class WaitingFrame(TypedDict):
    """Not both sides have begun. One place for the two: which of them waits could tell who is who."""

    type: Literal["waiting"]
    battle: str
    turn: int
    position: int
    """Of the side that is further behind; 0 when both have been taken."""


def parse(data: dict[str, Any]) -> PageFrame:
    """Raises `InvalidValue` that names the first field with a wrong type, and says what belongs there."""
    match data.get("type"):
        case "start":
            return {
                "type": "start",
                "client_id": frames._client_id(data),
                "text": frames._text(data, "text", MAX_MESSAGE_CHARACTERS),
                "mode": _optional(data, "mode") or Battle.Mode.ANONYMOUS.value,
                "left": _optional(data, "left"),
                "right": _optional(data, "right"),
                "settings": frames._settings(data),
                "attachments": frames._attachments(data),
            }
        case "say":
            return {
                "type": "say",
                "client_id": frames._client_id(data),
                "battle": frames._uuid(data, "battle"),
                "text": frames._text(data, "text", MAX_MESSAGE_CHARACTERS),
                "attachments": frames._attachments(data),
            }
        case "regenerate":
            return {
                "type": "regenerate",
                "client_id": frames._client_id(data),
                "battle": frames._uuid(data, "battle"),
            }
        case "stop":
            return {"type": "stop", "battle": frames._uuid(data, "battle")}
        case "watch":
            return {"type": "watch", "battle": frames._uuid(data, "battle"), "after": _after(data)}
    return frames.standing(data, "start, say, regenerate, stop, watch, listen and ping")


def accepted(client_id: str, granted: Round, url: str) -> dict[str, Any]:
    """The answer to a wish that set both sides going."""
    battle = granted.battle
    return {
        "type": "accepted",
        "client_id": client_id,
        "battle": {"id": str(battle.pk), "url": url, "mode": battle.mode, "commitment": battle.commitment},
        "turn": granted.turn,
        "text": granted.text,
    }


def waiting(battle: Battle, turn: int, position: int) -> WaitingFrame:
    return {"type": "waiting", "battle": str(battle.pk), "turn": turn, "position": position}


def ending(outcome: str, *, failed: bool) -> dict[str, str]:
    """How a side ended, in words that fit every chat model: the usual sentence names it."""
    if not failed:
        return {"outcome": outcome}
    if outcome == ErrorCode.CONTEXT_OVERFLOW.value:
        message = gettext("The battle has become too long for this side. Start a new round.")
    else:
        message = gettext("This side could not answer. Regenerate both sides, or start a new round.")
    return {"outcome": "failed", "message": message}


def _optional(data: dict[str, Any], field: str) -> str:
    return "" if data.get(field) is None else frames._text(data, field, 200)


def _after(data: dict[str, Any]) -> dict[str, int]:
    value = data.get("after")
    if value is None:
        return {}
    sides = ("left", "right")
    if not isinstance(value, dict) or not all(
        side in sides and type(count) is int and 0 <= count <= LONGEST_ANSWER for side, count in value.items()
    ):
        raise InvalidValue("after must be an object with the characters of left and right.", field="after")
    return value
