"""The wire of `/v1/embeddings`."""

import base64
from array import array
from dataclasses import dataclass
from typing import Any, Final, Literal

from workers.api.completions.protocol import Prompt, read_inputs
from workers.api.errors import InvalidParameter
from workers.api.fields import LONGEST_MODEL, Fields, Whole, text

MOST_INPUTS: Final = 2048
"""OpenAI's."""
MOST_DIMENSIONS: Final = 65_536
DIMENSIONS: Final[Whole] = {"minimum": 1, "maximum": MOST_DIMENSIONS}
ENCODINGS: Final = ("float", "base64")
HONOURED: Final = frozenset({"model", "input", "dimensions", "encoding_format"})
WITHOUT_EFFECT: Final[dict[str, tuple[type, str]]] = {
    "user": (str, "names the caller's own user for abuse reports"),
}


@dataclass(frozen=True, slots=True)
class EmbeddingsRequest:
    model: str
    inputs: tuple[Prompt, ...]
    dimensions: int | None = None
    encoding: Literal["float", "base64"] = "float"


def parse(body: dict[str, Any]) -> EmbeddingsRequest:
    """Raises `InvalidParameter` for the first thing that is wrong."""
    fields = Fields(body)
    fields.refuse_unknown(HONOURED | WITHOUT_EFFECT.keys())
    for name, (wanted, _) in WITHOUT_EFFECT.items():
        fields.check_type(name, wanted)
    inputs = read_inputs(fields.required("input"), "input", most=MOST_INPUTS)
    for index, one in enumerate(inputs):
        if one == "":
            param = "input" if isinstance(body["input"], str) else f"input[{index}]"
            raise InvalidParameter(param, "must not be empty.")
    encoding = fields.text("encoding_format")
    if encoding is not None and encoding not in ENCODINGS:
        raise InvalidParameter("encoding_format", "must be 'float' or 'base64'.")
    return EmbeddingsRequest(
        model=text(fields.required("model"), "model", longest=LONGEST_MODEL),
        inputs=inputs,
        dimensions=fields.integer("dimensions", **DIMENSIONS),
        encoding="base64" if encoding == "base64" else "float",
    )


def answer(request: EmbeddingsRequest, vectors: list[str], prompt_tokens: int) -> dict[str, Any]:
    """`vectors` are base64 of little-endian float32, which is what OpenAI's base64 is as well."""
    return {
        "object": "list",
        "model": request.model,
        "data": [
            {
                "object": "embedding",
                "index": index,
                "embedding": vector if request.encoding == "base64" else numbers(vector),
            }
            for index, vector in enumerate(vectors)
        ],
        "usage": {"prompt_tokens": prompt_tokens, "total_tokens": prompt_tokens},
    }


def numbers(vector: str) -> list[float]:
    return array("f", base64.b64decode(vector)).tolist()
