"""What a worker says while it works on a request: the entries of its stream."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any, Literal, NamedTuple, TypeAlias

from workers.protocol.reading import ProtocolError, compact, json_object, read
from workers.protocol.requests import ToolCall


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
    """The engine refused a value of the request; `Failed.param` names it."""
    EXPIRED = "expired"
    """Nothing is kept of the request any more; the database may hold its outcome."""
    ENGINE_FAILURE = "engine_failure"
    """The engine broke down while it worked on the request."""


class FinishReason(StrEnum):
    STOP = "stop"
    """The model ended its turn (perhaps with tool calls), or a stop string was met."""
    LENGTH = "length"
    """The token limit was reached."""
    CANCELLED = "cancelled"
    """Somebody stopped it, or the client went away."""


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
class Waiting:
    """Nobody works on the request yet. Followers hear it now and then; it stands in no stream."""

    position: int
    """How many come before it is worked on, itself included."""
    loading: bool = False
    """No worker has the chat model in memory: it sleeps, and is being loaded."""
    type: Literal["waiting"] = "waiting"


LEAST_LOGPROB = -9999.0
"""Stands for minus infinity, which JSON does not have. OpenAI's number, too."""


@dataclass(frozen=True, slots=True)
class TopLogprob:
    """A token that could have stood here."""

    token: str
    logprob: float
    bytes: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class TokenLogprob:
    """One token and how likely it was."""

    token: str
    """Its text; a part of a character reads as U+FFFD."""
    logprob: float | None
    """Natural logarithm, `LEAST_LOGPROB` at least. `None` for the first token of an echoed prompt."""
    bytes: tuple[int, ...] = ()
    """Its UTF-8 bytes, which may be a part of a character."""
    top: tuple[TopLogprob, ...] = ()
    """The likeliest tokens here, best first."""


@dataclass(frozen=True, slots=True)
class ToolCallDelta:
    """A piece of a tool call. `id` and `name` come whole, with the first piece of each `index`."""

    index: int
    id: str = ""
    name: str = ""
    arguments: str = ""


@dataclass(frozen=True, slots=True)
class Delta:
    """More of the reply. Never splits a character; may hold several tokens."""

    text: str
    type: Literal["delta"] = "delta"
    reasoning: str = ""
    """What the model thinks before it answers; not a part of the text."""
    tool_calls: tuple[ToolCallDelta, ...] = ()
    logprobs: tuple[TokenLogprob, ...] = ()
    """Of the tokens of `text`."""

    @property
    def plain(self) -> bool:
        """Whether it holds text only."""
        return not (self.reasoning or self.tool_calls or self.logprobs)


@dataclass(frozen=True, slots=True)
class Embedded:
    """Vectors of the inputs from number `first` on. Answers an `EmbeddingRequest`; may come in any order, or twice."""

    first: int
    vectors: tuple[str, ...]
    """Each is base64 of little-endian float32 numbers of length 1 (in the Euclidean sense)."""
    type: Literal["embedded"] = "embedded"


@dataclass(frozen=True, slots=True)
class Tokenized:
    """Answers a `TokenizeRequest`."""

    tokens: tuple[int, ...]
    pieces: tuple[str, ...] = ()
    """The text of each token, where the engine knows it."""
    type: Literal["tokenized"] = "tokenized"


@dataclass(frozen=True, slots=True)
class Finished:
    """The reply is whole (or was stopped). Nothing follows."""

    reason: FinishReason
    usage: Usage = field(default_factory=Usage)
    timing: Timing = field(default_factory=Timing)
    type: Literal["finished"] = "finished"
    stop_string: str = ""
    """The one of the request's stop strings that ended the reply, where the engine knows it."""


@dataclass(frozen=True, slots=True)
class Failed:
    """The reply could not be completed. Nothing follows. `message` is for people and holds no prompt text."""

    code: ErrorCode
    message: str
    usage: Usage = field(default_factory=Usage)
    timing: Timing = field(default_factory=Timing)
    type: Literal["failed"] = "failed"
    param: str = ""
    """The field of the request that was refused, with `INVALID_REQUEST`."""


