"""From a checkpoint's name to a model and a tokenizer in memory, or one clear sentence why not.

A checkpoint is a folder with safetensors, a GGUF file, or a name on the hub (as the environment has it: HF_HOME,
HF_ENDPOINT and HF_HUB_OFFLINE are the library's own).
"""

import importlib.util
import logging
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from workers.engine_settings.transformers import TransformersOptions
from workers.engines.base import EngineError

# How long threads wait for each other's next operation before they sleep. libgomp reads it when torch loads it. A step
# has hundreds of parallel operations microseconds apart: what was measured is in docs/design/transformers-engine.md.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")

try:
    import torch
    import transformers
    from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSeq2SeqLM, AutoTokenizer
except ImportError as missing:
    raise EngineError(
        f"The transformers engine needs torch and transformers ({missing}): bin/up --install-only --extra hf."
    ) from missing

logger = logging.getLogger(__name__)

HUB_NAME = re.compile(r"^[\w.-]+(/[\w.-]+)?$")
# The machine's memory is not to be filled to the last byte.
SHARE_OF_MEMORY = 0.95


@dataclass(frozen=True)
class Source:
    """What `from_pretrained` is told."""

    name: str
    gguf_file: str = ""

    @property
    def arguments(self) -> dict[str, Any]:
        return {"gguf_file": self.gguf_file} if self.gguf_file else {}


@dataclass
class Loaded:
    model: Any
    tokenizer: Any
    device: str


def find(checkpoint: str, path: Path) -> Source:
    """Where the weights are. `path` is the checkpoint as a place on this machine."""
    if path.is_dir():
        if not (path / "config.json").is_file():
            raise EngineError(f"{path} holds no config.json. Give the folder of a transformers checkpoint.")
        return Source(str(path))
    if path.is_file():
        with path.open("rb") as file:
            if file.read(4) != b"GGUF":
                raise EngineError(f"{path} is a file and not a GGUF one. Give the checkpoint's folder.")
        if importlib.util.find_spec("gguf") is None:
            raise EngineError(
                "To read a GGUF file the package gguf is needed: bin/up --install-only --extra hf."
            )
        return Source(str(path.parent), path.name)
    if HUB_NAME.match(checkpoint) and not checkpoint.endswith((".gguf", ".safetensors")):
        return Source(checkpoint)
    raise EngineError(f"{checkpoint} does not exist. Give a folder, a GGUF file or a name on the hub.")


def load(source: Source, options: TransformersOptions, *, cache_tokens: int) -> Loaded:
    """Raises `EngineError`. `cache_tokens`: tokens of all slots together, for the check of the memory."""
    device = options.device or _best_device()
    _check_device(device, options)
    common: dict[str, Any] = {"trust_remote_code": options.trust_remote_code, **source.arguments}
    if options.revision:
        common["revision"] = options.revision
    if options.trust_remote_code:
        logger.warning("trust-remote-code: Python files beside the weights of %s are run.", source.name)
    config = _try(source, lambda: AutoConfig.from_pretrained(source.name, **common))
    dtype = choose_dtype(options.dtype, config, device)
    kind = AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM
    if device == "cpu":
        _check_memory(kind, config, dtype, options, cache_tokens=cache_tokens)
    tokenizer = _try(source, lambda: AutoTokenizer.from_pretrained(source.name, **common))
    arguments = {**common, **placing(options, device, dtype, quantised=_is_quantised(config))}
    model = _try(source, lambda: kind.from_pretrained(source.name, **arguments))
    model.eval()
    model.requires_grad_(requires_grad=False)
    return Loaded(model, tokenizer, device)


def placing(
    options: TransformersOptions, device: str, dtype: torch.dtype, *, quantised: bool = False
) -> dict[str, Any]:
    """How `from_pretrained` is to lay the weights out. Eight bits on a CPU are our own, done afterwards."""
    arguments: dict[str, Any] = {"dtype": dtype}
    if options.attn_implementation:
        arguments["attn_implementation"] = options.attn_implementation
    if device == "cpu":
        arguments["device_map"] = "cpu"
    elif options.num_gpus > 1 or options.max_gpu_memory or options.cpu_offload:
        arguments["device_map"] = "auto"
        arguments["max_memory"] = _memory_map(options)
    else:
        arguments["device_map"] = {"": f"{device}:0"} if device in {"cuda", "xpu", "npu"} else device
    if (options.load_4bit or (options.load_8bit and device != "cpu")) and not quantised:
        arguments["quantization_config"] = _bits(options, dtype)
    return arguments


def choose_dtype(wanted: str, config: Any, device: str) -> torch.dtype:
    """The type of the weights. A CPU without bfloat16 arithmetic is quicker in float32."""
    if wanted != "auto":
        chosen: torch.dtype = getattr(torch, wanted)
        return chosen
    own = getattr(config, "dtype", None) or torch.float32
    own = getattr(torch, own) if isinstance(own, str) else own
    if device == "cpu" and own in {torch.float16, torch.bfloat16}:
        return torch.bfloat16 if torch.ops.mkldnn._is_mkldnn_bf16_supported() else torch.float32
    found: torch.dtype = own
    return found


