"""The wire of `/v1/completions`: raw prompts, as text or token ids, and what is said behind them."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from workers.api import sse
from workers.api.chat.answers import Choice, finish_reason, total_usage, usage_object
from workers.api.chat.protocol import (
    CHOICES,
    MOST_TOKENS,
    SAMPLING,
    include_usage,
    sampling,
)
from workers.api.chat.tools import read_format
from workers.api.errors import InvalidParameter
from workers.api.fields import LONGEST_MODEL, Fields, items, text
from workers.protocol import Constraint, Delta, Finished, Sampling, TokenLogprob, Usage

MOST_PROMPTS: Final = 128
MOST_REPLIES: Final = 256
MOST_LOGPROBS: Final = 5
LARGEST_TOKEN: Final = 2**32 - 1
DEFAULT_TOKENS: Final = 16
"""OpenAI's own default here, which programs rely on."""

HONOURED: Final = SAMPLING | {
    "model", "prompt", "suffix", "max_tokens", "echo", "n", "best_of", "logprobs", "stream", "stream_options",
    "response_format",
}  # fmt: skip
WITHOUT_EFFECT: Final[dict[str, tuple[type, str]]] = {
    "user": (str, "names the caller's own user for abuse reports"),
}

Prompt = str | tuple[int, ...]


@dataclass(frozen=True, slots=True)
class CompletionRequest:
    """What the caller asked for, checked."""

    model: str
    prompts: tuple[Prompt, ...]
    sampling: Sampling
    suffix: str = ""
    echo: bool = False
    n: int = 1
    stream: bool = False
    include_usage: bool = False
    constraint: Constraint | None = None


def parse(body: dict[str, Any]) -> CompletionRequest:
    """Raises `InvalidParameter` for the first thing that is wrong."""
    fields = Fields(body)
    fields.refuse_unknown(HONOURED | WITHOUT_EFFECT.keys())
    for name, (wanted, _) in WITHOUT_EFFECT.items():
        fields.check_type(name, wanted)
    stream = fields.boolean("stream")
    prompts = read_inputs(fields.required("prompt"), "prompt", most=MOST_PROMPTS)
    request = CompletionRequest(
        model=text(fields.required("model"), "model", longest=LONGEST_MODEL),
        prompts=prompts,
        sampling=_sampling(fields),
        suffix=fields.text("suffix") or "",
        echo=fields.boolean("echo"),
        n=_n(fields),
        stream=stream,
        include_usage=include_usage(fields, stream=stream),
        constraint=read_format(fields),
    )
    if len(prompts) * request.n > MOST_REPLIES:
        raise InvalidParameter("n", f"makes more than {MOST_REPLIES} replies together with the prompts.")
    return request


def _n(fields: Fields) -> int:
    n = fields.integer("n", **CHOICES) or 1
    best_of = fields.integer("best_of", **CHOICES)
    if best_of is not None and best_of != n:
        raise InvalidParameter(
            "best_of",
            "can only be the same as 'n': replies are not ranked here. Ask for n of them and choose yourself.",
            code="unsupported_parameter",
        )
    return n


def _sampling(fields: Fields) -> Sampling:
    # 0 is allowed here and not in chat: with `echo` it asks for the prompt's log-probabilities only.
    limit = fields.integer("max_tokens", minimum=0, maximum=MOST_TOKENS)
    top = fields.integer("logprobs", minimum=0, maximum=MOST_LOGPROBS)
    values = sampling(fields, max_tokens=DEFAULT_TOKENS if limit is None else limit)
    return Sampling(
        **{name: getattr(values, name) for name in Sampling.__dataclass_fields__}
        | {"logprobs": top is not None, "top_logprobs": top or 0}
    )


def read_inputs(value: Any, param: str, *, most: int) -> tuple[Prompt, ...]:
    """A text, a list of texts, a list of token ids, or a list of lists of them."""
    if isinstance(value, str):
        return (text(value, param),)
    listed = items(value, param, fewest=1, most=MOST_TOKENS, wanted="a string or a list")
    if all(isinstance(item, int) and not isinstance(item, bool) for item in listed):
        return (_ids(listed, param),)
    if len(listed) > most:
        raise InvalidParameter(param, f"must have at most {most} items.", code="array_above_max_length")
    return tuple(_one(item, f"{param}[{index}]") for index, item in enumerate(listed))


