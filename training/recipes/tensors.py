"""Batches of `training.data.packing` as a model's arguments."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from training.data.masking import Example
from training.data.packing import Batch, Layout, block_mask, collate, flatten


def model_inputs(batch: Batch, layout: Layout, *, attention: str, windowed: bool) -> dict[str, torch.Tensor]:
    """What `model(**inputs)` takes; the model must run with `use_cache=False`.

    `attention` is the model's implementation (sdpa, eager, flash_attention_2, …); `windowed`: some layers see only
    so many tokens back. Rows of several examples get a mask of blocks; where transformers has to make its own masks (a
    window, variable lengths) it gets none, and tells the borders by positions that start afresh.
    """
    inputs = {
        "input_ids": torch.from_numpy(batch.ids),
        "labels": torch.from_numpy(batch.labels),
        "position_ids": torch.from_numpy(batch.positions),
    }
    if layout == "padded":
        inputs["attention_mask"] = torch.from_numpy((batch.segments > 0).astype(np.int64))
    elif layout == "rows" and not windowed and attention in ("sdpa", "eager"):
        seen = torch.from_numpy(block_mask(batch.segments))
        inputs["attention_mask"] = seen if attention == "sdpa" else _added(seen)
    return inputs


def is_windowed(config: Any) -> bool:
    """Whether a model's configuration has layers with a sliding window."""
    kinds = getattr(config, "layer_types", None) or ()
    return any("full" not in str(kind) for kind in kinds) or (
        not kinds and bool(getattr(config, "sliding_window", None))
    )


def _added(seen: torch.Tensor) -> torch.Tensor:
    """As a term of the attention's scores: 0 where it is seen."""
    return torch.zeros(seen.shape).masked_fill_(~seen, torch.finfo(torch.float32).min)


@torch.no_grad()
def losses(model: Any, examples: Sequence[Example], layout: Layout, *, pad: int) -> float:
    """The mean loss over the supervised tokens of `examples`: all in one row, or (`padded`) each in its own."""
    make = flatten if layout == "flat" else collate
    rows: Any = examples if layout == "flat" else [examples] if layout == "rows" else [[e] for e in examples]
    batch = make(rows, pad=pad)
    config = getattr(model, "config", None)
    inputs = model_inputs(
        batch,
        layout,
        attention=getattr(config, "_attn_implementation", "sdpa") or "sdpa",
        windowed=is_windowed(config),
    )
    device = next(model.parameters()).device
    was_training = model.training
    model.eval()
    try:
        output = model(**{name: value.to(device) for name, value in inputs.items()}, use_cache=False)
    finally:
        model.train(was_training)
    return float(output.loss)
