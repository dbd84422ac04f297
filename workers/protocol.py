"""The values that travel between the web and the workers. Standard library only; knows no user and no database.

Everything here is frozen and crosses a process border as JSON (`to_json` / `from_json`) or as a stream entry
(`encode_event` / `decode_event`). Unknown keys are ignored on reading, so that a newer sender can talk to an
older reader; a missing or mistyped one raises `ProtocolError`.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from functools import cache
from types import UnionType
from typing import Any, Literal, NamedTuple, TypeAlias, TypeVar, get_args, get_type_hints

Role: TypeAlias = Literal["system", "user", "assistant"]
ROLES: tuple[Role, ...] = ("system", "user", "assistant")


class ProtocolError(ValueError):
    """A message from another process does not have the agreed shape."""


class ErrorCode(StrEnum):
    """Why a generation failed. The wire name is stable: clients and pages switch on it."""

    NO_WORKER = "no_worker"
    """No live worker serves the chat model."""
    WORKER_LOST = "worker_lost"
    """The worker died in mid-reply and no other could go on."""
    QUEUE_FULL = "queue_full"
    """Too many requests wait for the chat model."""
    DEADLINE = "deadline"
    """The request's time ran out."""
    CONTEXT_OVERFLOW = "context_overflow"
    """The prompt does not fit into the chat model's context."""
    INVALID_REQUEST = "invalid_request"
    """The engine refused a value of the request."""
    EXPIRED = "expired"
    """Nothing is kept of the request any more; the database may hold its outcome."""
    ENGINE_FAILURE = "engine_failure"
    """The engine broke down while it worked on the request."""


class FinishReason(StrEnum):
    STOP = "stop"
    """The model ended its turn, or a stop string was met."""
    LENGTH = "length"
    """The token limit was reached."""
    CANCELLED = "cancelled"
    """Somebody stopped it, or the client went away."""


@dataclass(frozen=True, slots=True)
class ChatMessage:
    role: Role
    content: str


@dataclass(frozen=True, slots=True)
class Sampling:
    """How to pick tokens. `None` leaves the choice to the engine."""

    temperature: float | None = None
    """0 is greedy."""
    top_p: float | None = None
    max_tokens: int | None = None
    """New tokens at most; `None` is up to the end of the context."""
    stop: tuple[str, ...] = ()
    """Strings that end the reply and do not belong to it."""
    seed: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None


@dataclass(frozen=True, slots=True)
class GenerationRequest:
    """One reply to make."""

    id: str
    """A UUID in hex; names the stream, the queue entry and the report."""
    chat_model: str
    messages: tuple[ChatMessage, ...]
    deadline: float
    """Unix time in seconds after which nobody wants the reply."""
    sampling: Sampling = field(default_factory=Sampling)
    report_task: str = ""
    """Name of the control task told of the outcome, or "" for nobody."""
    report_key: str = ""
    """Handed to `report_task`; means nothing to the worker."""
    prefix: str = ""
    """Text of the reply that a lost worker has already delivered; the engine goes on behind it."""

    def to_json(self) -> str:
        return _compact(asdict(self))

    @classmethod
    def from_json(cls, text: str | bytes) -> "GenerationRequest":
        data = _object(text)
        sampling = _part(data, "sampling", dict)
        stops = _part(sampling, "stop", list) if sampling.get("stop") else []
        return _read(
            cls,
            data,
            messages=tuple(_read(ChatMessage, message) for message in _part(data, "messages", list)),
            sampling=_read(Sampling, sampling, stop=tuple(str(stop) for stop in stops)),
        )


@dataclass(frozen=True, slots=True)
class Usage:
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    """Prompt tokens whose K/V were already there."""


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds, measured at the worker."""

    first_token: float | None = None
    """From the start of the engine's work to the first delta; `None` when there was none."""
    total: float = 0.0


@dataclass(frozen=True, slots=True)
class Started:
    """A worker took the request."""

    worker: str
    attempt: int = 1
    type: Literal["started"] = "started"


