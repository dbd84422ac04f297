"""Writes a checkpoint in another precision; also torch's own `.bin` files as safetensors."""

from pathlib import Path

from training.weights.files import config_of
from training.weights.shards import Reader, Writer, dtype_named, with_progress
from training.weights.telling import Say, quiet


def convert(source: Path, target: Path, *, dtype: str, say: Say = quiet) -> None:
    """Raises `WeightsError`. What is no floating-point tensor stays as it is."""
    reader = Reader(source)
    wanted = dtype_named(dtype)
    with Writer(target) as writer:
        writer.copy_companions(source)
        if config := config_of(source):
            # Both names: older versions of transformers know the first only.
            stated = [name for name in ("torch_dtype", "dtype") if name in config] or ["dtype"]
            writer.write_json("config.json", {**config, **dict.fromkeys(stated, dtype)})
        for name in with_progress(reader.names, say):
            tensor = reader.get(name)
            writer.add(name, tensor.to(wanted) if tensor.is_floating_point() else tensor)
