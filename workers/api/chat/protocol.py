"""The wire of `/v1/chat/completions`: what a request may say, and how replies and chunks look.

Every parameter of OpenAI's is in exactly one group: honoured, accepted without effect (`WITHOUT_EFFECT`, with the
reason), or refused unless it asks for nothing (`UNSUPPORTED`, with the values that do). Anything else is refused as
unknown: a parameter that is ignored in silence makes a wrong answer look like a right one.
"""

import json
from dataclasses import dataclass
from typing import Any, Final

from workers.api import sse
from workers.api.errors import InvalidParameter
from workers.api.fields import Fields, items, kind, text
from workers.protocol import ChatMessage, FinishReason, Role, Sampling, Usage

MOST_MESSAGES: Final = 4096
MOST_PARTS: Final = 4096
MOST_STOPS: Final = 4
LONGEST_STOP: Final = 256
LONGEST_MODEL: Final = 200
MOST_TOKENS: Final = 2**31 - 1

HONOURED: Final = frozenset(
    {
        "model", "messages", "temperature", "top_p", "max_tokens", "max_completion_tokens", "stop", "seed",
        "presence_penalty", "frequency_penalty", "n", "stream", "stream_options", "store",
    }
)  # fmt: skip

WITHOUT_EFFECT: Final[dict[str, tuple[type, str]]] = {
    "metadata": (dict, "labels of a stored completion, and none is stored"),
    "parallel_tool_calls": (bool, "only speaks of tools, which are refused"),
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
    "logit_bias": ({},),
    "logprobs": (False,),
    "modalities": (["text"],),
    "moderation": (),
    "prediction": (),
    "reasoning_effort": ("none",),
    "response_format": ({"type": "text"},),
    "tool_choice": ("none", "auto"),
    "tools": ([],),
    "top_logprobs": (0,),
    "verbosity": ("medium",),
    "web_search_options": (),
}

ROLES: Final[dict[str, Role]] = {
    "system": "system",
    "developer": "system",  # OpenAI's newer name for it
    "user": "user",
    "assistant": "assistant",
}
MESSAGE_WITHOUT_EFFECT: Final = {
    "name": "chat templates have no place for it",
    "reasoning": "earlier thoughts are not shown to a model again",
    "reasoning_content": "earlier thoughts are not shown to a model again",
}
# What OpenAI's own client puts into a message that it hands back, as null or [].
MESSAGE_UNSUPPORTED: Final[dict[str, tuple[Any, ...]]] = {
    "annotations": ([],),
    "audio": (),
    "function_call": (),
    "refusal": (),
    "tool_call_id": (),
    "tool_calls": ([],),
}

FINISH_REASONS: Final = {FinishReason.STOP: "stop", FinishReason.LENGTH: "length"}


@dataclass(frozen=True, slots=True)
class ChatCompletionRequest:
    """What the caller asked for, checked. `None` in `sampling` leaves the choice to the chat model."""

    model: str
    messages: tuple[ChatMessage, ...]
    sampling: Sampling
    stream: bool = False
    include_usage: bool = False


def parse(body: dict[str, Any]) -> ChatCompletionRequest:
    """Raises `InvalidParameter` for the first thing that is wrong."""
    fields = Fields(body)
    fields.refuse_unknown(HONOURED | WITHOUT_EFFECT.keys() | UNSUPPORTED.keys())
    fields.required("model")
    fields.required("messages")
    _refuse_unsupported(fields, UNSUPPORTED)
    for name, (wanted, _) in WITHOUT_EFFECT.items():
        fields.check_type(name, wanted)
    if fields.integer("n", minimum=1, maximum=128) not in (None, 1):
        raise InvalidParameter(
            "n", "can only be 1. Send the request several times instead.", code="unsupported_parameter"
        )
    stream = fields.boolean("stream")
    fields.boolean("store")
    return ChatCompletionRequest(
        model=text(fields.required("model"), "model", longest=LONGEST_MODEL),
        messages=_messages(fields.required("messages")),
        sampling=_sampling(fields),
        stream=stream,
        include_usage=_include_usage(fields, stream=stream),
    )


def _refuse_unsupported(fields: Fields, table: dict[str, tuple[Any, ...]]) -> None:
    for name, neutral in table.items():
        value = fields.get(name)
        # The type as well, because in Python 0 equals false.
        if value is None or any(type(value) is type(other) and value == other for other in neutral):
            continue
        allowed = f" or set it to {' or '.join(map(json.dumps, neutral))}" if neutral else ""
        raise InvalidParameter(
            fields.param(name), f"is not supported here. Leave it out{allowed}.", code="unsupported_parameter"
        )


def _sampling(fields: Fields) -> Sampling:
    return Sampling(
        temperature=fields.number("temperature", minimum=0, maximum=2),
        top_p=fields.number("top_p", minimum=0, maximum=1),
        max_tokens=_max_tokens(fields),
        stop=_stop(fields.get("stop")),
        # OpenAI's are signed 64-bit numbers.
        seed=fields.integer("seed", minimum=-(2**63), maximum=2**63 - 1),
        presence_penalty=fields.number("presence_penalty", minimum=-2, maximum=2),
        frequency_penalty=fields.number("frequency_penalty", minimum=-2, maximum=2),
    )