def cache_bytes(config: Any, dtype: torch.dtype, tokens: int) -> int:
    """Of the K/V of `tokens` tokens; 0 where the architecture does not say."""
    text = config.get_text_config() if hasattr(config, "get_text_config") else config
    layers = getattr(text, "num_hidden_layers", 0) or 0
    heads = getattr(text, "num_key_value_heads", None) or getattr(text, "num_attention_heads", 0) or 0
    size = getattr(text, "head_dim", None)
    if not size and getattr(text, "num_attention_heads", None):
        size = text.hidden_size // text.num_attention_heads
    return int(2 * layers * heads * (size or 0) * dtype.itemsize * tokens)


def context_of(config: Any, *, seq2seq: bool) -> int:
    """Tokens that the checkpoint was made for."""
    text = config.get_text_config() if hasattr(config, "get_text_config") else config
    names = ("n_positions", "max_position_embeddings", "n_ctx", "seq_length")
    found = next((value for name in names if (value := getattr(text, name, None))), 0)
    return int(found) or (512 if seq2seq else 2048)


def _best_device() -> str:
    if torch.cuda.is_available():
        return "cuda"
    if hasattr(torch, "xpu") and torch.xpu.is_available():
        return "xpu"
    if hasattr(torch, "npu"):
        return "npu"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def _check_device(device: str, options: TransformersOptions) -> None:
    there = {
        "cpu": True,
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "xpu": hasattr(torch, "xpu") and torch.xpu.is_available(),
        "npu": hasattr(torch, "npu"),
    }
    if not there[device]:
        raise EngineError(
            f"device {device}: torch sees none on this machine. Use --device cpu, or install its torch."
        )
    if device == "cuda" and options.num_gpus > torch.cuda.device_count():
        raise EngineError(f"num-gpus {options.num_gpus}: torch sees {torch.cuda.device_count()}.")


def _memory_map(options: TransformersOptions) -> dict[int | str, Any]:
    share = options.max_gpu_memory.replace(" ", "") or None
    limits: dict[int | str, Any] = {}
    for number in range(options.num_gpus):
        # As much as is free now, less a tenth for what a step needs.
        limits[number] = share or int(torch.cuda.mem_get_info(number)[0] * 0.9)
    limits["cpu"] = int(psutil.virtual_memory().available * 0.9) if options.cpu_offload else 0
    return limits


def _is_quantised(config: Any) -> bool:
    """The checkpoint brings its own (GPTQ, AWQ, …), which transformers loads as it is."""
    found = getattr(config, "quantization_config", None)
    method = found.get("quant_method") if isinstance(found, dict) else getattr(found, "quant_method", None)
    return method is not None and str(getattr(method, "value", method)) != "gguf"


def _bits(options: TransformersOptions, dtype: torch.dtype) -> Any:
    if importlib.util.find_spec("bitsandbytes") is None:
        raise EngineError(
            "load-8bit and load-4bit need the package bitsandbytes: bin/up --install-only --extra hf."
        )
    if options.load_8bit:
        return transformers.BitsAndBytesConfig(
            load_in_8bit=True, llm_int8_enable_fp32_cpu_offload=options.cpu_offload
        )
    return transformers.BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=dtype
    )


def _check_memory(
    kind: Any, config: Any, dtype: torch.dtype, options: TransformersOptions, *, cache_tokens: int
) -> None:
    """Refuse what does not fit, before the kernel kills the worker and all that it serves."""
    weights = _count_parameters(kind, config) * dtype.itemsize
    cache = cache_bytes(config, dtype, cache_tokens)
    free = int(psutil.virtual_memory().available * SHARE_OF_MEMORY)
    if weights > free:
        raise EngineError(
            f"The weights take {_size(weights)} and {_size(free)} of memory are free. Free some, or choose a smaller "
            "dtype or checkpoint."
        )
    if weights + cache > free:
        raise EngineError(
            f"The weights take {_size(weights)}, the slots {_size(cache)}, and {_size(free)} of memory are free. "
            "Lower --slots or --context."
        )


def _count_parameters(kind: Any, config: Any) -> int:
    """Without any memory; 0 when the architecture cannot say (it is then simply loaded)."""
    try:
        with torch.device("meta"):
            model = kind.from_config(config)
    except Exception:
        return 0
    return sum(parameter.numel() for parameter in model.parameters())


def _size(count: int) -> str:
    return f"{count / 2**30:.1f} GiB"


def _try(source: Source, act: Any) -> Any:
    """What `act` returns; what it raises becomes one sentence."""
    try:
        return act()
    except EngineError:
        raise
    except torch.OutOfMemoryError as error:
        raise EngineError(
            f"{source.name} does not fit into the GPU's memory. Try --load-8bit, --num-gpus or --cpu-offload."
        ) from error
    except MemoryError as error:
        raise EngineError(f"{source.name} does not fit into the memory.") from error
    except Exception as error:
        raise EngineError(_sentence(source, error)) from error


def _sentence(source: Source, error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    cause = lines[0].rstrip(".")[:240]
    if "trust_remote_code" in str(error):
        return f"{source.name} brings Python code of its own, which is not run without --trust-remote-code."
    if "does not recognize this architecture" in str(error) or "Unrecognized" in cause:
        return (
            f"{source.name} is of an architecture that transformers {transformers.__version__} does not know."
        )
    return f"{source.name} cannot be loaded: {cause}."
