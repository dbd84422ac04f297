"""Reads and writes checkpoints tensor by tensor.

A checkpoint is a folder with safetensors (one file, or shards with an index) or with torch's own `.bin` files, as
transformers saves them. Written are safetensors only.
"""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from training.weights.errors import WeightsError

SHARD_BYTES: Final = 4 * 2**30
SINGLE: Final = "model.safetensors"
INDEX: Final = "model.safetensors.index.json"
# Beside the weights: what a tokenizer, a configuration and a card are made of.
COMPANIONS: Final = (
    "*.json",
    "*.jinja",
    "*.txt",
    "*.model",
    "*.tiktoken",
    "LICENSE*",
    "NOTICE*",
    "README.md",
)
NOT_COMPANIONS: Final = ("*.index.json", "adapter_config.json", "delta.json")


class Reader:
    """Tensors of a checkpoint by name. Nothing is read before it is asked for."""

    def __init__(self, folder: Path):
        self.folder = folder
        self._files = _files(folder)
        self._bins: dict[Path, dict[str, torch.Tensor]] = {}
        self._place: dict[str, Path] = {}
        for file in self._files:
            for name in self._names_in(file):
                self._place[name] = file

    @property
    def names(self) -> list[str]:
        return sorted(self._place)

    def __contains__(self, name: object) -> bool:
        return name in self._place

    def get(self, name: str) -> torch.Tensor:
        try:
            file = self._place[name]
        except KeyError:
            raise WeightsError(f"{self.folder} has no tensor {name}.") from None
        if file.suffix == ".bin":
            return self._load_bin(file)[name]
        with safe_open(file, framework="pt") as content:
            tensor: torch.Tensor = content.get_tensor(name)
            return tensor

    def shape(self, name: str) -> tuple[int, ...]:
        file = self._place[name]
        if file.suffix == ".bin":
            return tuple(self._load_bin(file)[name].shape)
        with safe_open(file, framework="pt") as content:
            return tuple(content.get_slice(name).get_shape())

    def _names_in(self, file: Path) -> list[str]:
        if file.suffix == ".bin":
            return list(self._load_bin(file))
        try:
            with safe_open(file, framework="pt") as content:
                return list(content.keys())
        except (SafetensorError, OSError) as error:
            raise WeightsError(f"{file} cannot be read as safetensors: {error}.") from None

    def _load_bin(self, file: Path) -> dict[str, torch.Tensor]:
        if file not in self._bins:
            try:
                # weights_only: a pickle may run code when it is read. mmap: what is not asked for is not read.
                content = torch.load(file, map_location="cpu", weights_only=True, mmap=True)
            except Exception as error:
                raise WeightsError(
                    f"{file} cannot be read safely ({type(error).__name__}): it may hold more than tensors."
                ) from None
            self._bins[file] = {
                key: value for key, value in content.items() if isinstance(value, torch.Tensor)
            }
        return self._bins[file]


class Writer:
    """Writes tensors into a new folder, shard by shard; complete after `with`, gone when that failed."""

    def __init__(self, folder: Path, *, shard_bytes: int = SHARD_BYTES):
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise WeightsError(f"{folder} exists and is not empty. Say another folder, or remove it.")
        self.folder = folder
        self._shard_bytes = shard_bytes
        self._open: dict[str, torch.Tensor] = {}
        self._open_bytes = 0
        self._shards: list[list[str]] = []
        self._total = 0

    def add(self, name: str, tensor: torch.Tensor) -> None:
        size = tensor.numel() * tensor.element_size()
        if self._open and self._open_bytes + size > self._shard_bytes:
            self._write_shard()
        self._open[name] = tensor.contiguous().clone()
        self._open_bytes += size
        self._total += size

    def copy_companions(self, source: Path) -> None:
        """Configuration, tokenizer, licence and card of `source`."""
        for pattern in COMPANIONS:
            for file in sorted(source.glob(pattern)):
                if not any(file.match(other) for other in NOT_COMPANIONS):
                    shutil.copyfile(file, self.folder / file.name)

    def write_json(self, name: str, data: dict[str, Any]) -> None:
        (self.folder / name).write_text(
            json.dumps(data, ensure_ascii=False, indent=2) + "\n", encoding="utf-8"
        )

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._finish()
        else:
            shutil.rmtree(self.folder)

    def _write_shard(self) -> None:
        save_file(self._open, self.folder / f"shard-{len(self._shards)}.part", metadata={"format": "pt"})
        self._shards.append(list(self._open))
        self._open, self._open_bytes = {}, 0

    def _finish(self) -> None:
        """Give the shards the names that say how many they are, which is known only now; the index last."""
        if self._open or not self._shards:
            self._write_shard()
        count = len(self._shards)
        names = (
            [SINGLE]
            if count == 1
            else [f"model-{n:05}-of-{count:05}.safetensors" for n in range(1, count + 1)]
        )
        for number, name in enumerate(names):
            (self.folder / f"shard-{number}.part").replace(self.folder / name)
        if count > 1:
            where = {
                tensor: name for name, shard in zip(names, self._shards, strict=True) for tensor in shard
            }
            self.write_json(INDEX, {"metadata": {"total_size": self._total}, "weight_map": where})


def _files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise WeightsError(
            f"{folder} is no folder. Give the folder of a checkpoint as transformers saves it."
        )
    for pattern in ("*.safetensors", "pytorch_model*.bin", "adapter_model.bin"):
        if found := sorted(folder.glob(pattern)):
            return found
    raise WeightsError(f"{folder} holds no weights: neither *.safetensors nor pytorch_model*.bin.")


def dtype_named(name: str) -> torch.dtype:
    return {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}[name]


DTYPES: Final = ("float32", "float16", "bfloat16")


def with_progress(names: list[str], say: Any) -> Iterator[str]:
    """`names`, told every tenth part of the way."""
    steps = max(1, len(names) // 10)
    for number, name in enumerate(names, start=1):
        yield name
        if number % steps == 0 or number == len(names):
            say(f"{number}/{len(names)} tensors")
