"""Quicker matrix products for the CPU. What was measured and what was left out: docs/design/transformers-engine.md.

* `Joined`: layers that read the same states, as one product.
* `Packed`: the same numbers as `torch.nn.Linear`, with the weights laid out once as oneDNN reads them.
* `Int8`: weights of 8 bits with a scale for each output, inputs of 8 bits with a scale for each token, so that a
row's   answer does not depend on what else is in the batch.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

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
        result = torch.mul(torch._int_mm(rounded, self._weight.T), self._scale).mul_(scale)
        if large is not None:
            result.addmm_(large, self._kept)
        if self._bias is not None:
            result += self._bias
        return result.to(states.dtype).view(*states.shape[:-1], self.out_features)


class Joined:
    """Layers that are always asked about the same states (queries, keys and values; gate and up) as one product."""

    def __init__(self, layer: "Packed | Int8", sizes: Sequence[int]):
        self.layer = layer
        self._sizes = list(sizes)
        self._states: torch.Tensor | None = None
        self._results: list[torch.Tensor | None] = []

    def part(self, number: int, states: torch.Tensor) -> torch.Tensor:
        """The result of one of them. The first one that is asked works for all."""
        # By identity, which is certain while the states are held here.
        if states is not self._states:
            self._states = states
            self._results = list(self.layer(states).split(self._sizes, -1))
        result = self._results[number]
        if result is None:  # asked twice about the same
            result = self.layer(states).split(self._sizes, -1)[number]
        self._results[number] = None
        if not any(kept is not None for kept in self._results):
            self._states = None
        return result


class Part(torch.nn.Module):
    """One of the layers that are joined, in its own place."""

    def __init__(self, joined: Joined, number: int, linear: torch.nn.Linear):
        super().__init__()
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self.layer = joined.layer  # so that its weights are found
        self._joined, self._number = joined, number

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        return self._joined.part(self._number, states)


class Seen(NamedTuple):
    """What a look at a model that reads something has shown, by the paths of its linear layers."""

    columns: dict[str, torch.Tensor]
    """Inputs that are `LARGE` times the usual."""
    siblings: list[list[str]]
    """Layers of one parent that were asked about the very same states."""


def look(model: Any, run: Callable[[], Any]) -> Seen:
    """Have the model read something and look at its linear layers meanwhile."""
    most: dict[str, torch.Tensor] = {}
    asked: dict[tuple[str, int], list[str]] = {}
    held = []  # an identity is certain while its object lives

    def note(path: str, states: torch.Tensor) -> None:
        held.append(states)
        most[path] = states.reshape(-1, states.shape[-1]).abs().amax(0).float()
        asked.setdefault((path.rpartition(".")[0], id(states)), []).append(path)

    hooks = [
        module.register_forward_pre_hook(lambda _, given, path=path: note(path, given[0]))
        for path, module in model.named_modules()
        if type(module) is torch.nn.Linear
    ]
    try:
        run()
    finally:
        for hook in hooks:
            hook.remove()
    columns = {path: (large > LARGE * large.median()).nonzero()[:, 0] for path, large in most.items()}
    groups = (list(dict.fromkeys(paths)) for paths in asked.values())
    return Seen(columns, [paths for paths in groups if len(paths) > 1])


def quicken(model: Any, *, int8: bool, seen: Seen | None = None) -> None:
    """Replace the model's linear layers by those of the CPU.

    An embedding that shares its weights with the output layer keeps them: it is looked up and not multiplied.
    """
    seen = seen or Seen({}, [])
    # Adapters put a layer one deeper than where it was looked at.
    found = {
        path.removesuffix(".base"): path for path, module in model.named_modules() if _can_be_quicker(module)
    }
    for paths in seen.siblings:
        if all(path in found for path in paths):
            _join(model, [found.pop(path) for path in paths], int8=int8, columns=seen.columns.get(paths[0]))
    for path, place in found.items():
        linear = model.get_submodule(place)
        _put(model, place, Int8(linear, seen.columns.get(path)) if int8 else Packed(linear))


def _can_be_quicker(module: torch.nn.Module) -> bool:
    return (
        type(module) is torch.nn.Linear
        and module.weight.numel() >= SMALLEST
        and module.weight.device.type == "cpu"
        and module.weight.dtype in {torch.float32, torch.bfloat16}
    )


def _join(model: Any, places: Sequence[str], *, int8: bool, columns: torch.Tensor | None) -> None:
    linears = [model.get_submodule(place) for place in places]
    whole = torch.nn.Linear(1, 1, bias=False)
    whole.in_features, whole.out_features = linears[0].in_features, sum(one.out_features for one in linears)
    whole.weight = torch.nn.Parameter(
        torch.cat([one.weight.detach() for one in linears]), requires_grad=False
    )
    biases = [one.bias for one in linears]
    if any(bias is not None for bias in biases):
        each = [one.weight.new_zeros(one.out_features) if one.bias is None else one.bias for one in linears]
        whole.bias = torch.nn.Parameter(torch.cat([bias.detach() for bias in each]), requires_grad=False)
    joined = Joined(Int8(whole, columns) if int8 else Packed(whole), [one.out_features for one in linears])
    for number, (place, linear) in enumerate(zip(places, linears, strict=True)):
        _put(model, place, Part(joined, number, linear))


def _put(model: Any, place: str, module: torch.nn.Module) -> None:
    parent, _, child = place.rpartition(".")
    setattr(model.get_submodule(parent), child, module)


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
