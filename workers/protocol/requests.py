"""What is asked of a worker: a reply, vectors, or tokens.

Each kind names its chat model, its deadline and whom to report to; all of them pass through the same queue, ledger and
stream. `read_request` tells them apart.
"""

from dataclasses import asdict, dataclass, field
from typing import Literal, TypeAlias

from workers.protocol.reading import ProtocolError, compact, json_object, read

Role: TypeAlias = Literal["system", "user", "assistant", "tool"]
ROLES: tuple[Role, ...] = ("system", "user", "assistant", "tool")


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A function that the model wants called."""

    id: str
    name: str
    arguments: str
    """A JSON object as text, as the model wrote it: it may be cut off or not fit the tool's schema."""


@dataclass(frozen=True, slots=True)
class ChatMessage:
    role: Role
    content: str
    images: tuple[str, ...] = ()
    """`data:` URLs of pictures, shown in front of the text."""
    tool_calls: tuple[ToolCall, ...] = ()
    """Of an assistant."""
    tool_call_id: str = ""
    """Of a tool: the call whose result `content` is."""
    name: str = ""
    """Of a tool: its name. Else the speaker's, for the templates that have a place for it."""
    reasoning: str = ""
    """Of an assistant: what it thought before `content`."""


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
    top_k: int | None = None
    """0 and below: all tokens."""
    min_p: float | None = None
    repetition_penalty: float | None = None
    """1 is none."""
    logit_bias: tuple[tuple[int, float], ...] = ()
    """Token id and what is added to its logit; -100 and below forbid it."""
    logprobs: bool = False
    """Whether deltas bring the log-probability of each token."""
    top_logprobs: int = 0
    """How many of the likeliest tokens at each place they bring as well."""


@dataclass(frozen=True, slots=True)
class Tool:
    """A function that the model may ask for."""

    name: str
    description: str = ""
    parameters: str = "{}"
    """A JSON schema of the arguments object, as text."""
    strict: bool = False
    """The arguments must fit the schema."""


@dataclass(frozen=True, slots=True)
class Constraint:
    """What the text must look like. An engine that cannot enforce it refuses the request."""

    kind: Literal["json_object", "json_schema", "grammar", "regex"]
    value: str = ""
    """The JSON schema as text, a grammar in llama.cpp's GBNF, or a regular expression."""


ToolChoice: TypeAlias = Literal["auto", "none", "required"]


@dataclass(frozen=True, slots=True)
class GenerationRequest:
    """One reply to make, to `messages` or as the continuation of `prompt`."""

    id: str
    """A UUID in hex; names the stream, the queue entry and the report."""
    chat_model: str
    messages: tuple[ChatMessage, ...]
    """Empty when there is a `prompt`."""
    deadline: float
    """Unix time in seconds after which nobody wants the reply."""
    sampling: Sampling = field(default_factory=Sampling)
    report_task: str = ""
    """Name of the control task told of the outcome, or "" for nobody."""
    report_key: str = ""
    """Handed to `report_task`; means nothing to the worker."""
    prefix: str = ""
    """Text of the reply that a lost worker has already delivered; the engine goes on behind it."""
    prompt: str | tuple[int, ...] | None = None
    """Raw text or token ids to go on with; no chat template is applied."""
    suffix: str = ""
    """Text behind the gap that the reply fills. With `prompt` only."""
    echo: bool = False
    """Deliver the prompt as the first delta. With `prompt` only."""
    tools: tuple[Tool, ...] = ()
    tool_choice: ToolChoice = "auto"
    """To force one tool by its name, send only that tool and `required`."""
    parallel_tool_calls: bool = True
    """Whether one reply may hold several calls."""
    constraint: Constraint | None = None
    asker: str = ""
    """Whoever waits for it, as a name that means nothing to the worker: askers take turns in a queue."""
    reasoning_effort: str = ""
    """How long to think: `none`, `minimal`, `low`, `medium`, `high`, …; "" is the chat model's habit."""

    def to_json(self) -> str:
        return compact(asdict(self))

    @classmethod
    def from_json(cls, text: str | bytes) -> "GenerationRequest":
        return read(cls, json_object(text))

    @property
    def resumable(self) -> bool:
        """Whether another engine can go on behind the text so far.

        A grammar or a tool call would begin anew in its middle, and text does not tell what was thought before it.
        """
        return not (
            self.tools or self.constraint or self.sampling.logprobs or self.echo or self.reasoning_effort
        )


@dataclass(frozen=True, slots=True)
class EmbeddingRequest:
    """One vector for each of `inputs`; answered by `Embedded` events."""

    id: str
    chat_model: str
    inputs: tuple[str | tuple[int, ...], ...]
    """Texts or token ids."""
    deadline: float
    dimensions: int | None = None
    """Length of the vectors; `None` is the model's own."""
    report_task: str = ""
    report_key: str = ""
    asker: str = ""
    kind: Literal["embed"] = "embed"

    def to_json(self) -> str:
        return compact(asdict(self))


@dataclass(frozen=True, slots=True)
class TokenizeRequest:
    """The token ids of a text, or of messages put into the chat template; answered by one `Tokenized` event."""

    id: str
    chat_model: str
    deadline: float
    prompt: str | None = None
    messages: tuple[ChatMessage, ...] = ()
    tools: tuple[Tool, ...] = ()
    add_special_tokens: bool = True
    """Put the beginning-of-text token in front of `prompt`, where the model has one."""
    report_task: str = ""
    report_key: str = ""
    asker: str = ""
    kind: Literal["tokenize"] = "tokenize"

    def to_json(self) -> str:
        return compact(asdict(self))


@dataclass(frozen=True, slots=True)
class DetokenizeRequest:
    """The text of token ids; answered by `Delta` events."""

    id: str
    chat_model: str
    tokens: tuple[int, ...]
    deadline: float
    report_task: str = ""
    report_key: str = ""
    asker: str = ""
    kind: Literal["detokenize"] = "detokenize"

    def to_json(self) -> str:
        return compact(asdict(self))


WorkerRequest: TypeAlias = GenerationRequest | EmbeddingRequest | TokenizeRequest | DetokenizeRequest

_KINDS: dict[str, type[EmbeddingRequest | TokenizeRequest | DetokenizeRequest]] = {
    "embed": EmbeddingRequest,
    "tokenize": TokenizeRequest,
    "detokenize": DetokenizeRequest,
}


def read_request(text: str | bytes) -> WorkerRequest:
    """Any kind of request from its JSON; one without a `kind` asks for a reply."""
    data = json_object(text)
    kind = data.get("kind")
    if kind is None:
        return read(GenerationRequest, data)
    if not isinstance(kind, str) or kind not in _KINDS:
        raise ProtocolError("a request of an unknown kind")
    return read(_KINDS[kind], data)
