"""The batch that requests join and leave at every step.

A row (a running request) has a slot: its own stretch of one pre-allocated K/V cache. A step runs one token of every
row that is answering, and a chunk of the prompts of those that came in, all laid end to end as one sequence, so
that each weight is read once for all of them. Only attention knows which token belongs to whom; the model's own
code is untouched, it is given a cache and an attention function of ours.
"""

import contextlib
import math
import mmap
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch.nn import functional
from transformers import AttentionInterface
from transformers.cache_utils import Cache

from workers.engines.transformers import adapters
from workers.engines.transformers.rows import Row

ATTENTION = "chatsite_slots"
# What one more call of attention costs, in positions of one row that are read in vain instead.
CALL_COST = 384
# K/V of another slot are copied only when it saves more than the copying takes.
LEAST_COPIED = 16

_running = threading.local()


class UnsupportedError(Exception):
    """The model cannot be driven this way."""


@dataclass
class Segment:
    """Consecutive tokens of one row in a step."""

    begin: int
    """Place of the first one in the step's sequence."""
    length: int
    slot: int
    past: int
    """Tokens of the row that are in the cache already."""
    masks: dict[int, torch.Tensor] = field(default_factory=dict)


class Together(NamedTuple):
    """Rows of one new token each whose attention is one call: those of the slots below `slots`, to `length`."""

    rows: list[int]
    """Their places in the step's sequence."""
    taken: list[int]
    """Their slots."""
    slots: int
    length: int


class SlotCache(Cache):
    """K/V of all layers: for each (slots × context, heads, head size). Layers are made when they first speak."""

    def __init__(self, slots: int, context: int):
        super().__init__(layers=[])
        self.slots = slots
        self.context = context
        self._keys: dict[int, torch.Tensor] = {}
        self._values: dict[int, torch.Tensor] = {}

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, layer_idx: int, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Write (1, heads, tokens, size) where the step says. What comes back is not used: attention reads the
        slots."""
        step = _step()
        if layer_idx not in self._keys:
            self._keys[layer_idx] = self._zeros(key_states)
            self._values[layer_idx] = self._zeros(value_states)
        self._keys[layer_idx].index_copy_(0, step.places, key_states[0].transpose(0, 1))
        self._values[layer_idx].index_copy_(0, step.places, value_states[0].transpose(0, 1))
        return key_states, value_states

    def read(self, layer: int, slots: slice, length: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Views (slots, heads, length, size) of K and V."""
        return self._view(self._keys[layer], slots, length), self._view(self._values[layer], slots, length)

    def copy(self, source: int, target: int, tokens: int) -> None:
        for kept in (*self._keys.values(), *self._values.values()):
            whole = kept.view(self.slots, self.context, *kept.shape[1:])
            whole[target, :tokens] = whole[source, :tokens]

    def get_seq_length(self, layer_idx: int = 0) -> int:
        return 0

    def _view(self, kept: torch.Tensor, slots: slice, length: int) -> torch.Tensor:
        return kept.view(self.slots, self.context, *kept.shape[1:])[slots, :length].transpose(1, 2)

    def _zeros(self, states: torch.Tensor) -> torch.Tensor:
        shape = (self.slots * self.context, states.shape[1], states.shape[3])
        if states.device.type != "cpu":
            return torch.zeros(shape, dtype=states.dtype, device=states.device)
        return lazy_zeros(math.prod(shape) * states.element_size()).view(states.dtype).view(shape)


def lazy_zeros(size: int) -> torch.Tensor:
    """So many zero bytes that the kernel hands out page by page, when they are first written.

    A slot then takes what its longest conversation took. Not huge pages, which numpy asks for: two megabytes zeroed for
    the first word of each slot in each layer took longer than the model.
    """
    memory = mmap.mmap(-1, max(size, 1))
    if hasattr(mmap, "MADV_NOHUGEPAGE"):
        with contextlib.suppress(OSError):  # a kernel without huge pages
            memory.madvise(mmap.MADV_NOHUGEPAGE)
    return torch.frombuffer(memory, dtype=torch.uint8)[:size]


