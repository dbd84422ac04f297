"""One reply on its way through a batch: its tokens, its text, and the events that its follower waits for."""

import queue
from collections.abc import Collection
from dataclasses import dataclass

from workers.engines.base import Meter, StopSignal
from workers.engines.stopping import StopStrings
from workers.engines.transformers.sampling import Picked, Picker
from workers.engines.transformers.text import Text, TokenBytes
from workers.protocol import ErrorCode, FinishReason, StreamEvent, TokenLogprob


@dataclass(frozen=True)
class Prompt:
    """A request in tokens."""

    ids: list[int]
    """The conversation."""
    prefix: list[int]
    """The part of the reply that was delivered before."""


class Row:
    """A running request. The batch's thread calls it; only `events`, `abandon` are for the follower's."""

    def __init__(
        self,
        prompt: Prompt,
        *,
        picker: Picker,
        text: Text,
        stops: StopStrings,
        ends: Collection[int],
        limit: int,
        meter: Meter,
        stop: StopSignal,
        adapter: str = "",
        reuse: bool = True,
        strip: bool = False,
        naming: TokenBytes | None = None,
    ):
        """`ends`: tokens that end the reply. `limit`: tokens of the whole reply at most. `adapter` "": the base.

        `reuse`: whether K/V of an earlier request may be gone on with. `strip`: leave out blanks at the beginning.
        `naming`: told with each token when its log-probability is wanted.
        """
        self.events: queue.SimpleQueue[StreamEvent] = queue.SimpleQueue()
        self.prompt = prompt
        self.picker = picker
        self.adapter = adapter
        self.reuse = reuse
        self.ids = [*prompt.ids, *prompt.prefix]
        """Everything the model has to have read before it says the next token."""
        self.slot = -1
        self.read = 0
        """How many of `ids` it has."""
        self._text = text
        self._stops = stops
        self._ends = ends
        self._limit = limit
        self._meter = meter
        self._stop = stop
        self._abandoned = False
        self._strip = strip
        self._naming = naming
        self._logprobs: list[TokenLogprob] = []
        meter.prompt_tokens = len(prompt.ids)
        meter.completion_tokens = len(prompt.prefix)

    @property
    def unread(self) -> int:
        return len(self.ids) - self.read

    @property
    def unwanted(self) -> bool:
        return self._abandoned or self._stop.is_set()

    @property
    def cached(self) -> int:
        return self._meter.cached_tokens

    @cached.setter
    def cached(self, tokens: int) -> None:
        self._meter.cached_tokens = min(tokens, len(self.prompt.ids))

    def abandon(self) -> None:
        """Nobody listens any more."""
        self._abandoned = True

    def take(self, picked: Picked) -> bool:
        """The next token. True when it was the last one."""
        self._meter.completion_tokens += 1
        if picked.token in self._ends:
            return self._finish(FinishReason.STOP)
        self.ids.append(picked.token)
        if self._naming is not None and picked.logprob is not None:
            self._logprobs.append(self._naming.told(picked.token, picked.logprob, picked.top))
        text, met = self._stops.feed(self._text.feed(picked.token))
        self._say(text)
        if met:
            return self._finish(FinishReason.STOP, rest=False)
        if self._meter.completion_tokens >= self._limit:
            return self._finish(FinishReason.LENGTH)
        return False

    def cancel(self) -> None:
        self._finish(FinishReason.CANCELLED)

    def fail(self, message: str) -> None:
        self.events.put(self._meter.failed(ErrorCode.ENGINE_FAILURE, message))

    def _say(self, text: str) -> None:
        if self._strip:
            text = text.lstrip()
            self._strip = not text
        if text:
            self.events.put(self._meter.delta(text, logprobs=tuple(self._logprobs)))
            self._logprobs.clear()

    def _finish(self, reason: FinishReason, *, rest: bool = True) -> bool:
        if rest:
            self._say(self._stops.rest())
        self.events.put(self._meter.finished(reason, self._stops.met))
        return True
