"""What a training will need, told before it starts.

It is an estimate: the run itself reports its true peak.
"""

from dataclasses import asdict, dataclass
from typing import Any

import psutil
import torch

from training import memory
from training.recipes.refusals import Refusal

ROOM = 0.95
"""Of what is free, how much may be taken."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """Bytes on one device."""

    weights: int
    gradients: int
    optimizer: int
    activations: int
    logits: int
    free: int
    loaded: int = 0
    """Of the weights, what is on the device already and is not free any more."""

    @property
    def needed(self) -> int:
        return self.weights + self.gradients + self.optimizer + self.activations + self.logits

    @property
    def fits(self) -> bool:
        return self.needed - self.loaded <= self.free * ROOM

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "needed": self.needed, "fits": self.fits}


def estimate(
    model: Any,
    *,
    tokens: int,
    checkpointing: bool,
    mixed: bool,
    shards: int = 1,
    weight_shards: int = 1,
    optimizer_bytes: int = memory.ADAM,
) -> Estimate:
    """For a loaded model with `tokens` in a batch on each device.

    `mixed`: computes in 16 bits. `shards`: devices that share gradients and optimizer; `weight_shards`: the weights.
    `optimizer_bytes`: per trained parameter; Adam keeps two numbers of 32 bits.
    """
    weights = sum(_count(parameter) * parameter.element_size() for parameter in model.parameters())
    weights //= weight_shards
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    gradients = sum(_count(parameter) * parameter.element_size() for parameter in trained)
    states = sum(_count(parameter) for parameter in trained) * optimizer_bytes
    shape = _shape(model)
    return Estimate(
        weights=weights,
        gradients=gradients // shards,
        optimizer=states // shards,
        activations=memory.activations(shape, tokens=tokens, checkpointing=checkpointing, mixed=mixed),
        logits=memory.logits(shape, tokens=tokens),
        free=free_memory(),
        loaded=weights if _is_in_place(model) else 0,
    )


def check(found: Estimate) -> None:
    """Raises `Refusal` when it cannot fit."""
    if found.fits:
        return
    raise Refusal(
        "per_device_train_batch_size",
        f"This needs {_gib(found.needed)} and {_gib(found.free)} are free: "
        f"{_gib(found.optimizer + found.gradients)} for the optimizer and gradients, "
        f"{_gib(found.activations + found.logits)} for a batch. "
        + (
            "A smaller batch or max_length, or --activation_checkpointing True, helps. "
            if _batch_is_most(found)
            else ""
        )
        + "--method lora or qlora trains a hundredth of the parameters. --force True starts anyway.",
    )


def free_memory() -> int:
    if torch.cuda.is_available():
        return int(torch.cuda.mem_get_info()[0])
    return int(psutil.virtual_memory().available)


def peak_memory() -> int:
    """Bytes that this process has used at most, on its device."""
    if torch.cuda.is_available():
        return int(torch.cuda.max_memory_allocated())
    return int(psutil.Process().memory_info().rss)


def _count(parameter: Any) -> int:
    """Of the whole parameter: under ZeRO-3 only a part of it is here from the beginning."""
    return int(getattr(parameter, "ds_numel", 0) or parameter.numel())


def _is_in_place(model: Any) -> bool:
    """Whether the weights lie where the training will be, so that they are not free any more."""
    kinds = {parameter.device.type for parameter in model.parameters()}
    return kinds == {"cuda" if torch.cuda.is_available() else "cpu"}


def _shape(model: Any) -> memory.Shape:
    config = model.config.get_text_config() if hasattr(model.config, "get_text_config") else model.config
    layers = getattr(config, "num_hidden_layers", 0) + getattr(config, "num_decoder_layers", 0)
    hidden = getattr(config, "hidden_size", 0) or getattr(config, "d_model", 0)
    return memory.Shape(layers, hidden, config.vocab_size)


def _batch_is_most(found: Estimate) -> bool:
    return found.activations + found.logits > found.optimizer + found.gradients


def _gib(amount: int) -> str:
    return f"{amount / 2**30:.1f} GiB"
