"""What a recipe is told: its own arguments, and all of transformers' `TrainingArguments`.

FastChat's command lines work as they are: its names, and those that transformers has dropped since, are translated
(`translated`), each with a note.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

LAYOUTS = ("auto", "padded", "rows", "flat")
METHODS = ("full", "lora", "qlora")


@dataclass
class Model:
    """What is trained."""

    model: str = field(
        metadata={"help": "The checkpoint: a folder, a GGUF file, package:NAME/FILE or a hub name."}
    )
    template: str = field(
        default="", metadata={"help": "A prompt format (name or file), when not the checkpoint's own."}
    )
    method: str = field(
        default="full", metadata={"help": "full, lora or qlora (4 bits, NF4).", "choices": METHODS}
    )
    attention: str = field(default="sdpa", metadata={"help": "sdpa, eager, flash_attention_2, …"})
    trust_remote_code: bool = field(
        default=False, metadata={"help": "Run code that comes with the checkpoint."}
    )
    weights_type: str = field(
        default="auto", metadata={"help": "float32, bfloat16 or float16; auto: bfloat16 where it is fast."}
    )


@dataclass
class Data:
    """What it is trained on."""

    data: list[str] = field(metadata={"help": "Files as `manage.py data` writes them."})
    eval_data: list[str] = field(default_factory=list, metadata={"help": "Files to measure on."})
    max_length: int = field(default=2048, metadata={"help": "Tokens of a row at most."})
    layout: str = field(
        default="auto",
        metadata={
            "help": "padded (rows of like length), rows (packed), flat (packed, flash attention); auto measures.",
            "choices": LAYOUTS,
        },
    )
    limit: int = field(default=0, metadata={"help": "Use so many conversations; 0 is all."})
    progress: str = field(
        default="", metadata={"help": "Write progress to this file, as JSON lines; '' prints it."}
    )
    sample_prompt: list[str] = field(
        default_factory=list, metadata={"help": "Let the model answer these at each evaluation."}
    )
    force: bool = field(default=False, metadata={"help": "Start although the estimate says it cannot fit."})
    fresh: bool = field(
        default=False,
        metadata={"help": "Begin anew in a folder that holds an unfinished run (default: go on)."},
    )
    estimate_only: bool = field(
        default=False, metadata={"help": "Tell what memory and time it would take, and stop there."}
    )
    early_stopping: int = field(
        default=0, metadata={"help": "Stop after so many evaluations without a better one; 0 never."}
    )


@dataclass
class Adapter:
    """LoRA and its kin."""

    lora_r: int = 8
    lora_alpha: int = 16
    lora_dropout: float = 0.05
    lora_targets: list[str] = field(
        default_factory=lambda: ["all-linear"],
        metadata={"help": "Names of layers, such as q_proj v_proj, or all-linear."},
    )
    lora_bias: str = field(default="none", metadata={"choices": ("none", "all", "lora_only")})
    dora: bool = field(default=False, metadata={"help": "Weight-decomposed LoRA (arXiv 2402.09353)."})
    rslora: bool = field(default=False, metadata={"help": "Rank-stabilised scale (arXiv 2312.03732)."})
    merge: bool = field(
        default=False, metadata={"help": "Write the merged weights as well, to OUTPUT/merged."}
    )


class Note(NamedTuple):
    """What became of an old argument."""

    old: str
    new: str
    """What it was taken for, or why nothing came of it."""


RENAMED = {
    "model_name_or_path": "model",
    "data_path": "data",
    "eval_data_path": "eval_data",
    "model_max_length": "max_length",
    "evaluation_strategy": "eval_strategy",
    "lora_target_modules": "lora_targets",
    "gradient_checkpointing": "activation_checkpointing",
}
WITHOUT_EFFECT = {
    "lazy_preprocess": "rows are made as they are read",
    "preprocessed_path": "nothing is kept between runs",
    "padding_side": "rows are filled up on the right",
    "cache_dir": "set HF_HOME",
    "overwrite_output_dir": "use --fresh",
    "save_safetensors": "weights are always saved as safetensors",
    "logging_dir": "set TENSORBOARD_LOGGING_DIR",
    "fsdp_transformer_layer_cls_to_wrap": "the model names its own layers",
    "num_data": "use --limit",
}


def translated(arguments: Sequence[str]) -> tuple[list[str], list[Note]]:
    """The command line with today's names, and what was changed."""
    notes: list[Note] = []
    result: list[str] = []
    for name, values in _grouped(arguments):
        if not name:
            result += values
            continue
        for new_name, new_values in _translate(name, values, notes):
            result += [f"--{new_name}", *new_values]
    return result, notes


def _grouped(arguments: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
    """Each flag with its values; `--flag=value` counts as a flag with one."""
    name, values = "", list[str]()
    for argument in arguments:
        if not argument.startswith("--") or argument == "--":
            values.append(argument)
            continue
        if name or values:
            yield name, values
        head, sign, value = argument[2:].partition("=")
        name, values = head.replace("-", "_"), [value] if sign else []
    if name or values:
        yield name, values


def _translate(name: str, values: list[str], notes: list[Note]) -> Iterable[tuple[str, list[str]]]:
    if name in WITHOUT_EFFECT:
        notes.append(Note(name, f"has no effect: {WITHOUT_EFFECT[name]}"))
        return []
    if name in RENAMED:
        notes.append(Note(name, f"is --{RENAMED[name]}"))
        return [(RENAMED[name], values)]
    special = _SPECIAL.get(name)
    return special(values, notes) if special else [(name, values)]


def _warmup_ratio(values: list[str], notes: list[Note]) -> list[tuple[str, list[str]]]:
    """A share of all steps; transformers takes a number below 1 as one."""
    notes.append(Note("warmup_ratio", "is --warmup_steps below 1"))
    return [("warmup_steps", values)]


def _group_by_length(values: list[str], notes: list[Note]) -> list[tuple[str, list[str]]]:
    notes.append(Note("group_by_length", "is --layout padded"))
    return [("layout", ["padded"])] if _is_true(values) else []


def _q_lora(values: list[str], notes: list[Note]) -> list[tuple[str, list[str]]]:
    notes.append(Note("q_lora", "is --method qlora"))
    return [("method", ["qlora" if _is_true(values) else "lora"])]


def _flash_attn(values: list[str], notes: list[Note]) -> list[tuple[str, list[str]]]:
    notes.append(Note("flash_attn", "is --attention flash_attention_2"))
    return [("attention", ["flash_attention_2"])] if _is_true(values) else []


def _fsdp(values: list[str], notes: list[Note]) -> list[tuple[str, list[str]]]:
    """Its old form, a list of words, was FSDP 1."""
    words = " ".join(values).lower().split()
    if words and words[0] in ("true", "false", "1", "0"):
        return [("fsdp", values)]
    if not words:
        return []
    settings: dict[str, Any] = {"reshard_after_forward": "shard_grad_op" not in words}
    if "offload" in words:
        settings["cpu_offload"] = True
    notes.append(Note("fsdp", f"is --fsdp True with {json.dumps(settings)} (FSDP 2)"))
    return [("fsdp", ["True"]), ("fsdp_config", [json.dumps(settings)])]


def _is_true(values: list[str]) -> bool:
    return not values or values[0].lower() in ("true", "1", "yes")


_SPECIAL: dict[str, Callable[[list[str], list[Note]], list[tuple[str, list[str]]]]] = {
    "warmup_ratio": _warmup_ratio,
    "group_by_length": _group_by_length,
    "q_lora": _q_lora,
    "flash_attn": _flash_attn,
    "fsdp": _fsdp,
}