class Step:
    """One forward pass: which token is whose, and attention over it."""

    def __init__(
        self,
        cache: SlotCache | None,
        segments: Sequence[Segment],
        *,
        device: torch.device,
        dtype: torch.dtype,
    ):
        """Without a cache each segment is a text of its own that is read once."""
        self._cache = cache
        self._device = device
        self._dtype = dtype
        self._single = [segment for segment in segments if segment.length == 1 and cache is not None]
        self._longer = [segment for segment in segments if segment.length > 1 or cache is None]
        self._groups = together([(s.slot, s.past + 1, s.begin) for s in self._single])
        self._spans = [_span(group.rows) for group in self._groups]
        self._masks: dict[tuple[int, int], torch.Tensor | None] = {}
        if cache is not None:
            self.places = torch.tensor(
                [
                    segment.slot * cache.context + segment.past + number
                    for segment in segments
                    for number in range(segment.length)
                ],
                device=device,
            )
        self.positions = torch.tensor(
            [[segment.past + number for segment in segments for number in range(segment.length)]],
            device=device,
        )
        self._past = {segment.begin: segment.past for segment in self._single}

    def attend(
        self,
        layer: int,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        scaling: float | None,
        window: int,
    ) -> torch.Tensor:
        """Attention of (1, heads, tokens, size); returns (1, tokens, heads, size)."""
        tokens, heads = query.shape[2], query.shape[1]
        result = query.new_empty(tokens, heads, value.shape[3])
        for number, group in enumerate(self._groups):
            self._attend_together(result, layer, number, group, query, scaling, window)
        for segment in self._longer:
            self._attend_segment(result, layer, segment, query, key, value, scaling, window)
        return result[None]

    def _attend_together(
        self,
        result: torch.Tensor,
        layer: int,
        number: int,
        group: Together,
        query: torch.Tensor,
        scaling: float | None,
        window: int,
    ) -> None:
        assert self._cache is not None
        slots = slice(group.taken[0], group.taken[0] + 1) if len(group.rows) == 1 else slice(0, group.slots)
        keys, values = self._cache.read(layer, slots, group.length)
        rows, many, kv_heads = keys.shape[0], query.shape[1] // keys.shape[1], keys.shape[1]
        places = self._spans[number]
        mine = query[0, :, places].transpose(0, 1)  # (rows, heads, size)
        if rows != len(group.rows):  # a slot in between is free, or reads a prompt: it attends for nobody
            spread = mine.new_zeros(rows, *mine.shape[1:])
            spread[group.taken] = mine
            mine = spread
        # The query heads that share a K/V head stand side by side as if they were tokens: nothing is repeated.
        answer = functional.scaled_dot_product_attention(
            mine.reshape(rows, kv_heads, many, -1),
            keys,
            values,
            attn_mask=self._mask_together(number, group, rows, window),
            scale=scaling,
        ).reshape(rows, kv_heads * many, -1)
        result[places] = answer if rows == len(group.rows) else answer[group.taken]

    def _mask_together(self, number: int, group: Together, rows: int, window: int) -> torch.Tensor | None:
        """(rows, 1, 1, length), the same for all layers of one kind; None where all is seen."""
        if (number, window) in self._masks:
            return self._masks[number, window]
        lengths = torch.full((rows, 1), group.length)  # a free slot sees all of its zeros, which harms nobody
        for place, slot in zip(group.rows, group.taken, strict=True):
            lengths[slot if rows > 1 else 0] = self._past[place] + 1
        positions = torch.arange(group.length)[None]
        hidden = positions >= lengths
        if window:
            hidden |= positions < lengths - window
        mask = None
        if bool(hidden.any()):
            mask = torch.zeros(hidden.shape, dtype=self._dtype).masked_fill_(hidden, -torch.inf)
            mask = mask[:, None, None].to(self._device)
        self._masks[number, window] = mask
        return mask

    def _attend_segment(
        self,
        result: torch.Tensor,
        layer: int,
        segment: Segment,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        scaling: float | None,
        window: int,
    ) -> None:
        part = slice(segment.begin, segment.begin + segment.length)
        if self._cache is None:
            keys, values = key[:, :, part], value[:, :, part]
        else:
            slots = slice(segment.slot, segment.slot + 1)
            keys, values = self._cache.read(layer, slots, segment.past + segment.length)
        kv_heads, many = keys.shape[1], query.shape[1] // keys.shape[1]
        if window not in segment.masks:
            mask = causal_mask(segment.length, segment.past, window, self._dtype).to(self._device)
            segment.masks[window] = mask.repeat(many, 1)[None, None]
        answer = functional.scaled_dot_product_attention(
            query[:, :, part].reshape(1, kv_heads, many * segment.length, -1),
            keys,
            values,
            attn_mask=segment.masks[window],
            scale=scaling,
        )
        result[part] = answer.reshape(kv_heads * many, segment.length, -1).transpose(0, 1)


