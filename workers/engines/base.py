"""The contract every engine keeps."""

import threading
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Protocol

from workers.protocol import (
    Delta,
    ErrorCode,
    Failed,
    Finished,
    FinishReason,
    GenerationRequest,
    HostedModel,
    StreamEvent,
    Timing,
    Usage,
)


class EngineError(Exception):
    """An engine that cannot be started: one sentence that names the cause and the remedy."""


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

    Thread-safe: `stream` runs in as many threads at once as `hosted.slots` says.
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
        * `Failed` says no word of the request.
        """

    def close(self) -> None:
        """Free the weights. Idempotent; no request runs any more."""


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

    def delta(self, text: str) -> Delta:
        if self._first_token is None:
            self._first_token = self.clock() - self._started
        return Delta(text)

    @property
    def usage(self) -> Usage:
        return Usage(self.prompt_tokens, self.completion_tokens, self.cached_tokens)

    @property
    def timing(self) -> Timing:
        return Timing(first_token=self._first_token, total=self.clock() - self._started)

    def finished(self, reason: FinishReason) -> Finished:
        return Finished(reason, self.usage, self.timing)

    def failed(self, code: ErrorCode, message: str) -> Failed:
        return Failed(code, message, self.usage, self.timing)
