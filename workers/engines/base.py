"""The contract every engine keeps."""

import threading
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from typing import Protocol, cast

from workers.engine_settings.errors import EngineError as EngineError  # it belongs to the contract
from workers.protocol import (
    Delta,
    DetokenizeRequest,
    EmbeddingRequest,
    ErrorCode,
    Failed,
    Finished,
    FinishReason,
    GenerationRequest,
    HostedModel,
    StreamEvent,
    Timing,
    Tokenized,
    TokenizeRequest,
    TokenLogprob,
    ToolCallDelta,
    Usage,
    WorkerRequest,
    lack,
)


class StopSignal:
    """Asks an engine to end one request. Set from any thread; the first reason stays."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self._first = threading.Lock()
        self.reason = ""

    def set(self, reason: str) -> None:
        with self._first:
            if not self._event.is_set():
                self.reason = reason
                self._event.set()

    def is_set(self) -> bool:
        return self._event.is_set()

    def wait(self, seconds: float) -> bool:
        """Sleep for `seconds`, or until the signal is set; True when it is."""
        return self._event.wait(seconds)


class Engine(Protocol):
    """Turns messages into text. Knows nothing of users, battles or the database.

    Thread-safe: `stream` runs in as many threads at once as `hosted.slots` says. `hosted.abilities` names what it can
    do; `run` refuses everything else, so that `stream` never sees a parameter that it would have to ignore. An engine
    with the ability `embeddings` is an `Embedder` too, one with `tokenize` a `Tokenizer`.
    """

    hosted: HostedModel

    def stream(self, request: GenerationRequest, stop: StopSignal) -> Generator[StreamEvent, None, None]:
        """Yield `Delta`s, then exactly one `Finished` or `Failed`. Never raises after the first delta.

        * A delta never splits a character and never holds a part of a stop string.
        * Once `stop` is set the engine ends within one step with `Finished(cancelled)` and frees what the request held;
          `usage` counts what was made. So does a caller that closes the generator early.
        * `request.prefix` is text of this reply that has been delivered already: the engine goes on behind it and
          does not repeat it. `usage` and `max_tokens` are of the whole reply, the prefix included.
        * `None` in `request.sampling` is the engine's choice.
        * Where a request has `tools`, the calls come as `Delta.tool_calls` and not as text; what the model thinks comes
          as `Delta.reasoning`. With `sampling.logprobs` every token of the text has its `Delta.logprobs`.
        * With a `constraint` the text always satisfies it, unless `max_tokens` or `stop` cut it short.
        * With `echo` the prompt comes first, as text; it counts as prompt and not as completion.
        * `Failed` says no word of the request.
        """

    def close(self) -> None:
        """Free the weights. Idempotent; no request runs any more."""


class Embedder(Protocol):
    """An engine with the ability `embeddings`."""

    def embed(self, request: EmbeddingRequest, stop: StopSignal) -> Generator[StreamEvent, None, None]:
        """Yield `Embedded`s that cover all inputs, then one `Finished` or `Failed`, as `Engine.stream` does."""


class Tokenizer(Protocol):
    """An engine with the ability `tokenize`."""

    def tokenize(self, request: TokenizeRequest) -> Tokenized:
        """Raises `RefusedError` for what cannot be read."""

    def detokenize(self, request: DetokenizeRequest) -> str:
        """Raises `RefusedError` for ids that do not exist."""


class RefusedError(Exception):
    """A value of the request that the engine cannot use: a sentence for the caller, and the parameter's name."""

    def __init__(self, message: str, param: str = "", code: ErrorCode = ErrorCode.INVALID_REQUEST) -> None:
        super().__init__(message)
        self.message, self.param, self.code = message, param, code


def run(engine: Engine, request: WorkerRequest, stop: StopSignal) -> Iterator[StreamEvent]:
    """Have `engine` work on a request of any kind; the events of `Engine.stream`.

    What asks for an ability that `engine.hosted` does not name is refused here, before the engine sees it.
    """
    if missing := lack(request, engine.hosted):
        yield Failed(ErrorCode.INVALID_REQUEST, missing.message, param=missing.param)
        return
    try:
        match request:
            case GenerationRequest():
                yield from engine.stream(request, stop)
            case EmbeddingRequest():
                yield from cast("Embedder", engine).embed(request, stop)
            case TokenizeRequest():
                yield cast("Tokenizer", engine).tokenize(request)
                yield Finished(FinishReason.STOP)
            case DetokenizeRequest():
                yield Delta(cast("Tokenizer", engine).detokenize(request))
                yield Finished(FinishReason.STOP)
    except RefusedError as refusal:
        yield Failed(refusal.code, refusal.message, param=refusal.param)


@dataclass
class Meter:
    """Counts and times one reply, so that every engine reports alike."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    clock: Callable[[], float] = time.monotonic

    def __post_init__(self) -> None:
        self._started = self.clock()
        self._first_token: float | None = None

    def delta(
        self,
        text: str = "",
        *,
        reasoning: str = "",
        tool_calls: tuple[ToolCallDelta, ...] = (),
        logprobs: tuple[TokenLogprob, ...] = (),
    ) -> Delta:
        if self._first_token is None:
            self._first_token = self.clock() - self._started
        return Delta(text, reasoning=reasoning, tool_calls=tool_calls, logprobs=logprobs)

    @property
    def usage(self) -> Usage:
        return Usage(self.prompt_tokens, self.completion_tokens, self.cached_tokens)

    @property
    def timing(self) -> Timing:
        return Timing(first_token=self._first_token, total=self.clock() - self._started)

    def finished(self, reason: FinishReason, stop_string: str = "") -> Finished:
        return Finished(reason, self.usage, self.timing, stop_string=stop_string)

    def failed(self, code: ErrorCode, message: str, param: str = "") -> Failed:
        return Failed(code, message, self.usage, self.timing, param=param)