def _span(places: list[int]) -> list[int] | slice:
    """A view instead of a copy where the places follow each other, as they nearly always do."""
    whole = range(places[0], places[0] + len(places))
    return slice(whole.start, whole.stop) if places == list(whole) else places


def causal_mask(length: int, past: int, window: int, dtype: torch.dtype) -> torch.Tensor:
    """(length, past + length): what each of `length` tokens behind `past` others may see. `window` 0 is all."""
    own = torch.arange(past, past + length)[:, None]
    other = torch.arange(past + length)[None]
    hidden = other > own
    if window:
        hidden |= other <= own - window
    return torch.zeros(hidden.shape, dtype=dtype).masked_fill_(hidden, -torch.inf)


def together(rows: Sequence[tuple[int, int, int]]) -> list[Together]:
    """Which rows attend in one call. `rows`: (slot, length, place in the step).

    One call reads every slot up to the highest to the length of the longest. A row that is much longer than the
    others would make all of them read in vain, so the longest ones get calls of their own while that saves more
    than it costs.
    """
    ordered = sorted(rows, key=lambda row: row[1])
    alone: list[tuple[int, int, int]] = []
    while len(ordered) > 1:
        slots = max(slot for slot, _, _ in ordered) + 1
        rest = ordered[:-1]
        saved = slots * ordered[-1][1] - (max(slot for slot, _, _ in rest) + 1) * rest[-1][1]
        if saved < ordered[-1][1] + CALL_COST:
            break
        alone.append(ordered.pop())
    groups = [Together([place], [slot], slot + 1, length) for slot, length, place in alone]
    if ordered:
        places = [place for _, _, place in sorted(ordered)]
        taken = sorted(slot for slot, _, _ in ordered)
        groups.append(Together(places, taken, taken[-1] + 1, ordered[-1][1]))
    return groups


