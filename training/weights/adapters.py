"""Merges a LoRA adapter into its base: W + scale · B A, tensor by tensor, without loading either model.

Source of the file format and the scale: PEFT's documentation, "LoRA" (`adapter_config.json`, `lora_alpha / r`, and
`lora_alpha / sqrt(r)` with `use_rslora`).
"""

import math
import re
from pathlib import Path
from typing import Any, NamedTuple

import torch

from training.weights.errors import WeightsError
from training.weights.files import json_of
from training.weights.shards import Reader, Writer, dtype_named, with_progress
from training.weights.telling import Say, quiet

PREFIX = "base_model.model."
# What an adapter's tensor is called behind the name of its module.
LINEAR = re.compile(r"(?P<module>.+)\.lora_(?P<side>[AB])(\.\w+)?\.weight")
EMBEDDING = re.compile(r"(?P<module>.+)\.lora_embedding_(?P<side>[AB])(\.\w+)?")


class Pair(NamedTuple):
    """The two factors of a module's update."""

    a: torch.Tensor
    b: torch.Tensor
    embedding: bool


def merge(base: Path, adapter: Path, target: Path, *, dtype: str = "", say: Say = quiet) -> int:
    """Write `target` = `base` with `adapter` merged in; how many tensors changed. Raises `WeightsError`.

    The sum is made in float32 and kept in the base's precision, or in `dtype`.
    """
    config = _checked(json_of(adapter / "adapter_config.json"), adapter)
    factors = Reader(adapter)
    pairs = _pairs(factors)
    whole = {_plain(name): name for name in factors.names if not _is_factor(name)}
    bases = Reader(base)
    _check_places(bases, [*(f"{module}.weight" for module in pairs), *whole])
    with Writer(target) as writer:
        writer.copy_companions(base)
        for name in with_progress(bases.names, say):
            tensor = bases.get(name)
            module = name.removesuffix(".weight")
            kind = dtype_named(dtype) if dtype else tensor.dtype
            if name in whole:
                tensor = factors.get(whole[name])
            elif name.endswith(".weight") and module in pairs:
                tensor = tensor.float() + _update(pairs[module], config, module)
            writer.add(name, tensor.to(kind) if tensor.is_floating_point() else tensor)
    return len(pairs) + len(whole)


def _update(pair: Pair, config: dict[str, Any], module: str) -> torch.Tensor:
    rank = pair.a.shape[0]
    alpha = _of_pattern(config.get("alpha_pattern"), module, config["lora_alpha"])
    scale = alpha / (math.sqrt(rank) if config.get("use_rslora") else rank)
    product = scale * (pair.b.float() @ pair.a.float())
    return product.T if pair.embedding or config.get("fan_in_fan_out") else product


def _of_pattern(patterns: Any, module: str, default: float) -> float:
    """A module's own value: the key is the end of its name, or a regular expression for it."""
    for key, value in (patterns or {}).items():
        if re.fullmatch(rf"(.*\.)?({key})", module):
            return float(value)
    return float(default)


def _pairs(factors: Reader) -> dict[str, Pair]:
    halves: dict[str, dict[str, str]] = {}
    embeddings = set()
    for name in factors.names:
        linear, embedding = LINEAR.fullmatch(name), EMBEDDING.fullmatch(name)
        if found := linear or embedding:
            module = _plain(found["module"])
            halves.setdefault(module, {})[found["side"]] = name
            if embedding:
                embeddings.add(module)
    for module, sides in halves.items():
        if sides.keys() != {"A", "B"}:
            raise WeightsError(
                f"{factors.folder}: the adapter has only one half of {module}; it is incomplete."
            )
    return {
        module: Pair(factors.get(sides["A"]), factors.get(sides["B"]), module in embeddings)
        for module, sides in halves.items()
    }


def _is_factor(name: str) -> bool:
    return bool(LINEAR.fullmatch(name) or EMBEDDING.fullmatch(name))


def _plain(name: str) -> str:
    """The base's name for it. What is trained as a whole (`modules_to_save`) has another prefix in its middle."""
    return name.removeprefix(PREFIX).replace(".modules_to_save.default", "").replace(".base_layer", "")


def _checked(config: dict[str, Any], adapter: Path) -> dict[str, Any]:
    kind = config.get("peft_type")
    if kind != "LORA":
        raise WeightsError(f"{adapter} is no LoRA adapter (adapter_config.json says {kind or 'nothing'}).")
    for option in ("use_dora", "use_qalora", "megatron_config", "layer_replication"):
        if config.get(option):
            raise WeightsError(
                f"{adapter}: adapters with {option} cannot be merged here; merge it with PEFT."
            )
    if config.get("bias", "none") != "none":
        raise WeightsError(
            f"{adapter}: an adapter that trained biases cannot be merged here; merge it with PEFT."
        )
    if not isinstance(config.get("lora_alpha"), int | float):
        raise WeightsError(f"{adapter}: adapter_config.json says no lora_alpha.")
    return config


def _check_places(bases: Reader, names: list[str]) -> None:
    if lost := [name for name in names if name not in bases]:
        raise WeightsError(
            f"{bases.folder} has no {lost[0]}, which the adapter changes ({len(lost)} such): it is of another base."
        )
    if not names:
        raise WeightsError("The adapter changes nothing.")
