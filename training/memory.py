"""What a training keeps in memory beside the weights, in numbers alone: for the recipes, which have the model, and for
the web, which has the header of a file and loads no torch.

Activations follow Korthikanti et al. (arXiv 2205.05198, eq. 2): 34 bytes per token, layer and hidden unit in 16
bits, without the attention's table (the kernels do not keep it).
"""

from typing import Final, NamedTuple

ADAM: Final = 8
"""Bytes a trained parameter: two numbers of 32 bits."""


class Shape(NamedTuple):
    layers: int
    hidden: int
    vocabulary: int


def activations(shape: Shape, *, tokens: int, checkpointing: bool, mixed: bool) -> int:
    """Bytes for `tokens` in a batch. `mixed`: computes in 16 bits."""
    width = 1 if mixed else 2  # of 16 bits
    per_token = 34 * shape.hidden * width
    kept = shape.layers * 2 * shape.hidden * width + per_token if checkpointing else shape.layers * per_token
    return tokens * kept


def logits(shape: Shape, *, tokens: int) -> int:
    """Bytes: in 32 bits, with their gradients."""
    return tokens * shape.vocabulary * 4 * 2
