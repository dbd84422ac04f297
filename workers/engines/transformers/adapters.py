"""Several LoRA fine-tunes over one base in memory, mixed in one batch.

Each adapted layer runs its base once for all tokens of a step and then adds, for each adapter that is in the step,
its low-rank product to the tokens of the rows that asked for it. PEFT reads the adapters and finds their layers.
"""

import math
import re
import threading
from collections.abc import Sequence
from typing import Any

import torch

from workers.engines.base import EngineError

_running = threading.local()

# As PEFT writes them.
LORA_KEY = re.compile(r"^base_model\.model\.(?P<path>.+)\.lora_(?P<part>[AB])\.weight$")


class chosen:  # noqa: N801 - a context manager that reads as a word
    """Which adapter each token of a step goes through, in this thread."""

    def __init__(self, spans: Sequence[tuple[str, int, int]]):
        """(adapter or "" for the base, first token, tokens), for all rows of the step."""
        names = {name for name, _, _ in spans}
        # A step of one adapter needs no picking of tokens: None is all of them.
        self._tokens: dict[str, torch.Tensor | None] = {}
        if names == {""} or not names:
            return
        for name in names - {""}:
            places = [
                place
                for adapter, begin, length in spans
                if adapter == name
                for place in range(begin, begin + length)
            ]
            self._tokens[name] = None if len(names) == 1 else torch.tensor(places)

    def __enter__(self) -> None:
        _running.tokens = self._tokens

    def __exit__(self, *exception: object) -> None:
        _running.tokens = {}


class Adapted(torch.nn.Module):
    """A linear layer and what adapters add to it."""

    def __init__(self, base: torch.nn.Module):
        super().__init__()
        self.base = base
        self._down: dict[str, torch.Tensor] = {}
        self._up: dict[str, torch.Tensor] = {}

    def add(self, name: str, down: torch.Tensor, up: torch.Tensor, scaling: float) -> None:
        """`down` (rank, inputs), `up` (outputs, rank)."""
        self._down[name] = down.detach()
        self._up[name] = up.detach() * scaling

    def drop(self, name: str) -> None:
        self._down.pop(name, None)
        self._up.pop(name, None)

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = self.base(states)
        for name, tokens in getattr(_running, "tokens", {}).items():
            if name not in self._down:
                continue
            down, up = self._down[name].to(states.device), self._up[name].to(states.device)
            if tokens is None:
                result = result + ((states.to(down.dtype) @ down.T) @ up.T).to(result.dtype)
            else:  # (1, tokens, size): the rows of a step lie end to end
                tokens = tokens.to(states.device)
                added = (states[0, tokens].to(down.dtype) @ down.T) @ up.T
                result = result.index_add(1, tokens, added[None].to(result.dtype))
        return result


def attach(model: Any, adapters: Sequence[tuple[str, str]]) -> None:
    """Put `adapters` (name, folder or hub name) over `model`, in whose layers they then are."""
    try:
        from peft import PeftModel
    except ImportError as error:
        raise EngineError("adapters need the package peft: bin/up --install-only --extra hf.") from error
    wrapped: Any = None
    for name, source in adapters:
        try:
            if wrapped is None:
                wrapped = PeftModel.from_pretrained(model, source, adapter_name=_key(name))
            else:
                wrapped.load_adapter(source, adapter_name=_key(name))
        except (OSError, ValueError, KeyError, RuntimeError) as error:
            raise _unfit(name, source, error) from error
    _check(wrapped, adapters)
    _replace(model, {_key(name): name for name, _ in adapters})


