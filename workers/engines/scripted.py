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
| `thinks` | what it thinks before each answer | – |
| `calls` | 1: it answers a person by calling the first tool of the request, where there is one | 0 |

A request that forces a tool call gets one, and one with a JSON schema the smallest value that fits. Whatever needs no
model is done as the other engines do it: log-probabilities are made up, and vectors are counts of words.
"""

import base64
import json
import math
import re
import time
import zlib
from array import array
from collections.abc import Generator, Iterable
from dataclasses import dataclass
from urllib.parse import parse_qsl

from workers.engines.base import EngineError, Meter, RefusedError, StopSignal
from workers.engines.examples import example
from workers.engines.stopping import StopStrings
from workers.engines.tool_calls import new_call_id
from workers.protocol import (
    MOST_SLOTS,
    Ability,
    ChatMessage,
    Delta,
    DetokenizeRequest,
    Embedded,
    EmbeddingRequest,
    ErrorCode,
    FinishReason,
    GenerationRequest,
    HostedModel,
    StreamEvent,
    Tokenized,
    TokenizeRequest,
    TokenLogprob,
    Tool,
    ToolCallDelta,
    TopLogprob,
)

DEFAULT_SLOTS = 64
LEAST = {"tokens": 0, "rate": 0, "first": 0, "fail_after": 0, "slots": 1, "context": 1, "calls": 0}
CANNOT = {Ability.GRAMMAR, Ability.REGEX, Ability.SUFFIX}
LOGPROB = -0.5
"""Of every token it says."""
DIMENSIONS = 64
MOST_WORDS = 100_000
"""Words whose numbers it remembers. The oldest are forgotten beyond."""


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
    thinks: str = ""
    calls: int = 0

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
            "thinks": str,
            "calls": int,
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


def token_id(token: str) -> int:
    """A number for a word, the same in every process."""
    return zlib.crc32(token.encode(errors="replace"))


def vector(text: str, dimensions: int = DIMENSIONS) -> str:
    """Texts with the same words get near vectors of length 1, as base64 float32."""
    numbers = [0.0] * dimensions
    for word in re.findall(r"\w+", text.lower()) or [text]:
        numbers[token_id(word) % dimensions] += 1.0
    length = math.sqrt(sum(number * number for number in numbers))
    return base64.b64encode(array("f", (number / length for number in numbers))).decode()


class ScriptedEngine:
    """See the module."""

    def __init__(self, name: str, script: Script | None = None, *, slots: int = 0):
        self._script = script or Script()
        self._words: dict[int, str] = {}
        self.hosted = HostedModel(
            name=name,
            engine="scripted",
            context_length=self._script.context,
            slots=self._script.slots or slots or DEFAULT_SLOTS,
            abilities=tuple(ability.value for ability in Ability if ability not in CANNOT),
        )

    def stream(self, request: GenerationRequest, stop: StopSignal) -> Generator[StreamEvent, None, None]:
        meter = Meter()
        if not request.messages and request.prompt is None:
            yield meter.failed(ErrorCode.INVALID_REQUEST, "The request has no messages.", "messages")
            return
        prompt = self._prompt(request)
        meter.prompt_tokens = len(prompt)
        if meter.prompt_tokens >= self._script.context:
            yield meter.failed(
                ErrorCode.CONTEXT_OVERFLOW,
                f"The conversation has {meter.prompt_tokens} tokens, more than the context of "
                f"{self._script.context}.",
            )
            return
        if request.echo:
            yield from self._said(request, prompt, meter, first=None)
        if tool := _tool_to_call(request, calls=bool(self._script.calls)):
            yield from self._call(request, tool, meter, stop)
        else:
            yield from self._speak(request, meter, stop)

    def embed(self, request: EmbeddingRequest, stop: StopSignal) -> Generator[StreamEvent, None, None]:
        meter = Meter()
        if request.dimensions is not None and request.dimensions > DIMENSIONS:
            raise RefusedError(f"dimensions is at most {DIMENSIONS} with this model.", "dimensions")
        texts = [text if isinstance(text, str) else self._text(text, "input") for text in request.inputs]
        meter.prompt_tokens = sum(len(split_tokens(text)) for text in texts)
        yield Embedded(0, tuple(vector(text, request.dimensions or DIMENSIONS) for text in texts))
        yield meter.finished(FinishReason.CANCELLED if stop.is_set() else FinishReason.STOP)

    def tokenize(self, request: TokenizeRequest) -> Tokenized:
        if request.prompt is None:
            pieces = [piece for message in request.messages for piece in split_tokens(message.content)]
        else:
            pieces = split_tokens(request.prompt)
        return Tokenized(tuple(map(self._remember, pieces)), tuple(pieces))

    def detokenize(self, request: DetokenizeRequest) -> str:
        return self._text(request.tokens, "tokens")

    def close(self) -> None:
        """Nothing to free."""

    def _remember(self, piece: str) -> int:
        if len(self._words) >= MOST_WORDS:
            self._words.pop(next(iter(self._words)))
        number = token_id(piece)
        self._words[number] = piece
        return number

    def _text(self, tokens: Iterable[int], param: str) -> str:
        try:
            return "".join(self._words[token] for token in tokens)
        except KeyError as missing:
            raise RefusedError(
                f"{param} holds {missing}, the id of a word that this model was never shown.", param
            ) from None

    def _prompt(self, request: GenerationRequest) -> list[str]:
        if request.prompt is None:
            return [piece for message in request.messages for piece in split_tokens(message.content)]
        if isinstance(request.prompt, str):
            return split_tokens(request.prompt)
        return [self._text([token], "prompt") for token in request.prompt]

    def _speak(
        self, request: GenerationRequest, meter: Meter, stop: StopSignal
    ) -> Generator[StreamEvent, None, None]:
        script = self._script
        meter.completion_tokens = len(split_tokens(request.prefix))
        stops = StopStrings(request.sampling.stop)
        room = script.context - meter.prompt_tokens
        limit = room if request.sampling.max_tokens is None else min(request.sampling.max_tokens, room)
        # The pace is kept from the start and not from the last token, so that a late wake-up is caught up with.
        due = time.monotonic() + script.first
        reason = FinishReason.STOP
        if script.thinks and not request.prefix and request.reasoning_effort != "none":
            yield meter.delta(reasoning=script.thinks)
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
                yield from self._said(request, [text], meter)
            if met:
                break
            due += 1 / script.rate if script.rate else 0.0
        else:
            if rest := stops.rest():
                yield from self._said(request, [rest], meter)
        if reason is FinishReason.LENGTH and (rest := stops.rest()):
            yield from self._said(request, [rest], meter)
        yield meter.finished(reason, stops.met)

    def _said(
        self, request: GenerationRequest, pieces: list[str], meter: Meter, first: float | None = LOGPROB
    ) -> Generator[Delta, None, None]:
        """The pieces as one delta, with made-up log-probabilities where they are asked for."""
        logprobs: tuple[TokenLogprob, ...] = ()
        if request.sampling.logprobs:
            top = request.sampling.top_logprobs
            logprobs = tuple(
                _logprob(piece, first if number == 0 else LOGPROB, top) for number, piece in enumerate(pieces)
            )
        if pieces:
            yield meter.delta("".join(pieces), logprobs=logprobs)

    def _call(
        self, request: GenerationRequest, tool: Tool, meter: Meter, stop: StopSignal
    ) -> Generator[StreamEvent, None, None]:
        arguments = json.dumps(_example(json.loads(tool.parameters), "tools"), ensure_ascii=False)
        yield meter.delta(tool_calls=(ToolCallDelta(0, new_call_id(), tool.name),))
        for piece in split_tokens(arguments):
            if stop.is_set():
                yield meter.finished(FinishReason.CANCELLED)
                return
            meter.completion_tokens += 1
            yield meter.delta(tool_calls=(ToolCallDelta(0, arguments=piece),))
        yield meter.finished(FinishReason.STOP)

    def _tokens(self, request: GenerationRequest) -> list[str]:
        """The reply's tokens, without those that `request.prefix` has delivered."""
        script = self._script
        if request.constraint is not None:
            schema = json.loads(request.constraint.value or '{"type": "object"}')
            reply = json.dumps(_example(schema, "response_format"), ensure_ascii=False)
        elif script.tokens is not None:
            reply = " ".join(f"w{number}" for number in range(script.tokens))
        elif request.prompt is not None:
            reply = script.reply or "".join(self._prompt(request))
        else:
            reply = script.reply or request.messages[-1].content
        return split_tokens(reply.removeprefix(request.prefix))


def _tool_to_call(request: GenerationRequest, *, calls: bool) -> Tool | None:
    if not request.tools or request.tool_choice == "none":
        return None
    last: ChatMessage = request.messages[-1]
    if request.tool_choice == "required" or (calls and last.role == "user"):
        return request.tools[0]
    return None


def _example(schema: object, param: str) -> object:
    try:
        return example(schema)
    except (LookupError, RecursionError, TypeError):
        raise RefusedError("The scripted engine has no example for this JSON schema.", param) from None


def _logprob(piece: str, logprob: float | None, top: int) -> TokenLogprob:
    others = [TopLogprob(piece, LOGPROB, tuple(piece.encode()))]
    others += [TopLogprob(f"?{number}", LOGPROB - number, ()) for number in range(1, top)]
    return TokenLogprob(piece, logprob, tuple(piece.encode()), tuple(others[:top]))
