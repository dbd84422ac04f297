"""What a training will need, told before it starts.

Activations follow Korthikanti et al. (arXiv 2205.05198, eq. 2): 34 bytes per token, layer and hidden unit in 16
bits, without the attention's table (the kernels do not keep it). It is an estimate: the run itself reports its true
peak.
"""

from dataclasses import asdict, dataclass
from typing import Any

import psutil
import torch

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

    @property
    def needed(self) -> int:
        return self.weights + self.gradients + self.optimizer + self.activations + self.logits

    @property
    def fits(self) -> bool:
        # The weights are there already.
        return self.needed - self.weights <= self.free * ROOM

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "needed": self.needed, "fits": self.fits}


def estimate(
    model: Any, *, tokens: int, checkpointing: bool, mixed: bool, shards: int = 1, optimizer_bytes: int = 8
) -> Estimate:
    """For a loaded model with `tokens` in a batch on each device.

    `mixed`: computes in 16 bits. `shards`: devices that share gradients and optimizer. `optimizer_bytes`: per trained
    parameter; Adam keeps two numbers of 32 bits.
    """
    weights = sum(parameter.numel() * parameter.element_size() for parameter in model.parameters())
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    gradients = sum(parameter.numel() * parameter.element_size() for parameter in trained)
    states = sum(parameter.numel() for parameter in trained) * optimizer_bytes
    layers, hidden, vocabulary = _shape(model)
    width = 1 if mixed else 2  # of 16 bits
    per_token = 34 * hidden * width
    kept = layers * 2 * hidden * width + per_token if checkpointing else layers * per_token
    return Estimate(
        weights=weights,
        gradients=gradients // shards,
        optimizer=states // shards,
        activations=tokens * kept,
        # In 32 bits, with their gradients.
        logits=tokens * vocabulary * 4 * 2,
        free=free_memory(),
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


def _shape(model: Any) -> tuple[int, int, int]:
    config = model.config.get_text_config() if hasattr(model.config, "get_text_config") else model.config
    layers = getattr(config, "num_hidden_layers", 0) + getattr(config, "num_decoder_layers", 0)
    return layers, getattr(config, "hidden_size", 0) or getattr(config, "d_model", 0), config.vocab_size


def _batch_is_most(found: Estimate) -> bool:
    return found.activations + found.logits > found.optimizer + found.gradients


def _gib(amount: int) -> str:
    return f"{amount / 2**30:.1f} GiB"
