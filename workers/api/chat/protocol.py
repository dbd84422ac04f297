"""The wire of `/v1/chat/completions`: what a request may say, and how replies and chunks look.

Every parameter of OpenAI's is in exactly one group: honoured, accepted without effect (`WITHOUT_EFFECT`, with the
reason), or refused unless it asks for nothing (`UNSUPPORTED`, with the values that do). Anything else is refused as
unknown: a parameter that is ignored in silence makes a wrong answer look like a right one.
"""

import re
from dataclasses import dataclass, replace
from typing import Any, Final

from workers.api import metadata
from workers.api.chat import messages, tools
from workers.api.errors import InvalidParameter
from workers.api.fields import LONGEST_MODEL, Bounds, Fields, Whole, items, neutral_only, text
from workers.protocol import ChatMessage, Constraint, Sampling, Tool, ToolChoice

MOST_STOPS: Final = 4
LONGEST_STOP: Final = 256
MOST_TOKENS: Final = 2**31 - 1
MOST_CHOICES: Final = 16
MOST_TOP_LOGPROBS: Final = 20
MOST_BIASES: Final = 1024

NUMBERS: Final[dict[str, Bounds]] = {
    "temperature": {"minimum": 0, "maximum": 2},
    "top_p": {"minimum": 0, "maximum": 1},
    "presence_penalty": {"minimum": -2, "maximum": 2},
    "frequency_penalty": {"minimum": -2, "maximum": 2},
    "min_p": {"minimum": 0, "maximum": 1},
    "repetition_penalty": {"minimum": 0.01, "maximum": 10},
}
INTEGERS: Final[dict[str, Whole]] = {
    "seed": {"minimum": -(2**63), "maximum": 2**63 - 1},  # OpenAI's are signed 64-bit numbers
    "top_k": {"minimum": -1, "maximum": MOST_TOKENS},
}
SAMPLING: Final = NUMBERS.keys() | INTEGERS.keys() | {"stop", "logit_bias"}
"""`top_k`, `min_p` and `repetition_penalty` are not OpenAI's; vLLM, SGLang and others have them under these names."""

LENGTH: Final[Whole] = {"minimum": 1, "maximum": MOST_TOKENS}
CHOICES: Final[Whole] = {"minimum": 1, "maximum": MOST_CHOICES}
TOP_LOGPROBS: Final[Whole] = {"minimum": 0, "maximum": MOST_TOP_LOGPROBS}
BIAS: Final[Bounds] = {"minimum": -100, "maximum": 100}
TOKEN_ID: Final = re.compile(r"[0-9]{1,9}")
"""What `logit_bias` has as keys."""

HONOURED: Final = SAMPLING | {
    "model", "messages", "max_tokens", "max_completion_tokens", "n", "stream", "stream_options", "logprobs",
    "top_logprobs", "tools", "tool_choice", "parallel_tool_calls", "response_format", "reasoning_effort",
    "store", "metadata",
}  # fmt: skip

WITHOUT_EFFECT: Final[dict[str, tuple[type, str]]] = {
    "prompt_cache_key": (str, "a hint; the prefix cache needs none"),
    "prompt_cache_options": (dict, "a hint; the prefix cache needs none"),
    "prompt_cache_retention": (str, "a hint; the prefix cache needs none"),
    "safety_identifier": (str, "names the caller's own user for abuse reports"),
    "service_tier": (str, "OpenAI, too, may serve any tier as the default one"),
    "user": (str, "names the caller's own user for abuse reports"),
}

UNSUPPORTED: Final[dict[str, tuple[Any, ...]]] = {
    "audio": (),
    "function_call": ("none", "auto"),
    "functions": ([],),
    "modalities": (["text"],),
    "moderation": (),
    "prediction": (),
    "verbosity": ("medium",),
    "web_search_options": (),
}

EFFORTS: Final = frozenset({"none", "minimal", "low", "medium", "high", "xhigh", "max"})


@dataclass(frozen=True, slots=True)
class ChatCompletionRequest:
    """What the caller asked for, checked. `None` in `sampling` leaves the choice to the chat model."""

    model: str
    messages: tuple[ChatMessage, ...]
    sampling: Sampling
    stream: bool = False
    include_usage: bool = False
    n: int = 1
    tools: tuple[Tool, ...] = ()
    tool_choice: ToolChoice = "auto"
    parallel_tool_calls: bool = True
    constraint: Constraint | None = None
    reasoning_effort: str = ""


