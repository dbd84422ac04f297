"""GGUF files without weights, for tests."""

import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def write_gguf(
    path: Path, metadata: dict[str, Any], tensors: Mapping[str, tuple[tuple[int, ...], int]] | None = None
) -> Path:
    """`tensors`: name → (shape, number of its type). What follows the header is left out."""
    tensors = tensors or {}
    body = struct.pack("<IQQ", 3, len(tensors), len(metadata))
    body += b"".join(_string(key) + _value(value) for key, value in metadata.items())
    for name, (shape, kind) in tensors.items():
        body += _string(name) + struct.pack("<I", len(shape)) + struct.pack(f"<{len(shape)}Q", *shape)
        body += struct.pack("<IQ", kind, 0)
    path.write_bytes(b"GGUF" + body)
    return path


def _string(text: str) -> bytes:
    return struct.pack("<Q", len(text.encode())) + text.encode()


def _value(value: Any) -> bytes:
    match value:
        case str():
            return struct.pack("<I", 8) + _string(value)
        case bool():
            return struct.pack("<I?", 7, value)
        case int():
            return struct.pack("<II", 4, value)
        case float():
            return struct.pack("<If", 6, value)
        case list():
            return struct.pack("<IIQ", 9, 8, len(value)) + b"".join(_string(one) for one in value)
    raise TypeError(type(value))
