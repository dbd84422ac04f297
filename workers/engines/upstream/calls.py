"""HTTP to the server: one event loop for all requests, retries before the first token and never after."""

import asyncio
import contextlib
import json
import queue
import random
import threading
from collections.abc import AsyncIterator, Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

import httpx

from workers.engine_settings.presets import Quirk
from workers.engine_settings.upstream import Upstream

T = TypeVar("T")

CONNECT_SECONDS = 10.0
# Between two pieces of a stream. A model that thinks may be silent for minutes; the request's own deadline ends it.
SILENCE_SECONDS = 600.0
ATTEMPTS = 5
FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 20.0
RETRIED = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})
LONGEST_ERROR_BODY = 64 * 1024


class RefusalError(Exception):
    """The server's final no.

    `status` 0 is a connection that failed; `code` the error object's `code` or `type`; `tokens` and `context` how long
    a prompt is and might be, 0 when the server does not say.
    """

    def __init__(
        self, status: int, code: str = "", param: str = "", *, tokens: int = 0, context: int = 0
    ) -> None:
        super().__init__(f"status {status}")
        self.status, self.code, self.param, self.tokens, self.context = status, code, param, tokens, context


class CutOffError(Exception):
    """The connection broke, or an error came, behind the first piece."""


class Caller:
    """Speaks HTTP with one server on a thread of its own."""

    def __init__(self, upstream: Upstream, key: str) -> None:
        self._upstream = upstream
        self._key = key
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="upstream-http", daemon=True)
        self._thread.start()
        self._client = self.run(self._make_client())

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Have the loop do it, and wait for it."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def start(self, path: str, body: dict[str, Any], pieces: "queue.SimpleQueue[Any]") -> Future[None]:
        """Begin a streaming request. `pieces` gets each chunk's JSON, then None or the exception it ended with."""
        return asyncio.run_coroutine_threadsafe(self._stream(path, body, pieces), self._loop)

    def get(self, path: str) -> Any:
        """The JSON behind a path. Raises `RefusalError`; no retries."""
        return self.run(self._once("GET", path, None))

    def post(self, path: str, body: dict[str, Any]) -> Any:
        """The JSON answer to `body`, with retries. Raises `RefusalError`."""
        return self.run(self._retried_post(path, body))

    def count_tokens(self, text: str) -> int:
        """Tokens of a piece of text, by the `/tokenize` of vLLM, SGLang and llama.cpp; 0 when there is none."""
        address = str(self._client.base_url).removesuffix("/").removesuffix("/v1") + "/tokenize"
        body = {
            "model": self._upstream.model,
            "prompt": text,
            "content": text,
            "add_special_tokens": False,
            "add_special": False,
        }
        try:
            answer = self.run(self._once("POST", address, body))
        except RefusalError:
            return 0
        tokens = answer.get("tokens") if isinstance(answer, dict) else None
        return len(tokens) if isinstance(tokens, list) else 0

    def move(self, base_url: str) -> None:
        """The server listens elsewhere now."""
        self._client.base_url = httpx.URL(base_url + "/")

    def close(self) -> None:
        if self._thread.is_alive():
            with contextlib.suppress(Exception):
                self.run(self._client.aclose())
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(10)
            if not self._loop.is_running():
                self._loop.close()

    async def _make_client(self) -> httpx.AsyncClient:
        headers = {"User-Agent": "chatsite"}
        if self._key:
            azure = Quirk.AZURE_KEY in self._upstream.quirks
            headers |= {"api-key": self._key} if azure else {"Authorization": f"Bearer {self._key}"}
        return httpx.AsyncClient(
            base_url=(self._upstream.base_url or "http://127.0.0.1") + "/",
            headers=headers,
            timeout=httpx.Timeout(SILENCE_SECONDS, connect=CONNECT_SECONDS),
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=64),
            follow_redirects=False,  # a key must not travel on to another address
        )

    async def _stream(self, path: str, body: dict[str, Any], pieces: "queue.SimpleQueue[Any]") -> None:
        try:
            async with self._opened(path, body) as response:
                async for data in _events(response):
                    pieces.put(data)
            pieces.put(None)
        except asyncio.CancelledError:
            pieces.put(None)
            raise
        except Exception as error:  # the reader decides what it means
            pieces.put(error)

    @contextlib.asynccontextmanager
    async def _opened(self, path: str, body: dict[str, Any]) -> AsyncIterator[httpx.Response]:
        for attempt in range(ATTEMPTS):
            async with contextlib.AsyncExitStack() as stack:
                try:
                    response = await stack.enter_async_context(
                        self._client.stream("POST", path.lstrip("/"), json=body)
                    )
                except httpx.TransportError:
                    refusal, pause = RefusalError(0), None
                else:
                    if response.status_code == 200:
                        yield response
                        return
                    refusal, pause = await _refusal(response), _asked_pause(response)
            if attempt + 1 == ATTEMPTS or (refusal.status and refusal.status not in RETRIED):
                raise refusal
            await asyncio.sleep(_pause(attempt, pause))

    async def _retried_post(self, path: str, body: dict[str, Any]) -> Any:
        async with self._opened(path, body) as response:
            return json.loads(await response.aread())

    async def _once(self, method: str, path: str, body: dict[str, Any] | None) -> Any:
        try:
            response = await self._client.request(
                method, path.lstrip("/"), json=body, timeout=CONNECT_SECONDS
            )
        except httpx.TransportError:
            raise RefusalError(0) from None
        if response.status_code != 200:
            raise await _refusal(response)
        try:
            return response.json()
        except ValueError:
            raise RefusalError(response.status_code, "not_json") from None


