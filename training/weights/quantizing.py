"""Writes GGUF files for llama.cpp: another precision of one, or a checkpoint of transformers. With the library `gguf`.

A checkpoint of transformers needs a GGUF file of the same family beside it (`like`), which lends its tokenizer: what a
tokenizer does before its merges cannot be told from its files with certainty. The rest comes from the checkpoint.
Source of names and layout: llama.cpp's `convert_hf_to_gguf.py`, and gguf's own table of names.
"""

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from training.weights.errors import WeightsError
from training.weights.files import config_of
from training.weights.shards import Reader
from training.weights.telling import Say, quiet
from workers import checkpoints
from workers.chat_template import BadTemplate

Array = NDArray[Any]
# Kind → llama.cpp's number for a file of it (`general.file_type`). Those that the library can write.
KINDS: Final = {"f32": 0, "f16": 1, "bf16": 32, "q8_0": 7, "q5_1": 9, "q5_0": 8, "q4_1": 3, "q4_0": 2}
# Words come in and go out through these two: in few bits they hurt more than they save.
SENSITIVE: Final = ("token_embd.weight", "output.weight")
SMALL: Final = ("q4_0", "q4_1", "q5_0", "q5_1")
# Whose tensors are the same in both files, but for the order of rows that `_rope_order` mends.
FAMILIES: Final = ("llama", "qwen2", "qwen3")


class Piece(NamedTuple):
    """A tensor to write."""

    name: str
    shape: tuple[int, ...]
    read: Callable[[], Array]
    """Its values, as float32."""


def quantize(source: Path, target: Path, *, kind: str, like: Path | None = None, say: Say = quiet) -> None:
    """Write `target` (GGUF) in `kind`, one of `KINDS`. Raises `WeightsError`."""
    gguf = _library()
    if target.exists():
        raise WeightsError(f"{target} exists. Say another name, or remove it.")
    if source.suffix == ".gguf" and source.is_file():
        reader = _reader(gguf, source)
        metadata, pieces = _metadata(reader), _pieces_of_gguf(gguf, reader)
    else:
        if like is None:
            raise WeightsError(
                "--like FILE.gguf is needed: a GGUF file of the same family, which lends its tokenizer."
            )
        lender = _reader(gguf, like)
        metadata = _metadata(lender)
        pieces = _pieces_of_folder(gguf, source, metadata)
        _take_over(source, metadata)
    metadata["general.file_type"] = _uint32(gguf, KINDS[kind])
    _write(gguf, target, metadata, pieces, kind, say)


class Value(NamedTuple):
    """A metadata value with the types that GGUF keeps it in."""

    value: Any
    type: Any
    of: Any = None


def _write(
    gguf: Any, target: Path, metadata: dict[str, Value], pieces: list[Piece], kind: str, say: Say
) -> None:
    part = target.with_name(target.name + ".part")
    architecture = str(metadata.pop("general.architecture").value)
    writer = gguf.GGUFWriter(part, architecture)
    try:
        for name, value in metadata.items():
            writer.add_key_value(name, value.value, value.type, value.of)
        types = {piece.name: _type_of(gguf, piece, kind) for piece in pieces}
        for piece in pieces:
            shape, dtype, size = _layout(gguf, piece.shape, types[piece.name])
            writer.add_tensor_info(piece.name, shape, dtype, size, types[piece.name])
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        for number, piece in enumerate(pieces, start=1):
            writer.write_tensor_data(gguf.quants.quantize(piece.read(), types[piece.name]))
            if number % 50 == 0 or number == len(pieces):
                say(f"{number}/{len(pieces)} tensors")
        writer.close()
        part.replace(target)
    finally:
        writer.close()
        part.unlink(missing_ok=True)


def _type_of(gguf: Any, piece: Piece, kind: str) -> Any:
    types = gguf.GGMLQuantizationType
    if len(piece.shape) < 2:
        return types.F32  # biases and norms: tiny, and llama.cpp wants them so
    if piece.name in SENSITIVE and kind in SMALL:
        kind = "q8_0"
    wanted = types[kind.upper()]
    block, _ = gguf.GGML_QUANT_SIZES[wanted]
    return wanted if piece.shape[-1] % block == 0 else types.F16


def _layout(gguf: Any, shape: tuple[int, ...], kind: Any) -> tuple[tuple[int, ...], Any, int]:
    """Shape and type of the array that holds the quantised values, and its bytes."""
    types = gguf.GGMLQuantizationType
    plain: dict[Any, np.dtype[Any]] = {types.F32: np.dtype(np.float32), types.F16: np.dtype(np.float16)}
    if kind in plain:
        return shape, plain[kind], int(np.prod(shape)) * plain[kind].itemsize
    packed = tuple(gguf.quant_shape_to_byte_shape(shape, kind))
    return packed, np.dtype(np.uint8), int(np.prod(packed))


def _pieces_of_gguf(gguf: Any, reader: Any) -> list[Piece]:
    def read(tensor: Any) -> Callable[[], Array]:
        return lambda: gguf.quants.dequantize(tensor.data, tensor.tensor_type).astype(np.float32)

    # GGUF counts dimensions from the innermost.
    return [Piece(one.name, tuple(int(n) for n in reversed(one.shape)), read(one)) for one in reader.tensors]


