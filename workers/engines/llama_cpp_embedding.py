"""Embeddings by llama.cpp: a second server object on the same weights, since a context either samples or pools.

The weights are mapped from the file, so that both share their pages; what it adds is a K/V cache and the buffers of one
batch. It is made at the first request for embeddings, and not at all where nobody asks.
"""

import base64
import logging
import mmap
from array import array
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import Any

from workers.engines.base import Meter, RefusedError, StopSignal
from workers.protocol import Embedded, EmbeddingRequest, ErrorCode, FinishReason, StreamEvent

logger = logging.getLogger(__name__)

LONGEST_INPUT = 2048
"""Tokens. A text is pooled in one physical batch, whose buffers grow with it."""
SLOTS = 4
BATCH = 64
"""Texts handed over at once; llama.cpp fills its batches with them."""
POOLING_KEY = b".pooling_type"
LONGEST_HEADER = 64 * 2**20


class Embedding:
    """The pooling server of one GGUF file."""

    def __init__(self, server: Any, *, longest: int, count: Callable[[str], int], vocabulary: int) -> None:
        self._server = server
        self._longest = longest
        self._count = count
        self._vocabulary = vocabulary

    def embed(self, request: EmbeddingRequest, stop: StopSignal) -> Generator[StreamEvent, None, None]:
        meter = Meter()
        self._check(request)
        for first in range(0, len(request.inputs), BATCH):
            if stop.is_set():
                yield meter.finished(FinishReason.CANCELLED)
                return
            answer = self._ask(request.inputs[first : first + BATCH])
            if answer is None:
                yield meter.failed(ErrorCode.ENGINE_FAILURE, "llama.cpp could not embed the input.")
                return
            meter.prompt_tokens += answer["usage"]["prompt_tokens"]
            rows = sorted(answer["data"], key=lambda row: row["index"])
            yield Embedded(first, tuple(shortened(row["embedding"], request.dimensions) for row in rows))
        yield meter.finished(FinishReason.STOP)

    def _ask(self, inputs: Sequence[str | tuple[int, ...]]) -> dict[str, Any] | None:
        texts = [text if isinstance(text, str) else list(text) for text in inputs]
        try:
            answer: dict[str, Any] = self._server.handle_embeddings(
                {"input": texts, "encoding_format": "base64"}
            )
        except Exception as error:
            logger.error("llama.cpp raised %s while embedding.", type(error).__name__)  # its text may quote
            return None
        return answer if "data" in answer else None

    def _check(self, request: EmbeddingRequest) -> None:
        for number, text in enumerate(request.inputs):
            if not isinstance(text, str) and not all(0 <= token < self._vocabulary for token in text):
                raise RefusedError(f"input[{number}] holds a token id that the model does not have.", "input")
            # A token has at least one byte.
            if len(text.encode() if isinstance(text, str) else text) <= self._longest - 2:
                continue
            tokens = self._count(text) if isinstance(text, str) else len(text)
            if tokens > self._longest - 2:
                raise RefusedError(
                    f"input[{number}] has {tokens} tokens, more than the {self._longest - 2} that can be embedded.",
                    "input",
                    ErrorCode.CONTEXT_OVERFLOW,
                )


def shortened(vector: str, dimensions: int | None) -> str:
    """The first `dimensions` numbers of a base64 float32 vector, scaled to length 1 again."""
    if dimensions is None:
        return vector
    numbers = array("f", base64.b64decode(vector))
    if dimensions > len(numbers):
        raise RefusedError(f"dimensions is at most {len(numbers)} with this model.", "dimensions")
    numbers = numbers[:dimensions]
    length = sum(number * number for number in numbers) ** 0.5 or 1.0
    return base64.b64encode(array("f", (number / length for number in numbers))).decode()


def pools_itself(path: Path) -> bool:
    """Whether the GGUF file says how its vectors are pooled, as embedding models do."""
    with path.open("rb") as file:
        length = min(LONGEST_HEADER, path.stat().st_size)
        with mmap.mmap(file.fileno(), length, access=mmap.ACCESS_READ) as header:
            return header.find(POOLING_KEY) >= 0