async def _events(response: httpx.Response) -> AsyncIterator[Any]:
    """The JSON of each server-sent event up to `[DONE]`.

    Raises `CutOffError` when the connection breaks, an error object comes, or what comes is no JSON.
    """
    try:
        async for line in response.aiter_lines():
            if not line.startswith("data:"):
                continue
            text = line[5:].strip()
            if text == "[DONE]":
                return
            data = json.loads(text)
            if isinstance(data, dict) and data.get("error"):
                raise CutOffError("the server sent an error in mid-answer")
            yield data
    except (httpx.HTTPError, httpx.StreamError):
        raise CutOffError("the connection broke in mid-answer") from None
    except ValueError:
        raise CutOffError("the server sent something that is not JSON") from None


async def _refusal(response: httpx.Response) -> RefusalError:
    body = b""
    with contextlib.suppress(httpx.HTTPError, httpx.StreamError):
        async for chunk in response.aiter_bytes():
            body += chunk
            if len(body) > LONGEST_ERROR_BODY:
                break
    try:
        error = json.loads(body)
    except ValueError:
        error = None
    error = error.get("error", error) if isinstance(error, dict) else None
    if not isinstance(error, dict):
        return RefusalError(response.status_code)
    code = error.get("code")
    return RefusalError(
        response.status_code,
        _name(code if isinstance(code, str) else error.get("type")),
        _name(error.get("param")),
        tokens=_number(error.get("n_prompt_tokens")),
        context=_number(error.get("n_ctx")),
    )


def _number(value: Any) -> int:
    return value if isinstance(value, int) else 0


def _name(value: Any) -> str:
    """An identifier as it is, anything else (which might quote the request) as ""."""
    text = str(value or "")
    return text if len(text) < 60 and text.replace("_", "").replace(".", "").isalnum() else ""


def _asked_pause(response: httpx.Response) -> float | None:
    """Seconds that `retry-after-ms` or `retry-after` asks for."""
    for header, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        try:
            return max(0.0, float(response.headers[header]) * unit)
        except (KeyError, ValueError):
            continue
    return None


def _pause(attempt: int, asked: float | None) -> float:
    own: float = FIRST_PAUSE_SECONDS * 2**attempt * random.uniform(0.8, 1.2)  # noqa: S311 - spreads retries, no secret
    return min(max(own, asked or 0.0), LONGEST_PAUSE_SECONDS)
