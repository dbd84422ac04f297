"""Loads GGUF files into llama.cpp: the weights, a projector for images, LoRA adapters. Knows no requests."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from workers import gguf, standstill
from workers.engine_settings import LlamaCppOptions
from workers.engine_settings.llama_cpp import Lora
from workers.engines import gguf_trouble
from workers.engines.base import EngineError
from workers.engines.cores import usable_cores
from workers.engines.llama_cpp_embedding import pools_itself
from workers.priority import stepping_back

# Prompt tokens a step works on: the bound on how long a stop waits, and how long running replies pause, while a long
# prompt is read. On two cores with a 135M model 128 reads a prompt 2 % slower than 512, and a step takes a quarter as
# long.
STEP_TOKENS_CPU = 128
STEP_TOKENS_GPU = 512
# The tokens of one image may have to see each other, so that they must be in one step (Gemma 3 has 256 of them).
STEP_TOKENS_IMAGES = 1024
GGUF_MAGIC = b"GGUF"
SIMILARITY = 0.8


def check_gguf(path: Path) -> None:
    """Refuse what llama.cpp would answer with a page of C++ output."""
    if not path.exists():
        raise EngineError(f"{path} does not exist. Give the path of a GGUF file.")
    if path.is_dir():
        raise EngineError(f"{path} is a folder. Give the path of a GGUF file in it.")
    with path.open("rb") as file:
        if file.read(4) != GGUF_MAGIC:
            raise EngineError(f"{path} is not a GGUF file (it does not begin with the letters GGUF).")


def check_beside(path: Path, options: LlamaCppOptions) -> None:
    """Refuse a projector or an adapter that cannot belong to the weights, with the file's name. Reads headers."""
    if options.mmproj:
        _check_projector(Path(options.mmproj).expanduser())
    loras = loras_of(options)
    if loras:
        weights = _header(path)
        for lora in loras:
            _check_lora(Path(lora.path).expanduser(), weights)


def loras_of(options: LlamaCppOptions) -> tuple[Lora, ...]:
    """All adapters in the order in which llama.cpp numbers them; the scale is none of its business."""
    return (*options.lora, *(lora for _, lora in options.adapters))


def _check_projector(path: Path) -> None:
    try:
        check_gguf(path)
    except EngineError as error:
        raise EngineError(f"mmproj: {error}") from None
    architecture = _header(path).metadata.get("general.architecture")
    if architecture != "clip":
        raise EngineError(
            f"mmproj: {path} is no projector but a file of the architecture {architecture}; the projector lies beside "
            "the weights, as mmproj-….gguf."
        )


def _check_lora(path: Path, weights: gguf.Header) -> None:
    try:
        check_gguf(path)
    except EngineError as error:
        raise EngineError(f"lora: {error}") from None
    header = _header(path)
    if header.metadata.get("adapter.type") != "lora":
        raise EngineError(
            f"lora: {path} is not a LoRA adapter. llama.cpp's convert_lora_to_gguf.py makes one of a PEFT adapter."
        )
    base, other = (one.metadata.get("general.architecture") for one in (weights, header))
    if base != other:
        raise EngineError(f"lora: {path} is an adapter for {other}, and the weights are {base}.")
    shapes = {tensor.name: tensor.shape for tensor in weights.tensors}
    for tensor in header.tensors:
        name, _, side = tensor.name.rpartition(".")
        if name not in shapes or (side in _SIDES and not _fits(side, tensor.shape, shapes[name])):
            raise EngineError(
                f"lora: {path} is an adapter for other weights; its {name} does not fit to theirs."
            )


# Of a LoRA's two tensors the one that reads and the one that writes. An embedding is looked up and not multiplied, so
# that its first one lies the other way round, and the two are not compared. Source: llama.cpp, src/llama-adapter.cpp.
_SIDES = ("lora_a", "lora_b")


def _fits(side: str, shape: Sequence[int], weights: Sequence[int]) -> bool:
    if len(weights) != 2 or len(shape) != 2:
        return True
    return shape[0] == weights[0] if side == "lora_a" else shape[1] == weights[1]


