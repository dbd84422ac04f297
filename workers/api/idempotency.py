"""`Idempotency-Key`: a POST that is sent again with the same key is answered by the first one's answer.

OpenAI's clients retry by themselves, and a connection may break after the work was done. An answer is kept for an hour.
While the first request is under way the second is told to come back (409, which clients retry); the same key with
another body is a mistake of the caller's (400, which they do not).
"""

import hashlib
import io
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, Final, cast

from django.http import HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from rest_framework.request import Request

from chatsite.accounts.models import ApiKey
from workers.api import errors, sse, threads
from workers.api.body import BODY_LIMIT
from workers.connections import broker

KEEP_SECONDS: Final = 3600
# A process that died leaves its mark behind; nobody waits longer than this for what it had begun.
UNDER_WAY_SECONDS: Final = 900
LONGEST_KEY: Final = 255
LARGEST_ANSWER: Final = 1024 * 1024  # bytes; a larger one is not kept
RETRY_AFTER: Final = 0.5  # seconds

# KEYS: entry. ARGV: fingerprint, seconds. The fields that are there already, or nothing when this call made it.
_BEGIN = """
if redis.call('EXISTS', KEYS[1]) == 1 then return redis.call('HMGET', KEYS[1], 'fingerprint', 'answer', 'body') end
redis.call('HSET', KEYS[1], 'fingerprint', ARGV[1])
redis.call('EXPIRE', KEYS[1], ARGV[2])
return false
"""


class Replay(Exception):  # noqa: N818 - reads as what happened
    """The request was answered before; `response` is that answer."""

    def __init__(self, response: HttpResponse) -> None:
        super().__init__("answered before")
        self.response = response


@dataclass(frozen=True, slots=True)
class Entry:
    """The first request with its key. Whoever holds it keeps an answer or takes the mark away."""

    name: str

    async def keep(self, response: HttpResponseBase) -> HttpResponseBase:
        if isinstance(response, StreamingHttpResponse):
            source = cast("AsyncIterator[bytes]", response.streaming_content)
            response.streaming_content = self._recorded(source, response["content-type"])
        elif isinstance(response, HttpResponse) and _worth_keeping(response.status_code, response.content):
            await threads.run(self._store, response.status_code, response["content-type"], response.content)
        else:
            await threads.run(self.forget)
        return response

    def forget(self) -> None:
        broker().delete(self.name)

    async def _recorded(self, source: AsyncIterator[bytes], content_type: str) -> AsyncIterator[bytes]:
        pieces: list[bytes] = []
        size, whole = 0, False
        try:
            async for piece in source:
                size += len(piece)
                if size <= LARGEST_ANSWER:
                    pieces.append(piece)
                yield piece
            whole = size <= LARGEST_ANSWER and not _failed(pieces)
        finally:
            content = b"".join(pieces)
            if whole:
                await threads.run(self._store, 200, content_type, content)
            else:
                await threads.run(self.forget)

    def _store(self, status: int, content_type: str, body: bytes) -> None:
        pipeline = broker().pipeline()
        pipeline.hset(self.name, mapping={"answer": json.dumps([status, content_type]), "body": body})
        pipeline.expire(self.name, KEEP_SECONDS)
        pipeline.execute()


def begin(request: Request, api_key: ApiKey) -> Entry | None:
    """None when the request names no key. Raises `Replay`, or `ApiError`."""
    key = request.META.get("HTTP_IDEMPOTENCY_KEY", "").strip()
    if not key or request.method != "POST":
        return None
    if len(key) > LONGEST_KEY or not key.isprintable():
        raise errors.InvalidRequest(
            f"The Idempotency-Key header must have at most {LONGEST_KEY} printable characters.",
            code="invalid_idempotency_key",
        )
    name = "chatsite:idempotent:" + _digest(f"{api_key.pk}\n{request.path}\n{key}".encode())
    fingerprint = _fingerprint(request)
    found: Any = broker().eval(_BEGIN, 1, name, fingerprint, UNDER_WAY_SECONDS)
    if not found:
        return Entry(name)
    _check_same(found[0], fingerprint)
    if found[1] is None:
        raise errors.Conflict(
            "The first request with this Idempotency-Key is not answered yet. Try again a little later.",
            code="idempotency_in_progress",
            headers=errors.retry_after(RETRY_AFTER),
        )
    status, content_type = json.loads(found[1])
    headers = {"idempotent-replayed": "true"}
    if content_type.startswith("text/event-stream"):
        headers |= sse.HEADERS
    raise Replay(HttpResponse(found[2] or b"", status=status, content_type=content_type, headers=headers))


def _check_same(stored: bytes, fingerprint: str) -> None:
    if stored.decode() != fingerprint:
        raise errors.InvalidRequest(
            "This Idempotency-Key was used for another request before. Use a new one for each request.",
            code="idempotency_key_reused",
        )


def _fingerprint(request: Request) -> str:
    """Of the body, which can be read again afterwards. A file's is its length: it is not read twice."""
    if not request.META.get("CONTENT_TYPE", "").lower().startswith("application/json"):
        return str(request.META.get("CONTENT_LENGTH") or 0)
    raw = request._request
    body: bytes = raw.read(BODY_LIMIT + 1)
    raw._stream = io.BytesIO(body)  # what `read` reads from
    return _digest(body)


def _worth_keeping(status: int, content: bytes) -> bool:
    """What a retry should not change. A limit or a failure may have passed by then."""
    return (status < 300 or status in (400, 404)) and len(content) <= LARGEST_ANSWER


def _failed(pieces: list[bytes]) -> bool:
    return bool(pieces) and b'data: {"error":' in pieces[-1]


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
