"""Server-sent events as OpenAI's clients can read them.

Measured with the true clients: an `id:`, `retry:` or named event crashes the Python one or gives it empty chunks. So
frames are `data:` lines and nothing else, silence is bridged by comments, and JSON is pure ASCII, which no line reader
can split in a wrong place (U+2028 ends a line for some).
"""

import json
from typing import Any

from workers.api.errors import ApiError
from workers.protocol import Waiting

KEEP_ALIVE = b": keep-alive\n\n"
KEEP_ALIVE_AFTER = 10.0
"""Seconds of silence after which a comment is sent. Proxies cut at 30 and more, many clients at 60."""

DONE = b"data: [DONE]\n\n"

HEADERS = {
    "cache-control": "no-cache, no-transform",
    # nginx otherwise collects the frames until a buffer is full.
    "x-accel-buffering": "no",
}
CONTENT_TYPE = "text/event-stream; charset=utf-8"


def frame(data: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(data, separators=(",", ":")).encode("ascii") + b"\n\n"


def waiting(event: Waiting) -> bytes:
    """A comment for whoever looks at the stream itself: clients pass it over."""
    return f": position {event.position} in the queue{', the model is being loaded' * event.loading}\n\n".encode()


HOLE = "\0"
"""Stands in `split_frame` for the value that changes. No name in the catalog can hold it."""


def split_frame(data: dict[str, Any]) -> tuple[bytes, bytes]:
    """The bytes of a frame before and after its one `HOLE`. Any JSON value fits between them."""
    before, after = frame(data).split(json.dumps(HOLE).encode("ascii"))
    return before, after


class OpenAiStream:
    """What OpenAI's streams have in common."""

    keep_alive = KEEP_ALIVE

    def failure(self, error: ApiError) -> bytes:
        """The last frame of a stream that fails; no `[DONE]` follows."""
        return frame(error.body())