def _header(path: Path) -> gguf.Header:
    try:
        return gguf.read_header(path)
    except gguf.NotGguf as error:
        raise EngineError(str(error)) from None
    except OSError as error:
        raise EngineError(f"{path} cannot be read, {error.strerror or error}.") from None


def load(
    path: Path,
    *,
    slots: int,
    context_length: int,
    threads: int,
    gpu_layers: int,
    key: str,
    chat_template: str,
    options: LlamaCppOptions | None = None,
    embed_up_to: int = 0,
) -> Any:
    """llama.cpp's server. Raises `EngineError`."""
    # Threads that wait for each other soon sleep instead of spinning: with one other busy process on the machine the
    # spinning made an answer ten times slower. libgomp reads this when it is loaded. See docs/design/engines.md.
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "200")
    try:
        import xllamacpp  # here, so that the contract tests of other engines need no llama.cpp
    except ImportError as error:
        raise EngineError(
            f"llama.cpp cannot be used ({error}). On Debian: apt-get install libgomp1"
        ) from error

    options = options or LlamaCppOptions()
    cores = threads or usable_cores()
    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(path)
    parameters.n_ctx = context_length  # 0 = what the checkpoint was made for
    parameters.n_parallel = slots
    parameters.kv_unified = True  # slots share the cache instead of getting an equal part each
    parameters.n_batch = parameters.n_ubatch = _step_tokens(gpu_layers, images=bool(options.mmproj))
    parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = cores
    parameters.n_gpu_layers = gpu_layers
    parameters.cache_ram_mib = 0  # a prompt cache outside the slots' own would grow without a bound we state
    # Else each new request would throw away what idle slots hold, and the next turn of a conversation begin anew.
    parameters.cache_idle_slots = False
    # A slot is gone on with when it holds most of a prompt. At llama.cpp's tenth a stranger's short question, which
    # begins with the same system prompt, would take the slot of a long conversation.
    parameters.slot_prompt_similarity = SIMILARITY
    parameters.port = 0
    parameters.ui = parameters.endpoint_slots = False  # nobody looks there, and slots show prompts
    parameters.api_keys = [key]
    if embed_up_to:  # a server that pools; see `llama_cpp_embedding`
        parameters.embedding = True
        # The load holds the GIL, and a worker that does not beat for five seconds is taken for dead: no trial run.
        parameters.warmup = False
        parameters.kv_unified = False
        parameters.n_batch = parameters.n_ubatch = embed_up_to
        if not pools_itself(path):
            parameters.pooling_type = xllamacpp.llama_pooling_type.LLAMA_POOLING_TYPE_MEAN
    if chat_template:
        parameters.chat_template = chat_template
    if options.mmproj:
        parameters.mmproj.path = str(Path(options.mmproj).expanduser())
        parameters.mmproj_use_gpu = gpu_layers != 0
    parameters.lora_adapters = [
        xllamacpp.CommonAdapterLoraInfo(str(Path(lora.path).expanduser()), lora.scale)
        for lora in loras_of(options)
    ]
    parameters.verbosity = 0
    try:
        with standstill.announced(standstill.load_seconds(path)):
            return stepping_back(lambda: xllamacpp.Server(parameters))
    except Exception as error:
        cause = gguf_trouble.reason(path, own_template=not chat_template, beside=_beside(options))
        raise EngineError(f"llama.cpp cannot load {path}: {cause}") from error


def _beside(options: LlamaCppOptions) -> str:
    """What may be to blame beside the weights."""
    files = [options.mmproj] if options.mmproj else []
    return ", ".join([*files, *(lora.path for lora in loras_of(options))])


def on_processor(gpu_layers: int) -> bool:
    """Whether all of the computing is done without a GPU."""
    import xllamacpp

    types = xllamacpp.ggml_backend_dev_type
    gpus = {types.GGML_BACKEND_DEVICE_TYPE_GPU, types.GGML_BACKEND_DEVICE_TYPE_IGPU}
    return not gpu_layers or not any(device["type"] in gpus for device in xllamacpp.get_device_info())


def _step_tokens(gpu_layers: int, *, images: bool) -> int:
    if images:
        return STEP_TOKENS_IMAGES
    return STEP_TOKENS_CPU if on_processor(gpu_layers) else STEP_TOKENS_GPU