def _max_tokens(fields: Fields) -> int | None:
    old = fields.integer("max_tokens", minimum=1, maximum=MOST_TOKENS)
    new = fields.integer("max_completion_tokens", minimum=1, maximum=MOST_TOKENS)
    if old is not None and new is not None and old != new:
        raise InvalidParameter(
            "max_tokens", "differs from 'max_completion_tokens', its newer name. Send one of them."
        )
    return old if new is None else new


def _stop(value: Any) -> tuple[str, ...]:
    if value is None:
        return ()
    if isinstance(value, str):
        return (_stop_string(value, "stop"),)
    stops = items(value, "stop", most=MOST_STOPS)
    return tuple(_stop_string(stop, f"stop[{index}]") for index, stop in enumerate(stops))


def _stop_string(value: Any, param: str) -> str:
    if value == "":
        raise InvalidParameter(param, "must not be empty: it would end every reply at once.")
    return text(value, param, longest=LONGEST_STOP)


def _include_usage(fields: Fields, *, stream: bool) -> bool:
    if fields.get("stream_options") is None:
        return False
    if not stream:
        raise InvalidParameter("stream_options", "is only allowed when 'stream' is true.")
    options = Fields(fields.get("stream_options"), "stream_options")
    options.refuse_unknown({"include_usage", "include_obfuscation"})
    # Obfuscation only pads the chunks; a client reads them the same with and without.
    options.boolean("include_obfuscation")
    return options.boolean("include_usage")


def _messages(value: Any) -> tuple[ChatMessage, ...]:
    messages = items(value, "messages", fewest=1, most=MOST_MESSAGES)
    return tuple(_message(message, f"messages[{index}]") for index, message in enumerate(messages))


def _message(value: Any, path: str) -> ChatMessage:
    fields = Fields(value, path)
    role = _role(fields)
    fields.refuse_unknown({"role", "content", *MESSAGE_WITHOUT_EFFECT, *MESSAGE_UNSUPPORTED})
    _refuse_unsupported(fields, MESSAGE_UNSUPPORTED)
    fields.text("name", longest=64)
    return ChatMessage(role=role, content=_content(fields.required("content"), fields.param("content")))


def _role(fields: Fields) -> Role:
    param = fields.param("role")
    role = text(fields.required("role"), param)
    if role in ("tool", "function"):
        raise InvalidParameter(param, f"is '{role}', which is not supported.", code="unsupported_value")
    if role not in ROLES:
        raise InvalidParameter(param, f"must be one of {', '.join(ROLES)}.")
    return ROLES[role]


def _content(value: Any, param: str) -> str:
    if isinstance(value, str):
        return text(value, param)
    if not isinstance(value, list):
        raise InvalidParameter(
            param, f"must be a string or a list of text parts, not {kind(value)}.", code="invalid_type"
        )
    parts = items(value, param, fewest=1, most=MOST_PARTS)
    return "\n".join(_part(part, f"{param}[{index}]") for index, part in enumerate(parts))


def _part(value: Any, path: str) -> str:
    fields = Fields(value, path)
    part_type = text(fields.required("type"), fields.param("type"))
    if part_type != "text":
        raise InvalidParameter(fields.param("type"), "can only be 'text'.", code="unsupported_value")
    fields.refuse_unknown({"type", "text", "prompt_cache_breakpoint"})
    return text(fields.required("text"), fields.param("text"))


# --- answers -----------------------------------------------------------------------------------------------


def usage_object(usage: Usage) -> dict[str, Any]:
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
    }


def completion(
    *, request_id: str, created: int, model: str, content: str, reason: FinishReason, usage: Usage
) -> dict[str, Any]:
    return {
        "id": f"chatcmpl-{request_id}",
        "object": "chat.completion",
        "created": created,
        "model": model,
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": content, "refusal": None},
                "logprobs": None,
                "finish_reason": FINISH_REASONS[reason],
            }
        ],
        "usage": usage_object(usage),
    }


class Chunks:
    """The frames of one streamed reply. What stays the same in each of them is encoded once."""

    def __init__(self, *, request_id: str, created: int, model: str, include_usage: bool) -> None:
        self._constant = {
            "id": f"chatcmpl-{request_id}",
            "object": "chat.completion.chunk",
            "created": created,
            "model": model,
        }
        self._include_usage = include_usage
        self._before, self._after = sse.split_frame(self._chunk({"content": sse.HOLE}, None))

    def role(self) -> bytes:
        """Goes first."""
        return sse.frame(self._chunk({"role": "assistant", "content": "", "refusal": None}, None))

    def delta(self, piece: str) -> bytes:
        return self._before + json.dumps(piece).encode("ascii") + self._after

    def finish(self, reason: FinishReason, usage: Usage) -> bytes:
        """Everything that comes behind the last delta of a reply that is whole."""
        frames = sse.frame(self._chunk({}, FINISH_REASONS[reason]))
        if self._include_usage:
            frames += sse.frame({**self._constant, "choices": [], "usage": usage_object(usage)})
        return frames + sse.DONE

    def _chunk(self, delta: dict[str, Any], finish_reason: str | None) -> dict[str, Any]:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        chunk: dict[str, Any] = {**self._constant, "choices": [choice]}
        # Clients that asked for it may rely on the key, which OpenAI sends as null in all chunks but the last.
        return {**chunk, "usage": None} if self._include_usage else chunk