def parse(body: dict[str, Any]) -> ChatCompletionRequest:
    """Raises `InvalidParameter` for the first thing that is wrong."""
    fields = Fields(body)
    fields.refuse_unknown(HONOURED | WITHOUT_EFFECT.keys() | UNSUPPORTED.keys())
    fields.required("model")
    fields.required("messages")
    neutral_only(fields, UNSUPPORTED)
    for name, (wanted, _) in WITHOUT_EFFECT.items():
        fields.check_type(name, wanted)
    stream = fields.boolean("stream")
    fields.boolean("store")
    metadata.read(fields.get("metadata"))  # `stored.keeping` keeps them
    offered = tools.read(fields)
    return ChatCompletionRequest(
        model=text(fields.required("model"), "model", longest=LONGEST_MODEL),
        messages=messages.read(fields.required("messages")),
        sampling=_with_logprobs(sampling(fields, max_tokens=_max_tokens(fields)), fields),
        stream=stream,
        include_usage=include_usage(fields, stream=stream),
        n=fields.integer("n", **CHOICES) or 1,
        tools=offered.tools,
        tool_choice=offered.choice,
        parallel_tool_calls=offered.parallel,
        constraint=tools.read_format(fields),
        reasoning_effort=_effort(fields),
    )


def _effort(fields: Fields) -> str:
    effort = fields.text("reasoning_effort")
    if effort is not None and effort not in EFFORTS:
        raise InvalidParameter("reasoning_effort", f"must be one of {', '.join(sorted(EFFORTS))}.")
    return effort or ""


def _with_logprobs(values: Sampling, fields: Fields) -> Sampling:
    wanted = fields.boolean("logprobs")
    top = fields.integer("top_logprobs", **TOP_LOGPROBS)
    if top and not wanted:
        raise InvalidParameter("top_logprobs", "is only allowed when 'logprobs' is true.")
    return replace(values, logprobs=wanted, top_logprobs=top or 0)


def sampling(fields: Fields, *, max_tokens: int | None) -> Sampling:
    """The parameters of `SAMPLING`, which several endpoints share."""
    return Sampling(
        temperature=fields.number("temperature", **NUMBERS["temperature"]),
        top_p=fields.number("top_p", **NUMBERS["top_p"]),
        max_tokens=max_tokens,
        stop=read_stop(fields.get("stop")),
        seed=fields.integer("seed", **INTEGERS["seed"]),
        presence_penalty=fields.number("presence_penalty", **NUMBERS["presence_penalty"]),
        frequency_penalty=fields.number("frequency_penalty", **NUMBERS["frequency_penalty"]),
        top_k=fields.integer("top_k", **INTEGERS["top_k"]),
        min_p=fields.number("min_p", **NUMBERS["min_p"]),
        repetition_penalty=fields.number("repetition_penalty", **NUMBERS["repetition_penalty"]),
        logit_bias=_logit_bias(fields.get("logit_bias")),
    )


def _logit_bias(value: Any) -> tuple[tuple[int, float], ...]:
    """OpenAI's keys are token ids as strings."""
    if value is None:
        return ()
    biases = Fields(value, "logit_bias")
    if len(value) > MOST_BIASES:
        raise InvalidParameter("logit_bias", f"must have at most {MOST_BIASES} entries.")
    found = []
    for key in value:
        if not TOKEN_ID.fullmatch(key):
            raise InvalidParameter("logit_bias", 'must have token ids as keys, such as {"50256": -100}.')
        found.append((int(key), biases.number(key, **BIAS) or 0.0))
    return tuple(found)


def _max_tokens(fields: Fields) -> int | None:
    old = fields.integer("max_tokens", **LENGTH)
    new = fields.integer("max_completion_tokens", **LENGTH)
    if old is not None and new is not None and old != new:
        raise InvalidParameter(
            "max_tokens", "differs from 'max_completion_tokens', its newer name. Send one of them."
        )
    return old if new is None else new


def read_stop(value: Any) -> tuple[str, ...]:
    if value is None:
        return ()
    if isinstance(value, str):
        return (_stop_string(value, "stop"),)
    stops = items(value, "stop", most=MOST_STOPS, wanted="a string or a list")
    return tuple(_stop_string(stop, f"stop[{index}]") for index, stop in enumerate(stops))


def _stop_string(value: Any, param: str) -> str:
    if value == "":
        raise InvalidParameter(param, "must not be empty: it would end every reply at once.")
    return text(value, param, longest=LONGEST_STOP)


def include_usage(fields: Fields, *, stream: bool) -> bool:
    if fields.get("stream_options") is None:
        return False
    if not stream:
        raise InvalidParameter("stream_options", "is only allowed when 'stream' is true.")
    options = Fields(fields.get("stream_options"), "stream_options")
    options.refuse_unknown({"include_usage", "include_obfuscation"})
    # Obfuscation only pads the chunks; a client reads them the same with and without.
    options.boolean("include_obfuscation")
    return options.boolean("include_usage")
