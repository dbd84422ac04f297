"""The chat page's websocket frames, as docs/design/chat-socket.md describes them, and the reading of the page's.

Knows the shape of a frame and the type of each field. What a value may be (a temperature's bounds, an owner's own
conversation) is the services' to say.
"""

import json
import math
import re
import uuid
from typing import Any, Literal, NotRequired, TypeAlias, TypedDict

from arena.errors import InvalidValue, Refused
from arena.services.conversations import MAX_MESSAGE_CHARACTERS, SettingsChange

MAX_FRAME_BYTES = 256 * 1024
# A `seq` of a stream, or of an answer that came from the database. Narrower than what Redis takes as an id, since an id
# it refuses would break the reader that all pages share.
SEQ = re.compile(r"[0-9]{1,15}-[0-9]{1,15}|stored-[0-9]{1,3}")
CLIENT_ID = re.compile(r"[A-Za-z0-9_-]{8,64}")
LARGEST_ID = 2**63 - 1


class NotAFrame(Exception):  # noqa: N818 - a closed socket's reason, not an answer
    """Not a JSON object of an acceptable size: whoever sends this is not our page."""


# --- from the page -----------------------------------------------------------------------------------------


class SendFrame(TypedDict):
    type: Literal["send"]
    client_id: str
    text: str
    conversation: uuid.UUID | None
    edits: int | None
    chat_model: str | None
    settings: SettingsChange | None
    attachments: list[uuid.UUID]


class RegenerateFrame(TypedDict):
    type: Literal["regenerate"]
    client_id: str
    message: int
    chat_model: str | None
    settings: SettingsChange | None
    replays: uuid.UUID | None


class StopFrame(TypedDict):
    type: Literal["stop"]
    reply: uuid.UUID


class WatchFrame(TypedDict):
    type: Literal["watch"]
    reply: uuid.UUID
    after: str


class ListenFrame(TypedDict):
    type: Literal["listen"]


class PingFrame(TypedDict):
    type: Literal["ping"]


PageFrame: TypeAlias = SendFrame | RegenerateFrame | StopFrame | WatchFrame | ListenFrame | PingFrame


# --- to the page -------------------------------------------------------------------------------------------


class ConversationInfo(TypedDict):
    id: str
    title: str
    url: str
    created: bool


class MessageInfo(TypedDict):
    id: int
    text: str


class ReplyInfo(TypedDict):
    id: str
    chat_model: str
    repeatable: bool
    """The same request would give the same answer."""
    probabilities: bool
    """The answer will have its token probabilities."""
    replays: str | None
    """The answer that it repeats."""


class AcceptedFrame(TypedDict):
    type: Literal["accepted"]
    client_id: str
    conversation: ConversationInfo
    message: MessageInfo
    reply: ReplyInfo


class EventFrame(TypedDict):
    type: Literal["event"]
    reply: str
    seq: str
    event: dict[str, Any]
    whole: NotRequired[Literal[True]]


class WaitingFrame(TypedDict):
    """Nobody works on the reply yet. Comes when that has changed, and has no place among the reply's events."""

    type: Literal["waiting"]
    reply: str
    position: int
    """How many come before it is worked on, itself included."""
    loading: bool
    """The chat model is being loaded first."""


class ErrorFrame(TypedDict):
    type: Literal["error"]
    client_id: str | None
    reply: str | None
    code: str
    field: str | None
    message: str


class NewsFrame(TypedDict):
    """Something of the person's has changed elsewhere; with no other field: the page listens from now on."""

    type: Literal["news"]
    conversation: NotRequired[str]
    reply: NotRequired[str]
    """A reply that was begun."""
    battle: NotRequired[str]
    client_id: NotRequired[str]
    """Of the wish that set a battle's turn going."""
    voted: NotRequired[bool]


class PongFrame(TypedDict):
    type: Literal["pong"]


SiteFrame: TypeAlias = AcceptedFrame | EventFrame | WaitingFrame | ErrorFrame | NewsFrame | PongFrame


def waiting(reply_id: uuid.UUID, event: dict[str, Any]) -> WaitingFrame:
    return {
        "type": "waiting",
        "reply": str(reply_id),
        "position": event["position"],
        "loading": event["loading"],
    }


def error(refusal: Refused, frame: dict[str, Any]) -> ErrorFrame:
    """The answer to a refused `frame` (as it came: it may be anything)."""
    client_id, reply = frame.get("client_id"), frame.get("reply")
    return {
        "type": "error",
        "client_id": client_id if isinstance(client_id, str) and CLIENT_ID.fullmatch(client_id) else None,
        "reply": reply if isinstance(reply, str) and len(reply) <= 36 else None,
        "code": refusal.code,
        "field": refusal.field,
        "message": refusal.message,
    }


def encode(frame: SiteFrame) -> str:
    # Escaped to ASCII: half a surrogate pair in a model's text would not fit into a websocket's UTF-8.
    return json.dumps(frame, separators=(",", ":"))


# --- reading -----------------------------------------------------------------------------------------------


def decode(text: str) -> dict[str, Any]:
    """Raises `NotAFrame` for what is too large or no JSON object."""
    if len(text) > MAX_FRAME_BYTES or len(text.encode("utf-8", "surrogatepass")) > MAX_FRAME_BYTES:
        raise NotAFrame
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        raise NotAFrame from None
    if not isinstance(data, dict):
        raise NotAFrame
    return data


