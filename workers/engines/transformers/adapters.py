"""Several LoRA fine-tunes over one base in memory, mixed in one batch.

Each adapted layer runs its base once for all tokens of a step and then adds, for each adapter that is in the step,
its low-rank product to the tokens of the rows that asked for it. PEFT reads the adapters and finds their layers.
"""

import threading
from collections.abc import Sequence
from typing import Any

import torch

from workers.engines.base import EngineError

_running = threading.local()


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
        raise EngineError("adapters need the package peft: pip install 'chatsite[hf]'.") from error
    wrapped: Any = None
    for name, source in adapters:
        try:
            if wrapped is None:
                wrapped = PeftModel.from_pretrained(model, source, adapter_name=_key(name))
            else:
                wrapped.load_adapter(source, adapter_name=_key(name))
        except (OSError, ValueError, KeyError, RuntimeError) as error:
            first = str(error).strip().splitlines()[0].rstrip(".") if str(error).strip() else "unreadable"
            raise EngineError(
                f"adapter {name}: {source} cannot be put over this base ({first[:200]})."
            ) from error
    _check(wrapped, adapters)
    _replace(model, {_key(name): name for name, _ in adapters})


def _key(name: str) -> str:
    """PEFT makes the name a part of a module's path, which a dot would divide."""
    return name.replace(".", "_").replace("/", "_").replace(":", "_")


def _check(wrapped: Any, adapters: Sequence[tuple[str, str]]) -> None:
    for name, _ in adapters:
        config = wrapped.peft_config[_key(name)]
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
