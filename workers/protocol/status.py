"""What a worker says about itself and about the requests that have ended."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

from workers.protocol.events import ErrorCode, Failed, Finished, Gathering, Timing, Usage
from workers.protocol.reading import compact, json_object, read
from workers.protocol.requests import ToolCall, WorkerRequest

MOST_SLOTS = 32_767
"""A small integer of every database. The scripted engine is asked for hundreds, a real one rarely for more than 64."""


class Ability(StrEnum):
    """What an engine can do with a chat model. See `needs` in `workers.protocol.abilities` for who needs what."""

    CHAT = "chat"
    COMPLETION = "completion"
    """Go on with raw text."""
    TOKEN_PROMPTS = "token_prompts"  # noqa: S105 - no password
    """Go on with token ids."""
    SUFFIX = "suffix"
    """Fill a gap."""
    VISION = "vision"
    TOOLS = "tools"
    REASONING = "reasoning"
    JSON_OBJECT = "json_object"
    JSON_SCHEMA = "json_schema"
    GRAMMAR = "grammar"
    REGEX = "regex"
    LOGPROBS = "logprobs"
    PROMPT_LOGPROBS = "prompt_logprobs"
    """Log-probabilities of an echoed prompt."""
    LOGIT_BIAS = "logit_bias"
    TOP_K = "top_k"
    MIN_P = "min_p"
    REPETITION_PENALTY = "repetition_penalty"
    EMBEDDINGS = "embeddings"
    TOKENIZE = "tokenize"


@dataclass(frozen=True, slots=True)
class HostedModel:
    """A chat model as its worker describes it."""

    name: str
    engine: str
    context_length: int = 0
    """Tokens; 0 when the engine does not know."""
    slots: int = 1
    """Requests it works on at once."""
    abilities: tuple[str, ...] = (Ability.CHAT.value,)
    """Values of `Ability`; a newer worker may have more."""
    load_seconds: float = 0.0
    """How long the engine took to load it; 0 for one over weights that were there."""
    weights_bytes: int = 0
    """Of its weights in memory; 0 when the engine does not know."""
    memory_bytes: int = 0
    """By how much the process grew while it was loaded; 0 when that was not measured."""
    checkpoint: str = ""
    """What was loaded, as the worker was told."""
    draining: bool = False
    """It is about to be unloaded: what runs is being finished, and nothing new is taken."""
    on_processor: bool = False
    """It computes on the cores that everything else on its machine needs, too."""
    asleep: bool = False
    """Unloaded since nobody asked for long; a request has it loaded again."""

    def can(self, ability: Ability) -> bool:
        return ability in self.abilities


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
        """Whether it takes requests for the chat model, perhaps after having loaded it."""
        model = self.model(chat_model)
        return not self.draining and model is not None and not model.draining

    def has_ready(self, chat_model: str) -> bool:
        """Whether it takes requests for the chat model and has it in memory."""
        model = self.model(chat_model)
        return model is not None and self.serves(chat_model) and not model.asleep

    def slots(self, chat_model: str) -> int:
        """Requests for the chat model that it works on at once; 0 when it takes none."""
        model = self.model(chat_model)
        return model.slots if model is not None and self.serves(chat_model) else 0

    def model(self, chat_model: str) -> HostedModel | None:
        return next((model for model in self.models if model.name == chat_model), None)

    def to_json(self) -> str:
        return compact(asdict(self))

    @classmethod
    def from_json(cls, text: str | bytes) -> "WorkerStatus":
        return read(cls, json_object(text))


@dataclass(frozen=True, slots=True)
class Report:
    """What a worker tells the control queue when a request has ended. JSON keys = field names."""

    request_id: str
    key: str
    """The request's `report_key`."""
    text: str
    """The whole reply, a lost worker's part included."""
    outcome: str
    """A `FinishReason` or an `ErrorCode`."""
    error_message: str = ""
    """Empty when it finished."""
    worker: str = ""
    usage: Usage = field(default_factory=Usage)
    timing: Timing = field(default_factory=Timing)
    reasoning: str = ""
    tool_calls: tuple[ToolCall, ...] = ()

    @classmethod
    def of(
        cls, request: WorkerRequest, reply: str | Gathering, last: Finished | Failed, worker: str
    ) -> "Report":
        whole = Gathering(reply) if isinstance(reply, str) else reply
        return cls(
            request_id=request.id,
            key=request.report_key,
            text=whole.text,
            outcome=str(last.reason if isinstance(last, Finished) else last.code),
            error_message=last.message if isinstance(last, Failed) else "",
            worker=worker,
            usage=last.usage,
            timing=last.timing,
            reasoning=whole.reasoning,
            tool_calls=whole.tool_calls,
        )

    @property
    def failed(self) -> bool:
        return self.outcome in {code.value for code in ErrorCode}

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "tool_calls": [asdict(call) for call in self.tool_calls]}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "Report":
        return read(cls, data)