@dataclass(frozen=True, slots=True)
class Delta:
    """More text. Never splits a character; may hold several tokens."""

    text: str
    type: Literal["delta"] = "delta"


@dataclass(frozen=True, slots=True)
class Finished:
    """The reply is whole (or was stopped). Nothing follows."""

    reason: FinishReason
    usage: Usage = field(default_factory=Usage)
    timing: Timing = field(default_factory=Timing)
    type: Literal["finished"] = "finished"


@dataclass(frozen=True, slots=True)
class Failed:
    """The reply could not be completed. Nothing follows. `message` is for people and holds no prompt text."""

    code: ErrorCode
    message: str
    usage: Usage = field(default_factory=Usage)
    timing: Timing = field(default_factory=Timing)
    type: Literal["failed"] = "failed"


StreamEvent: TypeAlias = Started | Delta | Finished | Failed
LAST_EVENTS = (Finished, Failed)


class Entry(NamedTuple):
    """One event of a stream. `seq` is the resume point: opaque, hand it back as `after`."""

    seq: str
    event: StreamEvent


def encode_event(event: StreamEvent) -> tuple[bytes, bytes, bytes, bytes]:
    """The flat fields of a stream entry: `t` (type), then `d` (a delta's text) or `j` (JSON of the rest)."""
    if isinstance(event, Delta):  # the hot path: no JSON
        return b"t", b"delta", b"d", event.text.encode(errors="replace")
    return b"t", event.type.encode(), b"j", _compact(asdict(event)).encode()


def decode_event(fields: Mapping[bytes, bytes]) -> StreamEvent:
    """Inverse of `encode_event`, for fields as redis-py returns them (bytes)."""
    kind = fields.get(b"t", b"")
    if kind == b"delta":
        try:
            return Delta(fields[b"d"].decode())
        except (KeyError, UnicodeDecodeError):
            raise ProtocolError("a delta without readable text") from None
    data = _object(fields.get(b"j", b""))
    if kind == b"started":
        return _read(Started, data)
    if kind in {b"finished", b"failed"}:
        parts = {
            "usage": _read(Usage, _part(data, "usage", dict)),
            "timing": _read(Timing, _part(data, "timing", dict)),
        }
        return _read(Finished, data, **parts) if kind == b"finished" else _read(Failed, data, **parts)
    raise ProtocolError(f"unknown stream event type {kind!r}")


def event_to_dict(event: StreamEvent) -> dict[str, Any]:
    """The event as plain JSON types, for websocket frames."""
    return asdict(event)


@dataclass(frozen=True, slots=True)
class Report:
    """What a worker tells the control queue when a request has ended. JSON keys = field names."""

    request_id: str
    key: str
    """`GenerationRequest.report_key`."""
    text: str
    """The whole reply, a lost worker's part included."""
    outcome: str
    """A `FinishReason` or an `ErrorCode`."""
    error_message: str = ""
    """Empty when it finished."""
    worker: str = ""
    usage: Usage = field(default_factory=Usage)
    timing: Timing = field(default_factory=Timing)

    @classmethod
    def of(cls, request: GenerationRequest, text: str, last: Finished | Failed, worker: str) -> "Report":
        return cls(
            request_id=request.id,
            key=request.report_key,
            text=text,
            outcome=str(last.reason if isinstance(last, Finished) else last.code),
            error_message=last.message if isinstance(last, Failed) else "",
            worker=worker,
            usage=last.usage,
            timing=last.timing,
        )

    @property
    def failed(self) -> bool:
        return self.outcome in {code.value for code in ErrorCode}

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "Report":
        return _read(
            cls,
            data,
            usage=_read(Usage, _part(data, "usage", dict)),
            timing=_read(Timing, _part(data, "timing", dict)),
        )


MOST_SLOTS = 32_767
"""A small integer of every database. The scripted engine is asked for hundreds, a real one rarely for more than 64."""