class Graft:
    """An adapter that is put over a model which runs already: read first, then laid over it in one moment."""

    def __init__(self, name: str, source: str):
        """Raises `EngineError` when `source` (folder or hub name) holds no plain LoRA."""
        try:
            from peft import PeftConfig
            from peft.utils.save_and_load import load_peft_weights
        except ImportError as error:
            raise EngineError("adapters need the package peft: bin/up --install-only --extra hf.") from error
        self.name, self._source = name, source
        try:
            self._config: Any = PeftConfig.from_pretrained(source)
            tensors = load_peft_weights(source, device="cpu")
        except (OSError, ValueError, KeyError, RuntimeError, TypeError) as error:
            raise self._refusal(error) from error
        _check_plain(name, self._config)
        self._parts: dict[str, dict[str, torch.Tensor]] = {}
        for key, tensor in tensors.items():
            found = LORA_KEY.match(key)
            if found is None:
                raise EngineError(f"adapter {name}: it changes {key}, which is no linear layer.")
            self._parts.setdefault(found["path"], {})[found["part"]] = tensor

    def lay_over(self, model: Any) -> None:
        """All of it or, with an `EngineError`, nothing. Between two steps of the model."""
        layers = {path: self._layer(model, path, parts) for path, parts in self._parts.items()}
        for path, layer in layers.items():
            if not isinstance(layer, Adapted):
                parent, _, child = path.rpartition(".")
                adapted = Adapted(layer)
                setattr(model.get_submodule(parent), child, adapted)
                layer = adapted
            parts = self._parts[path]
            layer.add(self.name, parts["A"], parts["B"], self._scaling(path, parts["A"].shape[0]))

    def _layer(self, model: Any, path: str, parts: dict[str, torch.Tensor]) -> torch.nn.Module:
        try:
            layer: torch.nn.Module = model.get_submodule(path)
        except AttributeError as error:
            raise self._refusal(error) from error
        base: Any = layer.base if isinstance(layer, Adapted) else layer
        shape = (getattr(base, "out_features", None), getattr(base, "in_features", None))
        if set(parts) != {"A", "B"} or shape != (parts["B"].shape[0], parts["A"].shape[1]):
            raise self._refusal(ValueError(f"{path} has another shape"))
        return layer

    def _scaling(self, path: str, rank: int) -> float:
        patterns: dict[str, float] = self._config.alpha_pattern or {}
        alpha = next(
            (value for key, value in patterns.items() if re.match(rf"(.*\.)?({key})$", path)),
            self._config.lora_alpha,
        )
        return float(alpha / (math.sqrt(rank) if self._config.use_rslora else rank))

    def _refusal(self, error: Exception) -> EngineError:
        return _unfit(self.name, self._source, error)


def take_off(model: Any, name: str) -> None:
    """Free an adapter's weights. Its layers stay, and cost nothing without it."""
    for module in model.modules():
        if isinstance(module, Adapted):
            module.drop(name)


def _unfit(name: str, source: str, error: Exception) -> EngineError:
    first = str(error).strip().splitlines()[0].rstrip(".") if str(error).strip() else "unreadable"
    return EngineError(f"adapter {name}: {source} cannot be put over this base ({first[:200]}).")


def _key(name: str) -> str:
    """PEFT makes the name a part of a module's path, which a dot would divide."""
    return name.replace(".", "_").replace("/", "_").replace(":", "_")


def _check(wrapped: Any, adapters: Sequence[tuple[str, str]]) -> None:
    for name, _ in adapters:
        _check_plain(name, wrapped.peft_config[_key(name)])


def _check_plain(name: str, config: Any) -> None:
    kind = str(getattr(config.peft_type, "value", config.peft_type))
    if kind != "LORA" or getattr(config, "use_dora", False) or getattr(config, "modules_to_save", None):
        what = "DoRA" if getattr(config, "use_dora", False) else kind
        what = "whole layers beside LoRA" if getattr(config, "modules_to_save", None) else what
        raise EngineError(
            f"adapter {name}: it holds {what}, and only plain LoRA shares a base. Merge it into its base first."
        )


def _replace(model: Any, names: dict[str, str]) -> None:
    """Ours in the place of PEFT's layers, which know one adapter for all of a sequence."""
    from peft.tuners.lora import LoraLayer

    layers = [(path, module) for path, module in model.named_modules() if isinstance(module, LoraLayer)]
    for path, layer in layers:
        adapted = Adapted(layer.get_base_layer())
        if not layer.lora_A:
            raise EngineError(
                f"adapter {next(iter(names.values()))}: it changes {path}, which is no linear layer."
            )
        for key in layer.lora_A:
            adapted.add(names[key], layer.lora_A[key].weight, layer.lora_B[key].weight, layer.scaling[key])
        parent, _, child = path.rpartition(".")
        setattr(model.get_submodule(parent), child, adapted)