def _pieces_of_folder(gguf: Any, folder: Path, metadata: dict[str, Value]) -> list[Piece]:
    architecture = str(metadata["general.architecture"].value)
    if architecture not in FAMILIES:
        raise WeightsError(
            f"{architecture} checkpoints cannot be converted here; these can: {', '.join(FAMILIES)}. Use llama.cpp's "
            "convert_hf_to_gguf.py."
        )
    config, reader = config_of(folder), Reader(folder)
    kinds = {architecture, *(("mistral",) if architecture == "llama" else ())}
    if config.get("model_type") not in kinds:
        raise WeightsError(
            f"{folder} is of the family {config.get('model_type') or '?'}, and the file it shall be like of "
            f"{architecture}."
        )
    numbers = {arch: number for number, arch in gguf.MODEL_ARCH_NAMES.items()}
    names = gguf.get_tensor_name_map(numbers[architecture], int(config["num_hidden_layers"]))
    pieces = []
    for name in reader.names:
        if name.endswith("rotary_emb.inv_freq"):
            continue  # computed anew
        new = names.get_name(name, try_suffixes=(".weight", ".bias"))
        if new is None:
            raise WeightsError(f"{folder}: nothing is known of the tensor {name}.")
        pieces.append(Piece(new, reader.shape(name), _values(reader, name, architecture, config)))
    return pieces


def _values(reader: Reader, name: str, architecture: str, config: dict[str, Any]) -> Callable[[], Array]:
    def read() -> Array:
        values: Array = reader.get(name).float().numpy()
        if architecture == "llama" and ".self_attn.q_proj." in name:
            return _rope_order(values, config["num_attention_heads"])
        if architecture == "llama" and ".self_attn.k_proj." in name:
            return _rope_order(values, config.get("num_key_value_heads") or config["num_attention_heads"])
        return values

    return read


def _rope_order(weights: Array, heads: int) -> Array:
    """Rows of each head from first and second halves, as transformers rotates them, to pairs, as llama.cpp does."""
    rows = weights.shape[0] // heads
    split = weights.reshape(heads, 2, rows // 2, *weights.shape[1:])
    return np.ascontiguousarray(split.swapaxes(1, 2).reshape(weights.shape))


def _take_over(folder: Path, metadata: dict[str, Value]) -> None:
    """Put the checkpoint's own sizes, name and chat template in the place of the lender's."""
    gguf = _library()
    config = config_of(folder)
    architecture = str(metadata["general.architecture"].value)
    _check_vocabulary(config, metadata)
    rope = {**config, **(config.get("rope_parameters") or {})}
    scaling = config.get("rope_scaling") or rope
    if scaling.get("rope_type", scaling.get("type", "default")) != "default":
        raise WeightsError(
            f"{folder} stretches its positions (rope_scaling), which cannot be converted here."
        )
    for name in [name for name in metadata if name.startswith("general.")]:
        if name not in ("general.architecture", "general.quantization_version"):
            del metadata[name]
    heads = int(config["num_attention_heads"])
    head = int(config.get("head_dim") or config["hidden_size"] // heads)
    whole = {
        "block_count": config["num_hidden_layers"],
        "context_length": config["max_position_embeddings"],
        "embedding_length": config["hidden_size"],
        "feed_forward_length": config["intermediate_size"],
        "attention.head_count": heads,
        "attention.head_count_kv": config.get("num_key_value_heads") or heads,
        "attention.key_length": head,
        "attention.value_length": head,
        "rope.dimension_count": head,
        "vocab_size": config["vocab_size"],
    }
    for name, number in whole.items():
        metadata[f"{architecture}.{name}"] = _uint32(gguf, number)
    reals = {
        "attention.layer_norm_rms_epsilon": config.get("rms_norm_eps", 1e-6),
        "rope.freq_base": rope.get("rope_theta", 10000.0),
    }
    for name, real in reals.items():
        metadata[f"{architecture}.{name}"] = Value(float(real), gguf.GGUFValueType.FLOAT32)
    metadata["general.name"] = Value(folder.name, gguf.GGUFValueType.STRING)
    try:
        template = checkpoints.own_template(folder)
    except (BadTemplate, checkpoints.BadCheckpoint) as error:
        raise WeightsError(str(error)) from None
    if template:
        metadata["tokenizer.chat_template"] = Value(template.source, gguf.GGUFValueType.STRING)


def _check_vocabulary(config: dict[str, Any], metadata: dict[str, Value]) -> None:
    tokens = len(metadata["tokenizer.ggml.tokens"].value)
    if config.get("vocab_size") != tokens:
        raise WeightsError(
            f"The checkpoint has {config.get('vocab_size')} tokens and the file it shall be like has {tokens}: "
            "it is of another family."
        )


def _metadata(reader: Any) -> dict[str, Value]:
    def values() -> Iterator[tuple[str, Value]]:
        for name, field in reader.fields.items():
            if not name.startswith("GGUF."):  # the header's own counts
                yield name, Value(field.contents(), field.types[0], field.types[-1])

    return dict(values())


def _uint32(gguf: Any, number: int) -> Value:
    return Value(int(number), gguf.GGUFValueType.UINT32)


def _reader(gguf: Any, path: Path) -> Any:
    try:
        return gguf.GGUFReader(path)
    except (ValueError, OSError, IndexError, KeyError) as error:
        raise WeightsError(f"{path} cannot be read as GGUF: {error}.") from None


def _library() -> Any:
    try:
        import gguf
    except ImportError:
        raise WeightsError("The library gguf is not installed. Try: pip install gguf") from None
    logging.getLogger("gguf").setLevel(logging.WARNING)  # it reports every file it writes
    return gguf