@dataclass(frozen=True, slots=True)
class HostedModel:
    """A chat model as its worker describes it."""

    name: str
    engine: str
    context_length: int = 0
    """Tokens; 0 when the engine does not know."""
    slots: int = 1
    """Requests it works on at once."""


@dataclass(frozen=True, slots=True)
class WorkerStatus:
    """One heartbeat."""

    worker: str
    """Unique name, e.g. `smollm2@host-1234`."""
    models: tuple[HostedModel, ...]
    version: str
    """Of chatsite."""
    host: str
    pid: int
    started_at: float
    """Unix time, seconds."""
    sent_at: float
    """Unix time, seconds."""
    in_flight: int = 0
    tokens_per_second: float = 0.0
    """Over the last ten seconds, all requests together."""
    memory_bytes: int = 0
    """Resident set size."""
    draining: bool = False
    """It finishes what it has and takes nothing new."""

    def serves(self, chat_model: str) -> bool:
        return not self.draining and any(model.name == chat_model for model in self.models)

    def to_json(self) -> str:
        return _compact(asdict(self))

    @classmethod
    def from_json(cls, text: str | bytes) -> "WorkerStatus":
        data = _object(text)
        return _read(
            cls,
            data,
            models=tuple(_read(HostedModel, model) for model in _part(data, "models", list)),
        )


T = TypeVar("T")


def _compact(data: Mapping[str, Any]) -> str:
    # JSON may hold half of a surrogate pair ("\ud83d"), which UTF-8 and therefore the broker cannot.
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    return text.encode(errors="replace").decode()


def _object(text: str | bytes) -> dict[str, Any]:
    try:
        data = json.loads(text)
    except ValueError:  # its text may quote what is in there
        raise ProtocolError("not JSON") from None
    if not isinstance(data, dict):
        raise ProtocolError("not a JSON object")
    return data


def _part(data: Mapping[str, Any], name: str, kind: type[T]) -> T:
    part = data.get(name)
    if not isinstance(part, kind):
        raise ProtocolError(f"{name!r} is missing or not a {kind.__name__}")
    return part


def _read(cls: type[T], data: Mapping[str, Any], **parts: Any) -> T:
    """Make a `cls` of `parts` and of what `data` holds for its other fields, each checked for its type.

    The messages name fields and no values: those may be a person's words.
    """
    if not isinstance(data, Mapping):
        raise ProtocolError(f"not a {cls.__name__}")
    kinds: dict[str, tuple[Any, ...]] = _kinds(cls)  # type: ignore[arg-type]  # mypy: type[T] might not be hashable
    values = dict(parts)
    for name in kinds.keys() & data.keys() - parts.keys():
        values[name] = _value(cls, name, kinds[name], data[name])
    try:
        return cls(**values)
    except TypeError:
        absent = ", ".join(sorted(kinds.keys() - values.keys()))
        raise ProtocolError(
            f"a {cls.__name__} lacks a field that it must have; absent are {absent}"
        ) from None


def _value(cls: type, name: str, kinds: tuple[Any, ...], value: Any) -> Any:
    for kind in kinds:
        if isinstance(kind, type) and issubclass(kind, StrEnum):
            if isinstance(value, str) and value in set(kind):
                return kind(value)
        elif isinstance(kind, type):
            # A whole number may have lost its ".0" on the way; True and False are no numbers.
            number = kind is float and isinstance(value, int)
            if isinstance(value, bool) is (kind is bool) and (isinstance(value, kind) or number):
                return float(value) if number else value
        elif value in get_args(kind):  # Literal
            return value
    raise ProtocolError(f"{cls.__name__}.{name} is mistyped")


@cache
def _kinds(cls: Any) -> dict[str, tuple[Any, ...]]:
    """Field name → the types it may have."""
    hints = get_type_hints(cls)
    return {name: get_args(hint) if isinstance(hint, UnionType) else (hint,) for name, hint in hints.items()}
