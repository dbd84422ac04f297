"""One request of a terminal program: its deltas as they come, what became of it, and how it is stopped.

The network is left to a thread, so that Ctrl-C never cuts a call to the broker in half.
"""

import signal
import threading
import time
import uuid
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from queue import Empty, SimpleQueue
from types import FrameType
from typing import Final, Literal

from django.conf import settings

from workers import client
from workers.protocol import (
    ChatMessage,
    Delta,
    Embedded,
    ErrorCode,
    Failed,
    Finished,
    FinishReason,
    GenerationRequest,
    Sampling,
    Started,
    StreamEvent,
    Tokenized,
    Waiting,
)
from workers.terminal.sources import Source, SourceAway, Workers

# A stopped engine ends within one step; longer than this nobody waits for its last word.
PATIENCE_AFTER_STOP: Final = 5.0


class _Signal(Enum):
    STOP = "stop"


_STOP: Final = _Signal.STOP


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of a request."""

    text: str
    ending: Finished | Failed
    worker: str
    """Who answered, or "" when nobody began to."""
    first_text_after: float | None
    """Seconds from asking to the first text, as the person sees it; None when there was none."""
    seconds: float
    """From asking to the end."""

    @property
    def stopped(self) -> bool:
        return isinstance(self.ending, Finished) and self.ending.reason is FinishReason.CANCELLED

    @property
    def tokens_per_second(self) -> float | None:
        """Tokens behind the first over the time behind the first, at the worker; None when that says nothing."""
        timing, tokens = self.ending.timing, self.ending.usage.completion_tokens
        if timing.first_token is None or tokens < 2 or timing.total <= timing.first_token:
            return None
        return (tokens - 1) / (timing.total - timing.first_token)


def new_request(
    *, chat_model: str, messages: tuple[ChatMessage, ...], sampling: Sampling
) -> GenerationRequest:
    """A request that nobody is told the outcome of: what is said in a terminal is not stored."""
    return GenerationRequest(
        id=uuid.uuid4().hex,
        chat_model=chat_model,
        messages=messages,
        deadline=time.time() + settings.GENERATION_TIMEOUT,
        sampling=sampling,
    )


class Asking:
    """One request under way. Iterate over `deltas()` to its end; then there is an `answer`."""

    def __init__(self, request: GenerationRequest, source: Source | None = None):
        self.request = request
        self._source = source or Workers()
        self.answer: Answer | None = None
        self._events: SimpleQueue[StreamEvent | Exception | Literal[_Signal.STOP]] = SimpleQueue()
        self._text: list[str] = []
        self._worker = ""
        self._first_text_after: float | None = None
        self._give_up_at: float | None = None
        self._cancelled = False

    def deltas(self, on_wait: Callable[[Waiting], None] | None = None) -> Generator[str]:
        """Yield the answer's text as it comes. Raises `SourceAway`.

        `on_wait` hears of the place in the queue, in this thread, whenever that has changed and nothing has come yet.
        Whatever ends the iteration early (an error while printing, a closed pipe) also ends the work at the worker.
        """
        began = time.monotonic()
        threading.Thread(target=self._run, name="asking", daemon=True).start()
        ending: Finished | Failed | None = None
        try:
            while ending is None:
                match self._next():
                    case Delta("") | Embedded() | Tokenized():  # thoughts and the like are not shown
                        pass
                    case Waiting() as place:
                        if on_wait is not None:
                            on_wait(place)
                    case Delta(text):
                        self._text.append(text)
                        if self._first_text_after is None:
                            self._first_text_after = time.monotonic() - began
                        yield text
                    case Started(worker):
                        self._worker = worker
                    case Finished() | Failed() as ending:
                        pass
                    case SourceAway() as error:
                        raise error from None
                    case Exception() as error:
                        raise error
        finally:
            if ending is None:
                self._cancel()
        self.answer = Answer(
            text="".join(self._text),
            ending=ending,
            worker=self._worker,
            first_text_after=self._first_text_after,
            seconds=time.monotonic() - began,
        )

    def stop(self) -> None:
        """Ask for an early end. Safe in a signal handler: `SimpleQueue.put` is reentrant, unlike `Queue.put`."""
        self._events.put(_STOP)

    def _next(self) -> StreamEvent | Exception:
        """The next event; a stop is passed on to the worker, whose last word is then waited for."""
        while True:
            left = None if self._give_up_at is None else max(0.0, self._give_up_at - time.monotonic())
            try:
                event = self._events.get(timeout=left)
            except Empty:
                return Finished(FinishReason.CANCELLED)
            if event is not _STOP:
                return event
            if self._give_up_at is not None:  # asked twice: at once, then
                return Finished(FinishReason.CANCELLED)
            self._give_up_at = time.monotonic() + PATIENCE_AFTER_STOP
            self._cancel()

    def _cancel(self) -> None:
        self._cancelled = True
        # Not in this thread: a broker that is away would keep the person waiting.
        canceller = threading.Thread(
            target=self._source.cancel, args=(self.request,), name="cancelling", daemon=True
        )
        canceller.start()
        canceller.join(2)

    def _run(self) -> None:
        """In a thread: hand the request over, and hand on what comes back."""
        try:
            self._source.start(self.request)
            if self._cancelled:  # before there was anything to cancel
                self._source.cancel(self.request)
            for event in self._source.follow(self.request):
                self._events.put(event)
        except client.Submission as refusal:
            self._events.put(Failed(refusal.code, str(refusal)))
        except Exception as error:
            self._events.put(error)


@contextmanager
def stopped_by_ctrl_c(asking: Asking) -> Iterator[None]:
    """Ctrl-C stops `asking` and nothing else, as long as the block runs. For the main thread."""

    def stop(number: int, frame: FrameType | None) -> None:
        asking.stop()

    before = signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def place_in_words(place: Waiting) -> str:
    """For the person who waits."""
    standing = "next in the queue" if place.position == 1 else f"place {place.position} in the queue"
    return f"{standing}; the model is being loaded" if place.loading else standing


def explain(failure: Failed) -> str:
    """The failure as a sentence for the person at the terminal, with what helps."""
    remedies = {
        ErrorCode.NO_WORKER: "Start one: bin/up, or `manage.py worker --model NAME`.",
        ErrorCode.CONTEXT_OVERFLOW: "!!remove takes the last turn away, !!reset starts anew.",
    }
    return " ".join(filter(None, [failure.message, remedies.get(failure.code, "")]))