def attention(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """What the model calls instead of transformers' own attention functions."""
    for name in ("softcap", "s_aux", "position_bias"):
        if kwargs.get(name) is not None:
            raise UnsupportedError(f"attention with {name}")
    window = kwargs.get("sliding_window") or 0
    return _step().attend(module.layer_idx, query, key, value, scaling, window), None


AttentionInterface.register(ATTENTION, attention)


def _step() -> Step:
    step: Step | None = getattr(_running, "step", None)
    if step is None:
        raise UnsupportedError("the model calls attention outside of a step")
    return step


class SlotBatch:
    """Runs rows step by step. One thread at a time."""

    def __init__(self, model: Any, *, slots: int, context: int, step_tokens: int):
        """`model` must have been set to `ATTENTION`. `step_tokens`: tokens of one step at most, rows that answer
        first."""
        self._model = model
        self._forward: Callable[..., Any] = model
        self._cache = SlotCache(slots, context)
        self._cache_name = "cache" if takes(model, "cache") else "past_key_values"
        self._selects = takes(model, "logits_to_keep")
        self._step_tokens = max(step_tokens, slots + 1)
        self._rows: list[Row] = []
        self._free = list(range(slots))
        # What each slot's K/V are of, also after its row has left: the next turn of the conversation begins so.
        self._kept: list[list[int]] = [[] for _ in range(slots)]
        self._owner: list[str] = ["" for _ in range(slots)]

    @property
    def rows(self) -> list[Row]:
        return self._rows

    @property
    def room(self) -> int:
        """How many more rows may come in."""
        return len(self._free)

    def enter(self, row: Row) -> None:
        ids = row.ids
        known = [self._known(slot, row) for slot in range(len(self._kept))] if row.reuse else []
        best = max(range(len(known)), key=known.__getitem__, default=None)
        if best is not None and known[best] and best in self._free:
            slot, tokens = best, known[best]
        else:
            # The lowest one: attention reads all slots up to the highest that is taken.
            slot, tokens = min(self._free), 0
            if best is not None and known[best] >= LEAST_COPIED:
                tokens = known[best]
                self._cache.copy(best, slot, tokens)
        self._free.remove(slot)
        self._kept[slot] = ids[:tokens]
        self._owner[slot] = row.adapter
        row.slot = slot
        row.read = tokens
        row.cached = tokens
        self._rows.append(row)

    def leave(self, row: Row) -> None:
        self._rows.remove(row)
        self._free.append(row.slot)

    def forget(self, adapter: str) -> None:
        """Keep no K/V of the adapter, of which no row is left: another one may come under its name."""
        for slot, owner in enumerate(self._owner):
            if owner == adapter:
                self._kept[slot] = []

    def step(self) -> tuple[list[Row], torch.Tensor]:
        """Run one step; the rows that may pick a token now, and its logits (rows, vocabulary)."""
        device, dtype = self._model.device, self._model.dtype
        segments, tokens, ready, last = self._plan()
        step = Step(self._cache, [segment for _, segment in segments], device=device, dtype=dtype)
        # With nothing to keep some matrix products fail: one row is kept in vain.
        keep = torch.tensor(last or [0], device=device)
        spans = [(row.adapter, segment.begin, segment.length) for row, segment in segments]
        with running(step), adapters.chosen(spans):
            output = self._forward(
                input_ids=torch.tensor([tokens], device=device),
                position_ids=step.positions,
                use_cache=True,
                **{self._cache_name: self._cache},
                **({"logits_to_keep": keep} if self._selects else {}),
            )
        for row, segment in segments:
            self._kept[row.slot].extend(tokens[segment.begin : segment.begin + segment.length])
            row.read += segment.length
        logits = output.logits[0]
        logits = logits if self._selects else logits[keep]
        return ready, logits[: len(ready)]

    def embed(self, texts: Sequence[list[int]], *, adapter: str = "") -> list[torch.Tensor]:
        """For each text the mean of its tokens' vectors in the last layer."""
        segments, begin = [], 0
        for ids in texts:
            segments.append(Segment(begin, len(ids), 0, 0))
            begin += len(ids)
        step = Step(None, segments, device=self._model.device, dtype=self._model.dtype)
        tokens = [token for ids in texts for token in ids]
        with running(step), adapters.chosen([(adapter, 0, len(tokens))]):
            hidden = self._model.base_model(
                input_ids=torch.tensor([tokens], device=self._model.device),
                position_ids=step.positions,
                use_cache=False,
            ).last_hidden_state[0]
        parts = (hidden[segment.begin : segment.begin + segment.length] for segment in segments)
        return [part.float().mean(0) for part in parts]

    def logits(self, ids: Sequence[int], first: int, last: int, *, adapter: str = "") -> torch.Tensor:
        """Behind each of the tokens `ids[first:last]`, which follow what is before them: (last - first, vocabulary)."""
        device = self._model.device
        step = Step(None, [Segment(0, last, 0, 0)], device=device, dtype=self._model.dtype)
        keep = torch.arange(first, last, device=device)
        with running(step), adapters.chosen([(adapter, 0, last)]):
            output = self._model(
                input_ids=torch.tensor([ids[:last]], device=device),
                position_ids=step.positions,
                use_cache=False,
                **({"logits_to_keep": keep} if self._selects else {}),
            )
        found: torch.Tensor = output.logits[0]
        return found if self._selects else found[keep]

    def _known(self, slot: int, row: Row) -> int:
        """Tokens that the row's prompt begins with and whose K/V lie in `slot`; the last one must be run anyway."""
        if self._owner[slot] != row.adapter:
            return 0
        count = 0
        for mine, kept in zip(row.ids[:-1], self._kept[slot], strict=False):
            if mine != kept:
                break
            count += 1
        return count

    def _plan(self) -> tuple[list[tuple[Row, Segment]], list[int], list[Row], list[int]]:
        """What this step runs: segments, their tokens, the rows that will have logits, and where those are."""
        segments: list[tuple[Row, Segment]] = []
        tokens: list[int] = []
        ready: list[Row] = []
        last: list[int] = []
        answering = sorted((row for row in self._rows if row.unread == 1), key=lambda row: row.slot)
        reading = [row for row in self._rows if row.unread > 1]
        for row in (*answering, *reading):
            room = self._step_tokens - len(tokens)
            length = min(row.unread, room)
            if length <= 0:
                break
            segments.append((row, Segment(len(tokens), length, row.slot, row.read)))
            tokens += row.ids[row.read : row.read + length]
            if length == row.unread:
                ready.append(row)
                last.append(len(tokens) - 1)
        return segments, tokens, ready, last


class running:  # noqa: N801 - a context manager that reads as a word
    """The step that the model's attention belongs to, in this thread."""

    def __init__(self, step: Step):
        self._step = step

    def __enter__(self) -> None:
        _running.step = self._step

    def __exit__(self, *exception: object) -> None:
        _running.step = None


def takes(model: Any, name: str) -> bool:
    """Whether the model's forward has a parameter of this name."""
    import inspect

    return name in inspect.signature(type(model).forward).parameters
