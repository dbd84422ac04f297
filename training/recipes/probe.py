"""Which layout of the rows learns fastest here: measured in supervised tokens per second on a few true batches."""

import time
from collections.abc import Callable, Sequence
from typing import Any

import torch

from training.data.masking import Example
from training.data.packing import LAYOUTS, Layout
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
    clock: Callable[[], float] = time.perf_counter,
) -> tuple[Layout, dict[str, float]]:
    """The layout, and what each one would reach (supervised tokens per second). Leaves no gradients behind.

    Timed is how fast tokens are computed, padding and prompts among them, on a few of the epoch's own batches; what
    part of them is learnt from is counted over all of its batches.
    """
    found = {}
    for layout in candidates(attention):
        collator = Collator(layout, pad, attention, windowed)
        rows = RowSet(examples, layout, max_length, seed=seed)
        plan = rows.batches(batch_size, seed=seed)
        useful = sum(example.supervised for example in examples) / sum(rows.computed(batch) for batch in plan)
        found[layout] = useful * _speed(model, _some(rows, plan), collator, clock)
    model.zero_grad(set_to_none=True)
    return max(found, key=lambda layout: found[layout]), {
        name: round(value, 1) for name, value in found.items()
    }


def _some(rows: RowSet, plan: list[list[int]]) -> list[list[list[Example]]]:
    """Batches that stand for all: of middling, then of much and of little computing."""
    order = sorted(plan, key=rows.computed)
    places = [round(part * (len(order) - 1)) for part in (0.5, 0.9, 0.1)][: BATCHES + 1]
    return [[rows[index] for index in order[place]] for place in places]


def _speed(
    model: Any, batches: list[list[list[Example]]], collator: Collator, clock: Callable[[], float]
) -> float:
    """Tokens a second, whatever they are good for."""
    device = next(model.parameters()).device
    tokens, seconds = 0, 0.0
    for number, batch in enumerate(batches):
        inputs = {name: value.to(device) for name, value in collator(batch).items()}
        started = clock()
        model(**inputs, use_cache=False).loss.backward()
        if device.type == "cuda":
            torch.cuda.synchronize()
        if number:  # the first one warms up
            seconds += clock() - started
            tokens += inputs["input_ids"].numel()
    return tokens / seconds if seconds else 0.0
