"""Quicker matrix products for the CPU. What was measured and what was left out: docs/design/transformers-engine.md.

* `Packed`: the same numbers as `torch.nn.Linear`, with the weights laid out once as oneDNN reads them.
* `Int8`: weights of 8 bits with a scale for each output, inputs of 8 bits with a scale for each token, so that a
row's   answer does not depend on what else is in the batch.
"""

from typing import Any

import torch

# Layers with fewer weights than this gain nothing.
SMALLEST = 4096


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
    """A linear layer in 8 bits."""

    def __init__(self, linear: torch.nn.Linear):
        super().__init__()
        self.in_features, self.out_features = linear.in_features, linear.out_features
        weight = linear.weight.detach().float()
        scale = (weight.abs().amax(1) / 127).clamp_(min=1e-12)
        self._weight = (weight / scale[:, None]).round_().to(torch.int8)  # (outputs, inputs)
        self._scale = scale
        self._bias = None if linear.bias is None else linear.bias.detach().float()

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        flat = states.reshape(-1, self.in_features)
        scale = flat.abs().amax(1, keepdim=True).float().div_(127).clamp_(min=1e-12)
        rounded = (flat / scale).round_().to(torch.int8)
        result = torch._int_mm(rounded, self._weight.T).float().mul_(self._scale).mul_(scale)
        if self._bias is not None:
            result += self._bias
        return result.to(states.dtype).view(*states.shape[:-1], self.out_features)


def quicken(model: Any, *, int8: bool) -> int:
    """Replace the model's linear layers; the bytes of its weights afterwards.

    An embedding that shares its weights with the output layer keeps them: it is looked up and not multiplied.
    """
    kind = Int8 if int8 else Packed
    for path, module in list(model.named_modules()):
        if type(module) is not torch.nn.Linear or module.weight.numel() < SMALLEST:
            continue
        if module.weight.device.type != "cpu" or module.weight.dtype not in {torch.float32, torch.bfloat16}:
            continue
        parent, _, child = path.rpartition(".")
        setattr(model.get_submodule(parent), child, kind(module))
    return weights_bytes(model)


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