StreamEvent: TypeAlias = Waiting | Started | Delta | Embedded | Tokenized | Finished | Failed
LAST_EVENTS = (Finished, Failed)

_KINDS: dict[bytes, type[Started | Delta | Embedded | Tokenized | Finished | Failed]] = {
    b"started": Started,
    b"delta": Delta,
    b"embedded": Embedded,
    b"tokenized": Tokenized,
    b"finished": Finished,
    b"failed": Failed,
}


class Entry(NamedTuple):
    """One event of a stream. `seq` is the resume point: opaque, hand it back as `after`."""

    seq: str
    event: StreamEvent


def encode_event(event: StreamEvent) -> tuple[bytes, bytes, bytes, bytes]:
    """The flat fields of a stream entry: `t` (type), then `d` (a plain delta's text) or `j` (JSON of the rest)."""
    if isinstance(event, Delta) and event.plain:  # the hot path: no JSON
        return b"t", b"delta", b"d", event.text.encode(errors="replace")
    return b"t", event.type.encode(), b"j", compact(asdict(event)).encode()


def decode_event(fields: Mapping[bytes, bytes]) -> StreamEvent:
    """Inverse of `encode_event`, for fields as redis-py returns them (bytes)."""
    kind = fields.get(b"t", b"")
    if kind == b"delta" and b"j" not in fields:
        try:
            return Delta(fields[b"d"].decode())
        except (KeyError, UnicodeDecodeError):
            raise ProtocolError("a delta without readable text") from None
    if kind not in _KINDS:
        raise ProtocolError(f"unknown stream event type {kind!r}")
    return read(_KINDS[kind], json_object(fields.get(b"j", b"")))


def event_to_dict(event: StreamEvent) -> dict[str, Any]:
    """The event as plain JSON types, for websocket frames."""
    if isinstance(event, Delta) and event.plain:
        return {"text": event.text, "type": event.type}
    return asdict(event)


def join_deltas(deltas: Iterable[Delta]) -> list[Delta]:
    """The same reply in fewer deltas: neighbours that bring the same kinds of news become one."""
    joined: list[Delta] = []
    run: list[Delta] = []
    for delta in deltas:
        if run and _kinds_of_news(run[0]) != _kinds_of_news(delta):
            joined.append(_one(run))
            run = []
        run.append(delta)
    return [*joined, _one(run)] if run else joined


def _kinds_of_news(delta: Delta) -> tuple[bool, ...]:
    if delta.plain:
        return (True, False, False, False)
    return (bool(delta.text), bool(delta.reasoning), bool(delta.tool_calls), bool(delta.logprobs))


def _one(run: list[Delta]) -> Delta:
    text = "".join([delta.text for delta in run])
    if run[0].plain:
        return Delta(text)
    return Delta(
        text,
        reasoning="".join(delta.reasoning for delta in run),
        tool_calls=tuple(piece for delta in run for piece in delta.tool_calls),
        logprobs=tuple(token for delta in run for token in delta.logprobs),
    )


class Gathering:
    """Puts a reply together from its deltas."""

    def __init__(self, text: str = "") -> None:
        """`text` has been delivered before."""
        self._texts = [text]
        self._reasoning: list[str] = []
        self._calls: dict[int, dict[str, str]] = {}
        self.logprobs: list[TokenLogprob] = []

    def add(self, delta: Delta) -> None:
        self._texts.append(delta.text)
        if delta.plain:
            return
        self._reasoning.append(delta.reasoning)
        self.logprobs += delta.logprobs
        for piece in delta.tool_calls:
            call = self._calls.setdefault(piece.index, {"id": "", "name": "", "arguments": ""})
            call["id"] = call["id"] or piece.id
            call["name"] = call["name"] or piece.name
            call["arguments"] += piece.arguments

    @property
    def text(self) -> str:
        return "".join(self._texts)

    @property
    def reasoning(self) -> str:
        return "".join(self._reasoning)

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        return tuple(ToolCall(**call) for _, call in sorted(self._calls.items()))
