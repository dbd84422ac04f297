"""What an operator may choose for a transformers engine. Pure: knows no torch."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Self

from workers.engine_settings.errors import EngineError

DEVICES = ("cpu", "cuda", "mps", "xpu", "npu")
DTYPES = ("auto", "float32", "float16", "bfloat16")
MEMORY = re.compile(r"^\d+(\.\d+)?\s*(MiB|GiB|MB|GB)$")

WORDS = {
    str: "text",
    bool: "true or false",
    int: "whole number",
    tuple: "mapping of chat model names to adapters",
}


@dataclass(frozen=True, slots=True)
class TransformersOptions:
    """Checked by `checked`; every field has a default that suits most checkpoints."""

    device: str = ""
    """One of `DEVICES`; empty takes the first that is there of cuda, xpu, npu, mps, cpu."""
    dtype: str = "auto"
    """One of `DTYPES`; auto is the checkpoint's own, in float32 where the CPU has no bfloat16 arithmetic."""
    num_gpus: int = 1
    """The layers are spread over so many."""
    max_gpu_memory: str = ""
    """Of each GPU, for example 20GiB; empty is what is free."""
    load_8bit: bool = False
    load_4bit: bool = False
    cpu_offload: bool = False
    """What does not fit on the GPU stays in the machine's memory."""
    attn_implementation: str = ""
    """Of transformers, for example eager or flash_attention_2; empty is the engine's own, which batches best."""
    compile: bool = False
    """torch.compile on the parts that it can help."""
    judge_sent_end: bool = False
    """An answer goes on where it would end in mid-sentence."""
    revision: str = ""
    """Branch, tag or commit on the hub."""
    trust_remote_code: bool = False
    """Run Python files that lie beside the weights."""
    adapter: str = ""
    """Folder or hub name of a PEFT adapter through which this chat model is served; those of one base share it."""
    adapters: tuple[tuple[str, str], ...] = ()
    """(chat model name, folder or hub name of a PEFT adapter), each served over the same base."""

    @classmethod
    def read(cls, given: Mapping[str, Any]) -> Self:
        """From names and values, as the catalog has them. `adapters` maps chat model names to places.

        Raises `EngineError` for a name or a type that means nothing.
        """
        kinds = {field.name: type(field.default) for field in fields(cls)}
        values = dict(given)
        if isinstance(adapters := values.get("adapters"), Mapping):
            values["adapters"] = tuple((str(name), str(place)) for name, place in adapters.items())
        for name, value in values.items():
            if name not in kinds:
                raise EngineError(f"engine option {name!r} is not known; there are {', '.join(kinds)}.")
            if type(value) is not kinds[name]:
                raise EngineError(f"engine option {name!r} must be a {WORDS[kinds[name]]}.")
        return cls(**values).checked()

    def checked(self) -> Self:
        """Itself. Raises `EngineError` that names the option and a remedy."""
        if self.device not in ("", *DEVICES):
            raise EngineError(f"device {self.device!r} is not known; there are {', '.join(DEVICES)}.")
        if self.dtype not in DTYPES:
            raise EngineError(f"dtype {self.dtype!r} is not known; there are {', '.join(DTYPES)}.")
        if self.num_gpus < 1:
            raise EngineError(f"num-gpus must be at least 1, not {self.num_gpus}.")
        if self.max_gpu_memory and not MEMORY.match(self.max_gpu_memory):
            raise EngineError(f"max-gpu-memory {self.max_gpu_memory!r} is not a size; for example 20GiB.")
        if self.load_8bit and self.load_4bit:
            raise EngineError("load-8bit and load-4bit exclude each other; choose one.")
        if self.device in {"cpu", "mps"} and (self.num_gpus > 1 or self.max_gpu_memory or self.cpu_offload):
            raise EngineError(
                f"num-gpus, max-gpu-memory and cpu-offload need a GPU, and the device is {self.device}."
            )
        names = [name for name, _ in self.adapters]
        if len(set(names)) < len(names):
            raise EngineError("adapter: two adapters have the same chat model name; give each its own.")
        return self
