"""Quicker matrix products for the CPU. What was measured and what was left out: docs/design/transformers-engine.md.

* `Packed`: the same numbers as `torch.nn.Linear`, with the weights laid out once as oneDNN reads them.
* `Int8`: weights of 8 bits with a scale for each output, inputs of 8 bits with a scale for each token, so that a
row's   answer does not depend on what else is in the batch.
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch

# Layers with fewer weights than this gain nothing.
SMALLEST = 4096
LARGE = 50.0


class Packed(torch.nn.Module):
    """A linear layer whose weights oneDNN has laid out."""

    def __init__(self, linear: torch.nn.Linear):
        super().__init__()
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self._packed = torch.ops.mkldnn._reorder_linear_weight(linear.weight.detach())
        self._bias = None if linear.bias is None else linear.bias.detach()

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = torch.ops.mkldnn._linear_pointwise(
            states, self._packed, self._bias, "none", [], ""
        )
        return result


class Int8(torch.nn.Module):
    """A linear layer in 8 bits, but for the `columns`: inputs that are far larger than the others stay as they are.

    With one of those among them, all others of a token would be rounded to nothing (the idea is LLM.int8()'s,
    arXiv:2208.07339; here the columns are found once, when the model is loaded).
    """

    def __init__(self, linear: torch.nn.Linear, columns: torch.Tensor | None = None):
        super().__init__()
        self.in_features, self.out_features = linear.in_features, linear.out_features
        weight = linear.weight.detach().float()
        self._columns = columns if columns is not None and len(columns) else None
        if self._columns is not None:
            self._kept = weight[:, self._columns].T.contiguous()  # (columns, outputs)
            weight = weight.index_fill(1, self._columns, 0)
        scale = (weight.abs().amax(1) / 127).clamp_(min=1e-12)
        self._weight = (weight / scale[:, None]).round_().to(torch.int8)  # (outputs, inputs)
        self._scale = scale
        self._bias = None if linear.bias is None else linear.bias.detach().float()

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        flat = states.reshape(-1, self.in_features)
        large = None
        if self._columns is not None:
            large = flat[:, self._columns].float()
            flat = flat.index_fill(1, self._columns, 0)
        scale = flat.abs().amax(1, keepdim=True).float().div_(127).clamp_(min=1e-12)
        rounded = (flat / scale).round_().to(torch.int8)
        result = torch._int_mm(rounded, self._weight.T).float().mul_(self._scale).mul_(scale)
        if large is not None:
            result.addmm_(large, self._kept)
        if self._bias is not None:
            result += self._bias
        return result.to(states.dtype).view(*states.shape[:-1], self.out_features)


def large_columns(model: Any, run: Callable[[], Any]) -> dict[str, torch.Tensor]:
    """The inputs of each linear layer that are `LARGE` times the usual while `run` has the model read something."""
    seen: dict[str, torch.Tensor] = {}

    def look(path: str, states: torch.Tensor) -> None:
        seen[path] = states.reshape(-1, states.shape[-1]).abs().amax(0).float()

    hooks = [
        module.register_forward_pre_hook(lambda _, given, path=path: look(path, given[0]))
        for path, module in model.named_modules()
        if type(module) is torch.nn.Linear
    ]
    try:
        run()
    finally:
        for hook in hooks:
            hook.remove()
    return {path: (most > LARGE * most.median()).nonzero()[:, 0] for path, most in seen.items()}


def quicken(model: Any, *, int8: bool, columns: Mapping[str, torch.Tensor] | None = None) -> None:
    """Replace the model's linear layers by those of the CPU. `columns`: see `large_columns`.

    An embedding that shares its weights with the output layer keeps them: it is looked up and not multiplied.
    """
    for path, module in list(model.named_modules()):
        if type(module) is not torch.nn.Linear or module.weight.numel() < SMALLEST:
            continue
        if module.weight.device.type != "cpu" or module.weight.dtype not in {torch.float32, torch.bfloat16}:
            continue
        parent, _, child = path.rpartition(".")
        # Adapters put a layer one deeper than where it was looked at.
        large = (columns or {}).get(path.removesuffix(".base"))
        setattr(model.get_submodule(parent), child, Int8(module, large) if int8 else Packed(module))


def weights_bytes(model: Any) -> int:
    """Of all weights, shared ones once."""
    tensors = {id(tensor): tensor for tensor in (*model.parameters(), *model.buffers())}
    for module in model.modules():
        for name in ("_weight", "_packed"):
            if isinstance(tensor := getattr(module, name, None), torch.Tensor):
                tensors[id(tensor)] = tensor
    return sum(_bytes(tensor) for tensor in tensors.values())


def _bytes(tensor: torch.Tensor) -> int:
    return tensor.numel() * tensor.element_size()


def compile_parts(model: Any) -> None:
    """torch.compile the blocks that are the same at every step; attention and its cache change their shapes."""
    for module in model.modules():
        name = type(module).__name__.lower()
        if name.endswith(("mlp", "rmsnorm", "feedforward")):
            module.compile(dynamic=True)
