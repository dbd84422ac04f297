"""An engine without weights: it answers from a script, at a given speed, and can fail on purpose.

It ships with the product for demonstrations, load tests and deterministic tests, and passes the contract tests of the
other engines. A script is a query string, e.g. `rate=20&first=0.5&tokens=400`:

| key | meaning | default |
|---|---|---|
| `reply` | the text to answer with | what the person said |
| `tokens` | answer with this many numbered words (`w0 w1 w2 …`) instead: a lost or doubled one shows | – |
| `rate` | tokens a second and stream; 0 is without pause | 0 |
| `first` | seconds of silence before the first token | 0 |
| `fail_after` | break down after so many tokens | – |
| `slots` | requests at once | what the worker was told, else 64 |
| `context` | context length, tokens (a token is a word with the blanks behind it) | 8192 |
"""

import math
import re
import time
from collections.abc import Generator
from dataclasses import dataclass
from urllib.parse import parse_qsl

from workers.engines.base import EngineError, Meter, StopSignal
from workers.engines.stopping import StopStrings
from workers.protocol import MOST_SLOTS, ErrorCode, FinishReason, GenerationRequest, HostedModel, StreamEvent

DEFAULT_SLOTS = 64
LEAST = {"tokens": 0, "rate": 0, "first": 0, "fail_after": 0, "slots": 1, "context": 1}


@dataclass(frozen=True, slots=True)
class Script:
    """What the engine does; see the module's table."""

    reply: str = ""
    tokens: int | None = None
    rate: float = 0.0
    first: float = 0.0
    fail_after: int | None = None
    slots: int | None = None
    context: int = 8192

    @classmethod
    def parse(cls, text: str) -> "Script":
        """Read a query string. Raises `EngineError` naming the key that is not known or has a bad value."""
        kinds = {
            "reply": str,
            "tokens": int,
            "rate": float,
            "first": float,
            "fail_after": int,
            "slots": int,
            "context": int,
        }
        values = {}
        for name, value in parse_qsl(text, keep_blank_values=True):
            if name not in kinds:
                raise EngineError(f"script: unknown key {name!r}; known are {', '.join(kinds)}.")
            try:
                values[name] = kinds[name](value)
            except ValueError:
                raise EngineError(
                    f"script: {name}={value!r} is not a number; for example {name}=20."
                ) from None
        return cls(**values).checked()

    def checked(self) -> "Script":
        """Itself. Raises `EngineError` for a value that means nothing."""
        for name, least in LEAST.items():
            value = getattr(self, name)
            if value is not None and not (least <= value < math.inf):
                raise EngineError(f"script: {name}={value} is not possible; it must be at least {least}.")
        if self.slots is not None and self.slots > MOST_SLOTS:
            raise EngineError(f"script: slots={self.slots} is not possible; it must be at most {MOST_SLOTS}.")
        return self


def split_tokens(text: str) -> list[str]:
    """Words, each with the white space in front of it; their concatenation is `text`."""
    return re.findall(r"\s*\S+|\s+$", text)


class ScriptedEngine:
    """See the module."""

    def __init__(self, name: str, script: Script | None = None, *, slots: int = 0):
        self._script = script or Script()
        self.hosted = HostedModel(
            name=name,
            engine="scripted",
            context_length=self._script.context,
            slots=self._script.slots or slots or DEFAULT_SLOTS,
        )

    def stream(self, request: GenerationRequest, stop: StopSignal) -> Generator[StreamEvent, None, None]:
        script, meter = self._script, Meter()
        if not request.messages:
            yield meter.failed(ErrorCode.INVALID_REQUEST, "The request has no messages.")
            return
        meter.prompt_tokens = sum(len(split_tokens(message.content)) for message in request.messages)
        if meter.prompt_tokens >= script.context:
            yield meter.failed(
                ErrorCode.CONTEXT_OVERFLOW,
                f"The conversation has {meter.prompt_tokens} tokens, more than the context of {script.context}.",
            )
            return
        meter.completion_tokens = len(split_tokens(request.prefix))
        stops = StopStrings(request.sampling.stop)
        room = script.context - meter.prompt_tokens
        limit = room if request.sampling.max_tokens is None else min(request.sampling.max_tokens, room)
        # The pace is kept from the start and not from the last token, so that a late wake-up is caught up with.
        due = time.monotonic() + script.first
        reason = FinishReason.STOP
        for token in self._tokens(request):
            if meter.completion_tokens >= limit:
                reason = FinishReason.LENGTH
                break
            if stop.wait(max(0.0, due - time.monotonic())):
                yield meter.finished(FinishReason.CANCELLED)
                return
            if script.fail_after is not None and meter.completion_tokens >= script.fail_after:
                yield meter.failed(ErrorCode.ENGINE_FAILURE, "The scripted engine fails here on purpose.")
                return
            meter.completion_tokens += 1
            text, met = stops.feed(token)
            if text:
                yield meter.delta(text)
            if met:
                break
            due += 1 / script.rate if script.rate else 0.0
        else:
            if rest := stops.rest():
                yield meter.delta(rest)
        if reason is FinishReason.LENGTH and (rest := stops.rest()):
            yield meter.delta(rest)
        yield meter.finished(reason)

    def close(self) -> None:
        """Nothing to free."""

    def _tokens(self, request: GenerationRequest) -> list[str]:
        """The reply's tokens, without those that `request.prefix` has delivered."""
        script = self._script
        if script.tokens is not None:
            reply = " ".join(f"w{number}" for number in range(script.tokens))
        else:
            reply = script.reply or request.messages[-1].content
        return split_tokens(reply.removeprefix(request.prefix))
