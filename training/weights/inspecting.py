"""What is in a checkpoint: parameters, memory per precision, context, licence. Reads headers, and no weights."""

import json
import math
import re
import struct
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

from training.memory import Shape
from training.weights.errors import WeightsError
from workers import gguf

# Bytes of one weight. 8 and 4 bits carry scales beside them: llama.cpp's Q8_0 and Q4_K as typical ones.
BYTES: Final = {"float32": 4.0, "bfloat16": 2.0, "8 bit": 34 / 32, "4 bit": 144 / 256}
SAFETENSORS_BYTES: Final = {
    "F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1,
    "F8_E4M3": 1, "F8_E5M2": 1,
}  # fmt: skip
LONGEST_HEADER: Final = 100 * 2**20


@dataclass(frozen=True)
class Inspection:
    kind: str
    architecture: str
    tensors: int
    parameters: int
    stored: dict[str, int]
    """Type of the weights → how many have it."""
    bytes: int
    """Of the weights, as they are stored."""
    context_length: int
    """0 when it is not said."""
    cache_bytes_per_token: int
    """K/V cache in 16 bits; 0 when it cannot be told."""
    licence: str
    has_template: bool

    def memory(self) -> dict[str, float]:
        """Bytes of the weights in each precision."""
        return {name: self.parameters * size for name, size in BYTES.items()}


def inspect(path: Path) -> Inspection:
    """Raises `WeightsError`."""
    if path.is_file() and path.suffix == ".gguf":
        return _gguf(path)
    if path.is_dir():
        return _folder(path)
    raise WeightsError(f"{path} is neither a GGUF file nor the folder of a checkpoint.")


class Plan(NamedTuple):
    """Of a chat model, as its checkpoint tells it."""

    shape: Shape
    parameters: int
    matrices: tuple[tuple[int, int], ...]
    """Rows and columns of the linear layers in its blocks."""


def plan(path: Path) -> Plan:
    """From the headers alone. Raises `WeightsError`, also when they do not tell how large the chat model is."""
    found = _plan_of_gguf(path) if path.is_file() and path.suffix == ".gguf" else _plan_of_folder(path)
    if min(found.shape) < 1 or not found.matrices:
        raise WeightsError(f"{path} does not tell its layers, their width and its vocabulary.")
    return found


def _plan_of_gguf(path: Path) -> Plan:
    header = _gguf_header(path)
    facts = header.metadata
    architecture = facts.get("general.architecture", "")
    shapes = [(tensor.name, tensor.shape) for tensor in header.tensors]
    embedding = next((shape for name, shape in shapes if name == "token_embd.weight"), ())
    return Plan(
        Shape(
            _whole(facts, f"{architecture}.block_count"),
            _whole(facts, f"{architecture}.embedding_length"),
            embedding[-1] if embedding else 0,
        ),
        sum(tensor.parameters for tensor in header.tensors),
        _matrices((name, shape) for name, shape in shapes if name.startswith("blk.")),
    )


def _plan_of_folder(folder: Path) -> Plan:
    if not folder.is_dir():
        raise WeightsError(f"{folder} is not on this machine.")
    tensors = [tensor for file in sorted(folder.glob("*.safetensors")) for tensor in _safetensors(file)]
    if not tensors:
        raise WeightsError(f"{folder} holds no safetensors.")
    config = _config(folder)
    shape = Shape(
        _whole(config, "num_hidden_layers", "n_layer"),
        _whole(config, "hidden_size", "n_embd"),
        _whole(config, "vocab_size"),
    )
    return Plan(
        shape,
        sum(math.prod(shape) for _name, _kind, shape in tensors),
        # A block's tensors have its number in their names; embeddings and the last layer have none.
        _matrices((name, shape) for name, _kind, shape in tensors if re.search(r"\.\d+\.", name)),
    )


def _matrices(shapes: Iterable[tuple[str, Sequence[int]]]) -> tuple[tuple[int, int], ...]:
    return tuple((shape[0], shape[1]) for _name, shape in shapes if len(shape) == 2)


def _gguf_header(path: Path) -> gguf.Header:
    try:
        return gguf.read_header(path)
    except (gguf.NotGguf, OSError) as error:
        raise WeightsError(str(error)) from None