def parse(data: dict[str, Any]) -> PageFrame:
    """Raises `InvalidValue` that names the first field with a wrong type, and says what belongs there.

    Unknown fields are ignored, so that a newer page can talk to an older site while an update is rolled out.
    """
    match data.get("type"):
        case "send":
            return {
                "type": "send",
                "client_id": _client_id(data),
                "text": _text(data, "text", MAX_MESSAGE_CHARACTERS),
                "conversation": None if data.get("conversation") is None else _uuid(data, "conversation"),
                "edits": None if data.get("edits") is None else _message_id(data, "edits"),
                "chat_model": _chat_model(data),
                "settings": _settings(data),
                "attachments": _attachments(data),
            }
        case "regenerate":
            return {
                "type": "regenerate",
                "client_id": _client_id(data),
                "message": _message_id(data, "message"),
                "chat_model": _chat_model(data),
                "settings": _settings(data),
                "replays": None if data.get("replays") is None else _uuid(data, "replays"),
            }
        case "stop":
            return {"type": "stop", "reply": _uuid(data, "reply")}
        case "watch":
            return {"type": "watch", "reply": _uuid(data, "reply"), "after": _seq(data)}
    return standing(data, "send, regenerate, stop, watch, listen and ping")


def standing(data: dict[str, Any], known: str) -> ListenFrame | PingFrame:
    """The frames that keep a connection going, which all pages share."""
    match data.get("type"):
        case "listen":
            return {"type": "listen"}
        case "ping":
            return {"type": "ping"}
    raise InvalidValue(f"type must be one of {known}.", field="type")


def _client_id(data: dict[str, Any]) -> str:
    value = data.get("client_id")
    if not isinstance(value, str) or not CLIENT_ID.fullmatch(value):
        raise InvalidValue(
            "client_id must be 8 to 64 letters, digits, - or _, and another one for each wish: a random UUID.",
            field="client_id",
        )
    return value


def _text(data: dict[str, Any], field: str, limit: int) -> str:
    value = data.get(field)
    if not isinstance(value, str):
        raise InvalidValue(f"{field} must be a string.", field=field)
    return _checked_characters(value, field, limit)


def _checked_characters(value: str, field: str, limit: int) -> str:
    if len(value) > limit:
        raise InvalidValue(
            f"This has {len(value):,} characters; at most {limit:,} are possible. Shorten it, or send it in parts.",
            field=field,
        )
    # Neither can be stored in every database: NUL not in PostgreSQL, half a surrogate pair in none.
    if "\x00" in value or any("\ud800" <= character <= "\udfff" for character in value):
        raise InvalidValue(
            "There is a character in it that is no text (NUL or half of a pair). Remove it, or type it anew.",
            field=field,
        )
    return value


def _chat_model(data: dict[str, Any]) -> str | None:
    return None if data.get("chat_model") is None else _text(data, "chat_model", 200)


def _uuid(data: dict[str, Any], field: str) -> uuid.UUID:
    value = data.get(field)
    try:
        return uuid.UUID(value if isinstance(value, str) else "")
    except ValueError:
        raise InvalidValue(f"{field} must be a UUID.", field=field) from None


def _message_id(data: dict[str, Any], field: str) -> int:
    """A number, or its digits: a page reads it from an attribute."""
    value = data.get(field)
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,19}", value):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= LARGEST_ID:
        raise InvalidValue(f"{field} must be the id of a message.", field=field)
    return value


def _attachments(data: dict[str, Any]) -> list[uuid.UUID]:
    value = data.get("attachments")
    if value is None:
        return []
    if not isinstance(value, list) or len(value) > 100:
        raise InvalidValue("attachments must be a list of files' ids.", field="attachments")
    return [_uuid({"attachments": one}, "attachments") for one in value]


def _seq(data: dict[str, Any]) -> str:
    value = data.get("after")
    if value is None or value == "":
        return ""
    if not isinstance(value, str) or not SEQ.fullmatch(value):
        raise InvalidValue('after must be the seq of an event, or "" for the start.', field="after")
    return value


def _settings(data: dict[str, Any]) -> SettingsChange | None:
    value = data.get("settings")
    if value is None:
        return None
    if not isinstance(value, dict):
        raise InvalidValue("settings must be an object, or null.", field="settings")
    change: SettingsChange = {}
    if "system_prompt" in value:
        change["system_prompt"] = _system_prompt(value["system_prompt"])
    if "temperature" in value:
        change["temperature"] = _number(value["temperature"], "settings.temperature")
    if "top_p" in value:
        change["top_p"] = _number(value["top_p"], "settings.top_p")
    if "max_tokens" in value:
        change["max_tokens"] = _whole_number(value["max_tokens"], "settings.max_tokens")
    if "seed" in value:
        change["seed"] = _whole_number(value["seed"], "settings.seed")
    if "probabilities" in value:
        if not isinstance(value["probabilities"], bool):
            raise InvalidValue(
                "settings.probabilities must be true or false.", field="settings.probabilities"
            )
        change["probabilities"] = value["probabilities"]
    if unknown := sorted(set(value) - SettingsChange.__optional_keys__):
        raise InvalidValue(f"settings has no field “{unknown[0][:50]}”.", field="settings")
    return change


def _system_prompt(value: object) -> str | None:
    field = "settings.system_prompt"
    if value is not None and not isinstance(value, str):
        raise InvalidValue(f"{field} must be a string, or null.", field=field)
    return None if value is None else _checked_characters(value, field, 20_000)


def _number(value: object, field: str) -> float | None:
    """JSON as Python reads it knows NaN and Infinity, which pass every comparison with a bound or none."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(_as_float(value)):
        raise InvalidValue(f"{field} must be a number, or null for the chat model's default.", field=field)
    return float(value)


def _as_float(value: int | float) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf


def _whole_number(value: object, field: str) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int):
        raise InvalidValue(f"{field} must be a whole number, or null for no limit of its own.", field=field)
    return value
