"""Vectors in a server's answer to an embeddings request. Pure but for numpy."""

import base64
import binascii
from typing import Any

import numpy as np


def vectors_of(answer: Any, count: int) -> tuple[str, ...]:
    """Base64 of little-endian float32 of length 1, in the order of the inputs.

    A server may send base64 or lists of numbers, in any order. Raises ValueError when it is not `count` vectors.
    """
    data = answer.get("data") if isinstance(answer, dict) else None
    if not isinstance(data, list) or not all(isinstance(one, dict) for one in data):
        raise ValueError("no list of vectors")
    placed = {one.get("index", place): one.get("embedding") for place, one in enumerate(data)}
    if set(placed) != set(range(count)):
        raise ValueError("not one vector for each input")
    return tuple(_encoded(placed[place]) for place in range(count))


def _encoded(vector: Any) -> str:
    try:
        numbers = (
            np.frombuffer(base64.b64decode(vector, validate=True), "<f4")
            if isinstance(vector, str)
            else np.asarray(vector, "<f4")
        )
    except (binascii.Error, TypeError, ValueError):
        raise ValueError("a vector that is neither base64 nor numbers") from None
    length = float(np.linalg.norm(numbers.astype(np.float64)))
    if numbers.ndim != 1 or not np.isfinite(length) or length == 0.0:
        raise ValueError("a vector without a length")
    return base64.b64encode((numbers / np.float32(length)).astype("<f4").tobytes()).decode()