def _one(value: Any, param: str) -> Prompt:
    if isinstance(value, str):
        return text(value, param)
    if not isinstance(value, list):
        raise InvalidParameter(param, "must be a string or a list of token ids.", code="invalid_type")
    return _ids(value, param)


def _ids(value: list[Any], param: str) -> tuple[int, ...]:
    if not value:
        raise InvalidParameter(param, "must not be empty.", code="array_below_min_length")
    for index, token in enumerate(value):
        if isinstance(token, bool) or not isinstance(token, int) or not 0 <= token <= LARGEST_TOKEN:
            raise InvalidParameter(f"{param}[{index}]", "is not a token id.", code="invalid_type")
    return tuple(value)


# --- answers -----------------------------------------------------------------------------------------------


class Layout(NamedTuple):
    """Prompts and replies to each."""

    prompts: int
    n: int


def answer(
    *, request_id: str, created: int, model: str, choices: Sequence[Choice], layout: Layout, logprobs: bool
) -> dict[str, Any]:
    return {
        "id": f"cmpl-{request_id}",
        "object": "text_completion",
        "created": created,
        "model": model,
        "choices": [
            {
                "index": index,
                "text": choice.said.text,
                "logprobs": logprobs_object(choice.said.logprobs, 0) if logprobs else None,
                "finish_reason": finish_reason(choice.end.reason, called=False),
            }
            for index, choice in enumerate(choices)
        ],
        "usage": usage_object(usage_of([choice.end.usage for choice in choices], layout)),
    }


def usage_of(usages: Sequence[Usage], layout: Layout) -> Usage:
    """Each prompt counts once, however many replies it got."""
    each = [total_usage(usages[begin : begin + layout.n]) for begin in range(0, len(usages), layout.n)]
    return Usage(
        sum(usage.prompt_tokens for usage in each),
        sum(usage.completion_tokens for usage in each),
        sum(usage.cached_tokens for usage in each),
    )


def logprobs_object(tokens: Sequence[TokenLogprob], offset: int) -> dict[str, Any]:
    """The older format of `completions`. `offset`: characters of the text before the first token."""
    offsets = []
    for token in tokens:
        offsets.append(offset)
        offset += len(token.token)
    return {
        "tokens": [token.token for token in tokens],
        "token_logprobs": [token.logprob for token in tokens],
        "top_logprobs": [
            {other.token: other.logprob for other in token.top} if token.top else None for token in tokens
        ],
        "text_offset": offsets,
    }


@dataclass
class Chunks(sse.OpenAiStream):
    """The frames of a streamed completion."""

    request_id: str
    created: int
    model: str
    layout: Layout
    include_usage: bool
    _usages: dict[int, Usage] = field(default_factory=dict)
    _offsets: dict[int, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._constant = {
            "id": f"cmpl-{self.request_id}",
            "object": "text_completion",
            "created": self.created,
            "model": self.model,
        }
        count = self.layout.prompts * self.layout.n
        self._plain = [sse.split_frame(self._chunk(index, sse.HOLE, None, None)) for index in range(count)]

    def role(self) -> bytes:
        """There is nothing to say before the first word."""
        return b""

    def delta(self, delta: Delta, index: int = 0) -> bytes:
        offset = self._offsets.get(index, 0)
        self._offsets[index] = offset + len(delta.text)
        if delta.plain:
            before, after = self._plain[index]
            return before + json.dumps(delta.text).encode("ascii") + after
        logprobs = logprobs_object(delta.logprobs, offset) if delta.logprobs else None
        return sse.frame(self._chunk(index, delta.text, None, logprobs))

    def finish(self, end: Finished, index: int = 0) -> bytes:
        self._usages[index] = end.usage
        frames = sse.frame(self._chunk(index, "", finish_reason(end.reason, called=False), None))
        count = self.layout.prompts * self.layout.n
        if len(self._usages) < count:
            return frames
        if self.include_usage:
            usage = usage_of([self._usages[number] for number in range(count)], self.layout)
            frames += sse.frame({**self._constant, "choices": [], "usage": usage_object(usage)})
        return frames + sse.DONE

    def _chunk(
        self, index: int, said: str, reason: str | None, logprobs: dict[str, Any] | None
    ) -> dict[str, Any]:
        choice = {"index": index, "text": said, "logprobs": logprobs, "finish_reason": reason}
        chunk: dict[str, Any] = {**self._constant, "choices": [choice]}
        return {**chunk, "usage": None} if self.include_usage else chunk