def _gguf(path: Path) -> Inspection:
    header = _gguf_header(path)
    facts = header.metadata
    architecture = str(facts.get("general.architecture", ""))

    def said(name: str) -> int:
        value = facts.get(f"{architecture}.{name}", 0)
        return value if isinstance(value, int) else 0

    stored: Counter[str] = Counter()
    for tensor in header.tensors:
        stored[tensor.type] += tensor.parameters
    heads = said("attention.head_count")
    head = said("attention.key_length") or (said("embedding_length") // heads if heads else 0)
    return Inspection(
        kind="GGUF",
        architecture=architecture,
        tensors=len(header.tensors),
        parameters=stored.total(),
        stored=dict(stored.most_common()),
        bytes=sum(tensor.bytes for tensor in header.tensors),
        context_length=said("context_length"),
        cache_bytes_per_token=4 * said("block_count") * said("attention.head_count_kv") * head,
        licence=str(facts.get("general.license", "")),
        has_template=bool(header.chat_template),
    )


def _folder(folder: Path) -> Inspection:
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise WeightsError(
            f"{folder} holds no safetensors. Torch's own files are converted by: manage.py weights convert."
        )
    stored: Counter[str] = Counter()
    size = count = 0
    for file in files:
        for _name, kind, shape in _safetensors(file):
            stored[kind] += math.prod(shape)
            size += math.prod(shape) * SAFETENSORS_BYTES.get(kind, 0)
            count += 1
    config = _config(folder)
    kinds = config.get("architectures") or [config.get("model_type", "")]
    return Inspection(
        kind="adapter" if (folder / "adapter_config.json").is_file() else "safetensors",
        architecture=str(kinds[0]),
        tensors=count,
        parameters=stored.total(),
        stored=dict(stored.most_common()),
        bytes=size,
        context_length=_whole(config, "max_position_embeddings", "n_positions", "seq_length", "max_seq_len"),
        cache_bytes_per_token=_cache(config),
        licence=licence_of(folder),
        has_template=(folder / "chat_template.jinja").is_file() or _names_template(folder),
    )


def _safetensors(file: Path) -> Iterator[tuple[str, str, list[int]]]:
    """(name, type, shape) of each tensor. The file begins with the length of a JSON header, 8 bytes little-endian."""
    try:
        with file.open("rb") as content:
            (length,) = struct.unpack("<Q", content.read(8))
            if length > LONGEST_HEADER:
                raise ValueError
            header = json.loads(content.read(length))
        for name, entry in header.items():
            if name != "__metadata__":
                yield name, str(entry["dtype"]), [int(size) for size in entry["shape"]]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, struct.error):
        raise WeightsError(f"{file} is no safetensors file, or damaged.") from None


def _config(folder: Path) -> dict[str, Any]:
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise WeightsError(f"{folder / 'config.json'} cannot be read: {error}.") from None
    if not isinstance(config, dict):
        raise WeightsError(f"{folder / 'config.json'} cannot be read: it is no object.")
    text = config.get("text_config")  # of a model that sees pictures as well
    return {**config, **text} if isinstance(text, dict) else config


def _cache(config: dict[str, Any]) -> int:
    layers = _whole(config, "num_hidden_layers", "n_layer")
    heads = _whole(config, "num_attention_heads", "n_head")
    groups = _whole(config, "num_key_value_heads") or heads
    head = _whole(config, "head_dim") or (_whole(config, "hidden_size", "n_embd") // heads if heads else 0)
    return 2 * 2 * layers * groups * head


def _whole(config: dict[str, Any], *names: str) -> int:
    return next((value for name in names if isinstance(value := config.get(name), int)), 0)


def _names_template(folder: Path) -> bool:
    try:
        return '"chat_template"' in (folder / "tokenizer_config.json").read_text(encoding="utf-8")
    except OSError:
        return False


def licence_of(folder: Path) -> str:
    """As the model card's head says, else the first line of a licence file; "" when nothing says it."""
    card = folder / "README.md"
    if card.is_file():
        head = re.match(r"---\n(.*?)\n---", card.read_text(encoding="utf-8", errors="replace"), re.DOTALL)
        if head and (said := re.search(r"^license:\s*(.+)$", head[1], re.MULTILINE)):
            return said[1].strip().strip("'\"")
    for file in sorted(folder.glob("LICENSE*")):
        lines = file.read_text(encoding="utf-8", errors="replace").split("\n")
        return next((line.strip() for line in lines if line.strip()), "")
    return ""
