"""A bounded closed-loop load client for streaming chat completions and for the chat page's websocket.

Loopback targets only. It parses HTTP by hand: at 300 streams on two cores a general client would cost more
than the server.
"""

import asyncio
import json
import random
import ssl
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from urllib.parse import urlsplit

TOPICS = (
    "a baker who moved to the sea",
    "two gardeners and one gate",
    "the slow train over the pass",
    "a letter that came too late",
    "a choir in an empty theatre",
    "the cartographer's daughter",
    "a winter without snow",
    "the last ferry of the year",
)
LONG_TAIL = (
    "Begin with the weather and the sound of the street. Let three voices speak in turn, and let each of them be wrong "
    "about one thing. The first voice has lived there for forty years, the second arrived last week, and the third is "
    "only passing through. Mention the market on Thursdays, the locked door behind the school, the dog that belongs to "
    "nobody and the map on the wall of the post office. Keep to the past tense, use short sentences, explain nothing, "
    "and end in the middle of a conversation."
)


def make_prompts(count: int, seed: str) -> list[str]:
    """The same prompts for the same seed: three of four short, one of four long, none a prefix of another."""
    dice = random.Random(seed)  # noqa: S311 - a fixed sequence, not a secret
    return [
        f"Number {dice.randrange(10**6)}: write a long, detailed story about {dice.choice(TOPICS)}. "
        + (LONG_TAIL if index % 4 == 3 else "")
        for index in range(count)
    ]


@dataclass
class Stream:
    """What happened to one request; times are `time.perf_counter()` seconds."""

    sent: float = 0.0
    arrivals: list[float] = field(default_factory=list)
    """When each chunk with text came."""
    text: str = ""
    tokens: int = 0
    finish: str = ""
    done: bool = False
    error: str = ""
    ended: float = 0.0

    @property
    def first(self) -> float | None:
        """Seconds to the first text."""
        return self.arrivals[0] - self.sent if self.arrivals else None

    @property
    def gaps(self) -> list[float]:
        return [later - earlier for earlier, later in zip(self.arrivals, self.arrivals[1:], strict=False)]


def check_loopback(url: str) -> None:
    host = urlsplit(url).hostname or ""
    if host not in ("localhost", "::1") and not host.startswith("127."):
        raise ValueError(f"{url}: only loopback addresses are loaded.")


async def _chunks(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    """The chunks of a chunked body, or all of an unchunked one until the end of the connection."""
    while size := await reader.readline():
        length = int(size.split(b";")[0], 16)
        if length == 0:
            return
        data = await reader.readexactly(length + 2)
        yield data[:-2]


async def complete(url: str, key: str, body: dict[str, object], *, within: float = 180.0) -> Stream:
    """POST a streaming chat completion to `url` and read it to its end. Never raises; see `Stream.error`."""
    stream = Stream()
    parts = urlsplit(url)
    payload = json.dumps(body).encode()
    head = (
        f"POST {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\nAuthorization: Bearer {key}\r\n"
        f"Content-Type: application/json\r\nAccept: text/event-stream\r\nContent-Length: {len(payload)}\r\n"
        "Connection: close\r\n\r\n"
    )
    writer = None
    try:
        async with asyncio.timeout(within):
            stream.sent = time.perf_counter()
            secure = ssl.create_default_context() if parts.scheme == "https" else None
            reader, writer = await asyncio.open_connection(
                parts.hostname, parts.port, limit=2**20, ssl=secure
            )
            writer.write(head.encode() + payload)
            status = (await reader.readline()).split()[1].decode()
            headers = {}
            while (line := await reader.readline()) not in (b"\r\n", b""):
                name, _, value = line.decode("latin-1").partition(":")
                headers[name.lower()] = value.strip()
            if status != "200":
                stream.error = f"HTTP {status}"
                return stream
            await _read_events(reader, stream)
    except TimeoutError:
        stream.error = f"no end within {within:g} s"
    except (OSError, asyncio.IncompleteReadError, ValueError, IndexError) as error:
        stream.error = f"{type(error).__name__}: {error}"
    finally:
        stream.ended = time.perf_counter()
        if writer is not None:
            writer.close()
    if not stream.error and not stream.done:
        stream.error = "cut: no [DONE]"
    return stream


async def _read_events(reader: asyncio.StreamReader, stream: Stream) -> None:
    buffer = b""
    pieces = []
    async for chunk in _chunks(reader):
        now = time.perf_counter()
        buffer += chunk
        *lines, buffer = buffer.split(b"\n")
        for line in lines:
            if not line.startswith(b"data:"):
                continue
            data = line[5:].strip()
            if data == b"[DONE]":
                stream.done = True
                continue
            event = json.loads(data)
            if "error" in event:
                stream.error = str(event["error"])[:200]
                continue
            if usage := event.get("usage"):
                stream.tokens = usage["completion_tokens"]
            for choice in event["choices"]:
                if text := choice["delta"].get("content"):
                    pieces.append(text)
                    stream.arrivals.append(now)
                stream.finish = choice.get("finish_reason") or stream.finish
    stream.text = "".join(pieces)


async def chat_by_socket(
    url: str, cookie: str, origin: str, chat_model: str, text: str, *, within: float = 180.0
) -> Stream:
    """Send one message through the chat page's websocket and follow its reply. Never raises."""
    import websockets  # a development dependency; `manage.py benchmark` says so when it is missing
    from websockets.typing import Origin

    stream = Stream()
    pieces = []
    try:
        async with (
            asyncio.timeout(within),
            websockets.connect(
                url, origin=Origin(origin), additional_headers={"Cookie": cookie}, proxy=None
            ) as socket,
        ):
            stream.sent = time.perf_counter()
            frame = {
                "type": "send",
                "text": text,
                "client_id": uuid.uuid4().hex,
                "conversation": None,
                "chat_model": chat_model,
            }
            await socket.send(json.dumps({**frame, "settings": None}))
            async for raw in socket:
                now = time.perf_counter()
                message = json.loads(raw)
                if message["type"] == "error":
                    stream.error = message["message"]
                    break
                if message["type"] != "event":
                    continue
                event = message["event"]
                if event["type"] == "delta":
                    pieces.append(event["text"])
                    stream.arrivals.append(now)
                elif event["type"] == "finished":
                    stream.tokens, stream.finish, stream.done = (
                        event["usage"]["completion_tokens"],
                        event["reason"],
                        True,
                    )
                    break
                elif event["type"] == "failed":
                    stream.error = event["message"]
                    break
    except TimeoutError:
        stream.error = f"no end within {within:g} s"
    except (OSError, websockets.WebSocketException) as error:
        stream.error = f"{type(error).__name__}: {error}"
    stream.ended = time.perf_counter()
    stream.text = "".join(pieces)
    if not stream.error and not stream.done:
        stream.error = "cut"
    return stream


async def closed_loop(
    prompts: list[str], concurrency: int, ask: Callable[[str], Awaitable[Stream]]
) -> tuple[list[Stream], float]:
    """Ask all prompts, `concurrency` at a time; (streams, wall seconds)."""
    todo = iter(prompts)
    streams: list[Stream] = []

    async def work() -> None:
        for prompt in todo:
            streams.append(await ask(prompt))  # noqa: PERF401 - the next prompt is taken when this one has ended

    began = time.perf_counter()
    await asyncio.gather(*(work() for _ in range(concurrency)))
    return streams, time.perf_counter() - began
