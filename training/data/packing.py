"""Rows for the model out of examples of every length, without waste and without letting one see another.

Three layouts, all with the same loss:

* `padded`: one example a row, rows of like length together.
* `rows`: several examples a row (B, L); positions start afresh with each, and a block mask parts them. For kernels that
  take a dense mask (SDPA, eager): a row's mask is L², where one long row of all would need (B·L)².
* `flat`: all examples of a batch in one row (1, B·L), for kernels with variable lengths (flash attention), which tell
  the borders by the positions.
"""

from bisect import bisect_left, insort
from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from training.data.masking import Example

IGNORED = -100
"""The label of a token without loss, as torch's cross entropy has it."""

Layout: TypeAlias = Literal["padded", "rows", "flat"]
LAYOUTS: tuple[Layout, ...] = ("padded", "rows", "flat")
Int64 = npt.NDArray[np.int64]


class Batch(NamedTuple):
    """(B, L) each."""

    ids: Int64
    labels: Int64
    positions: Int64
    segments: Int64
    """Which example of its row a token belongs to, from 1; 0 is padding."""

    @property
    def supervised(self) -> int:
        """Tokens that carry loss; the first of a row predicts nothing and is predicted by nothing."""
        return int((self.labels[:, 1:] != IGNORED).sum())

    @property
    def padding(self) -> int:
        return int((self.segments == 0).sum())


def bins(lengths: Sequence[int], capacity: int) -> list[list[int]]:
    """Indices of `lengths` in bins of `capacity`: best fit, longest first; at most 11/9 of the fewest bins + 1.

    O(n log n). A length over the capacity raises `ValueError`: who packs has cut already.
    """
    if lengths and max(lengths) > capacity:
        raise ValueError(f"An example of {max(lengths)} tokens does not fit into rows of {capacity}.")
    order = sorted(range(len(lengths)), key=lambda index: -lengths[index])
    rooms: list[tuple[int, int]] = []  # (room left, bin), rising
    filled: list[list[int]] = []
    for index in order:
        place = bisect_left(rooms, (lengths[index], -1))
        if place == len(rooms):
            filled.append([])
            room, number = capacity, len(filled) - 1
        else:
            room, number = rooms.pop(place)
        filled[number].append(index)
        insort(rooms, (room - lengths[index], number))
    return filled


def plan(lengths: Sequence[int], capacity: int, *, seed: int, window: int = 4096) -> list[list[int]]:
    """Rows of examples for one epoch, in an order that `seed` gives.

    Packed within windows of shuffled examples: so each row is a fair mixture, and the order is new with each epoch.
    """
    source = np.random.default_rng(seed)
    order = source.permutation(len(lengths)).tolist()
    rows: list[list[int]] = []
    for start in range(0, len(order), window):
        part = order[start : start + window]
        rows += [[part[index] for index in row] for row in bins([lengths[index] for index in part], capacity)]
    return [rows[index] for index in source.permutation(len(rows)).tolist()]


def grouped(lengths: Sequence[int], batch: int, *, seed: int, window: int = 50) -> list[list[int]]:
    """Batches of examples of like length, each example once, in an order that `seed` gives.

    Sorted within windows of so many batches: like lengths, and yet other neighbours in each epoch.
    """
    source = np.random.default_rng(seed)
    order = source.permutation(len(lengths)).tolist()
    batches: list[list[int]] = []
    for start in range(0, len(order), batch * window):
        part = sorted(order[start : start + batch * window], key=lambda index: -lengths[index])
        batches += [part[at : at + batch] for at in range(0, len(part), batch)]
    return [batches[index] for index in source.permutation(len(batches)).tolist()]


def rounded(length: int, multiple: int = 8) -> int:
    """Up to what kernels like."""
    return -(-length // multiple) * multiple


def collate(rows: Sequence[Sequence[Example]], *, pad: int, multiple: int = 8, width: int = 0) -> Batch:
    """One row for each list of examples, as wide as the longest (or `width`), rounded up to a `multiple`."""
    widest = max((sum(map(len, row)) for row in rows), default=0)
    length = rounded(max(widest, width), multiple)
    shape = (len(rows), length)
    batch = Batch(
        np.full(shape, pad, np.int64),
        np.full(shape, IGNORED, np.int64),
        np.zeros(shape, np.int64),
        np.zeros(shape, np.int64),
    )
    for number, row in enumerate(rows):
        at = 0
        for segment, example in enumerate(row, start=1):
            _place(batch, number, at, segment, example)
            at += len(example)
        # Padding is an example of its own: its positions start afresh, so that nobody takes it for text.
        batch.positions[number, at:] = np.arange(length - at)
    return batch


def flatten(examples: Sequence[Example], *, pad: int, multiple: int = 8) -> Batch:
    """All examples in one row."""
    return collate([examples], pad=pad, multiple=multiple)


def block_mask(segments: Int64) -> npt.NDArray[np.bool_]:
    """(B, 1, L, L): which token (second last axis) sees which. Causal, and only within its example.

    Padding sees itself, since a row that sees nothing becomes NaN in a softmax.
    """
    length = segments.shape[1]
    same: npt.NDArray[np.bool_] = segments[:, :, None] == segments[:, None, :]
    causal = np.tril(np.ones((length, length), np.bool_))
    return (same & causal)[:, None]


def shares(batches: Iterator[Batch]) -> dict[str, float]:
    """Where the computing goes: tokens that are learnt, that are only read, and padding. Parts of 1."""
    total = supervised = padding = 0
    for batch in batches:
        total += batch.ids.size
        supervised += batch.supervised
        padding += batch.padding
    if not total:
        return {"useful": 0.0, "prompt": 0.0, "padding": 0.0}
    return {
        "useful": supervised / total,
        "prompt": (total - supervised - padding) / total,
        "padding": padding / total,
    }


def _place(batch: Batch, row: int, at: int, segment: int, example: Example) -> None:
    end = at + len(example)
    batch.ids[row, at:end] = example.ids
    batch.labels[row, at:end] = np.where(example.mask, example.ids, IGNORED)
    batch.labels[row, at] = IGNORED  # the token in front of it belongs to another example
    batch.positions[row, at:end] = np.arange(len(example))
    batch.segments[row, at:end] = segment
