"""Which layout of the rows learns fastest here: measured in supervised tokens per second on a few true batches."""

import time
from collections.abc import Sequence
from typing import Any

import torch

from training.data.masking import Example
from training.data.packing import IGNORED, LAYOUTS, Layout
from training.recipes.rows import Collator, RowSet

BATCHES = 2
WORTH = 30
"""How many times the probe's own tokens a training must have, for the probe to pay."""


def candidates(attention: str) -> tuple[Layout, ...]:
    """One long row needs a kernel of variable lengths; on others its mask grows with the square of the batch."""
    return LAYOUTS if attention.startswith("flash") else ("padded", "rows")


def pays(tokens: float, *, max_length: int, batch_size: int) -> bool:
    """Whether a training over so many tokens is long enough to be measured first."""
    return tokens >= WORTH * (BATCHES + 1) * 2 * max_length * batch_size


def choose(
    model: Any,
    examples: Sequence[Example],
    *,
    max_length: int,
    batch_size: int,
    pad: int,
    attention: str,
    windowed: bool,
    seed: int,
) -> tuple[Layout, dict[str, float]]:
    """The layout, and what each one reached (supervised tokens per second). Leaves no gradients behind."""
    found = {}
    for layout in candidates(attention):
        collator = Collator(layout, pad, attention, windowed)
        rows = RowSet(examples, layout, max_length, seed=seed)
        found[layout] = _speed(model, _batches(rows, batch_size), collator)
    model.zero_grad(set_to_none=True)
    return max(found, key=lambda layout: found[layout]), {
        name: round(value, 1) for name, value in found.items()
    }


def _batches(rows: RowSet, size: int) -> list[list[list[Example]]]:
    """Some that stand for all: rows of like length, of lengths spread over the set."""
    order = sorted(range(len(rows)), key=lambda index: rows.lengths[index])
    starts = [round(part * max(0, len(order) - size)) for part in (0.5, 0.9, 0.1)][: BATCHES + 1]
    return [[rows[index] for index in order[start : start + size]] for start in starts]


def _speed(model: Any, batches: list[list[list[Example]]], collator: Collator) -> float:
    device = next(model.parameters()).device
    supervised, seconds = 0, 0.0
    for number, batch in enumerate(batches):
        inputs = {name: value.to(device) for name, value in collator(batch).items()}
        started = time.perf_counter()
        model(**inputs, use_cache=False).loss.backward()
        if device.type == "cuda":
            torch.cuda.synchronize()
        if number:  # the first one warms up
            seconds += time.perf_counter() - started
            supervised += int((inputs["labels"][:, 1:] != IGNORED).sum())
    return supervised / seconds if seconds else 0.0
