"""How long a training will take, told before it starts: one true row is timed, and the rest follows from the tokens.

An estimate: evaluations and saving come on top. The run itself tells the time left at each log.
"""

import math
import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch

CHECKPOINTING = 4 / 3
"""Forward and backward are one and two parts; with activation checkpointing there is one forward more."""
Inputs = Mapping[str, torch.Tensor]


class Duration(NamedTuple):
    steps: int
    tokens: int
    """That are computed, on all devices."""
    seconds: float

    def as_dict(self) -> dict[str, Any]:
        return {"steps": self.steps, "tokens": self.tokens, "seconds": round(self.seconds, 1)}


def estimate(lengths: Sequence[int], training: Any, tokens_per_second: float) -> Duration:
    """`lengths` of an epoch's rows; `tokens_per_second` of one device."""
    count = steps(len(lengths), training)
    per_step = training.per_device_train_batch_size * training.gradient_accumulation_steps
    if training.max_steps > 0:
        rows = float(count * per_step * training.world_size)
    else:
        rows = len(lengths) * training.num_train_epochs
    tokens = rows * sum(lengths) / len(lengths)
    return Duration(count, round(tokens), tokens / tokens_per_second / training.world_size)


def steps(rows: int, training: Any) -> int:
    """As `Trainer` counts them."""
    if training.max_steps > 0:
        return int(training.max_steps)
    batches = math.ceil(rows / (training.per_device_train_batch_size * training.world_size))
    return math.ceil(math.ceil(batches / training.gradient_accumulation_steps) * training.num_train_epochs)


def speed(model: Any, inputs: Inputs, tokens: int, *, checkpointing: bool) -> float:
    """Tokens a second, forward and backward; `inputs` with labels hold `tokens` of them. Leaves no gradients behind.

    The second of two passes counts: the first one wakes up kernels and memory.
    """
    _pass(model, inputs)
    seconds = _pass(model, inputs)
    model.zero_grad(set_to_none=True)
    return tokens / seconds / (CHECKPOINTING if checkpointing else 1.0)


def in_words(seconds: float) -> str:
    """Roughly: nobody wants the seconds of hours."""
    minutes, hours = seconds / 60, seconds / 3600
    if minutes < 1.5:
        return f"about {max(1, round(seconds))} seconds"
    if hours < 1.5:
        return f"about {round(minutes)} minutes"
    return f"about {round(hours, 1):g} hours" if hours < 48 else f"about {round(hours / 24, 1):g} days"


def _pass(model: Any, inputs: Inputs) -> float:
    device = next(model.parameters()).device
    given = {name: value.to(device) for name, value in inputs.items()}
    started = time.perf_counter()
    model(**given, use_cache=False).loss.backward()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return max(time.perf_counter() - started, 1e-9)
