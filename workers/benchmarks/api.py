"""What the API adds: requests a second and latency on the scripted engine beside the bare engine, and the throughput of
embeddings beside the engine called directly with the same batch.

The scripted engine answers at once, so everything that is measured is the platform's own: parsing, the key check, the
queue, the worker, the stream, the answer.
"""

import asyncio
import logging
import statistics
import time
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import httpx

from workers.engines.base import Engine, StopSignal, run
from workers.protocol import ChatMessage, EmbeddingRequest, Finished, GenerationRequest, WorkerRequest

logging.getLogger("httpx").setLevel(logging.WARNING)  # it logs a line for each request

CONCURRENCY = 8
TEXTS = 16
"""In one request for embeddings."""
TARGET_SHARE = 0.9
"""Of the engine's own throughput of embeddings."""
HEADER = f"{'endpoint':<22} {'requests/s':>11} {'alone ms':>9} {'engine ms':>10} {'added ms':>9}"
WORDS = (
    "quick",
    "brown",
    "fox",
    "lazy",
    "dog",
    "seven",
    "wizards",
    "count",
    "boxing",
    "gloves",
    "over",
    "while",
)


@dataclass(frozen=True)
class Row:
    endpoint: str
    requests_per_second: float
    """`CONCURRENCY` at once."""
    alone_ms: float
    """Median of one after the other."""
    engine_ms: float
    """Median of the bare engine, in this process."""

    def __str__(self) -> str:
        added = self.alone_ms - self.engine_ms
        return (
            f"{self.endpoint:<22} {self.requests_per_second:>11.0f} {self.alone_ms:>9.2f} "
            f"{self.engine_ms:>10.3f} {added:>9.2f}"
        )


def texts(count: int, seed: int = 0) -> list[str]:
    """Different texts of about twelve words."""
    return [
        f"{seed}-{number} " + " ".join(WORDS[(number + place) % len(WORDS)] for place in range(11))
        for number in range(count)
    ]


def bare(engine: Engine, request: Callable[[], WorkerRequest], count: int) -> float:
    """Median milliseconds of the engine itself. Raises RuntimeError when it fails."""
    times = []
    for _ in range(count):
        began = time.perf_counter()
        *_, last = run(engine, request(), StopSignal())
        times.append(time.perf_counter() - began)
        if not isinstance(last, Finished):
            raise RuntimeError(f"The engine failed: {last}")
    return statistics.median(times) * 1000


async def over_http(url: str, key: str, model: str, engine: Engine, requests: int) -> list[Row]:
    """Raises `httpx.HTTPStatusError` when a request fails."""
    chat = {"model": model, "messages": [{"role": "user", "content": "Hello"}]}
    vectors = {"model": model, "input": texts(TEXTS), "encoding_format": "base64"}
    headers = {"authorization": f"Bearer {key}"}
    async with httpx.AsyncClient(base_url=f"{url}/v1", headers=headers, timeout=60) as client:

        async def get_models() -> None:
            (await client.get("/models")).raise_for_status()

        async def post_chat() -> None:
            (await client.post("/chat/completions", json=chat)).raise_for_status()

        async def post_vectors() -> None:
            (await client.post("/embeddings", json=vectors)).raise_for_status()

        plan: list[tuple[str, Callable[[], Awaitable[None]], float]] = [
            ("models", get_models, 0.0),
            ("chat/completions", post_chat, bare(engine, lambda: a_chat(model), requests)),
            (
                f"embeddings ({TEXTS} texts)",
                post_vectors,
                bare(engine, lambda: some_vectors(model), requests),
            ),
        ]
        return [await _row(name, ask, engine_ms, requests) for name, ask, engine_ms in plan]


async def _row(name: str, ask: Callable[[], Awaitable[None]], engine_ms: float, requests: int) -> Row:
    for _ in range(3):  # connections, caches
        await ask()
    alone = []
    for _ in range(requests):
        began = time.perf_counter()
        await ask()
        alone.append(time.perf_counter() - began)
    left = iter(range(requests * 2))

    async def one_after_the_other() -> None:
        for _ in left:
            await ask()

    began = time.perf_counter()
    await asyncio.gather(*(one_after_the_other() for _ in range(CONCURRENCY)))
    return Row(name, requests * 2 / (time.perf_counter() - began), statistics.median(alone) * 1000, engine_ms)


def a_chat(model: str) -> GenerationRequest:
    return GenerationRequest(_id(), model, (ChatMessage("user", "Hello"),), time.time() + 60)


def some_vectors(model: str) -> EmbeddingRequest:
    return EmbeddingRequest(_id(), model, tuple(texts(TEXTS)), time.time() + 60)


def embedding_share(
    url: str, key: str, model: str, engine: Engine, *, batch: int, rounds: int, say: Callable[[str], None]
) -> bool:
    """Texts a second through the API ÷ the engine with the same batch, round by round in turn, medians."""
    through, direct = [], []
    with httpx.Client(
        base_url=f"{url}/v1", headers={"authorization": f"Bearer {key}"}, timeout=600
    ) as client:
        for number in range(rounds + 1):  # the first one loads, and does not count
            inputs = texts(batch, seed=number)
            through.append(_timed(partial(_post, client, model, inputs)))
            request = EmbeddingRequest(_id(), model, tuple(inputs), time.time() + 600)
            direct.append(_timed(partial(_work_on, engine, request)))
    own, engines = batch / statistics.median(through[1:]), batch / statistics.median(direct[1:])
    say(
        f"embeddings of the default model, {batch} texts a request: {own:.1f} texts/s through the API, "
        f"{engines:.1f} by the engine: {own / engines:.2f} of it (at least {TARGET_SHARE:g} is wanted)"
    )
    return own / engines >= TARGET_SHARE


def _post(client: httpx.Client, model: str, inputs: list[str]) -> None:
    body: dict[str, Any] = {"model": model, "input": inputs, "encoding_format": "base64"}
    client.post("/embeddings", json=body).raise_for_status()


def _work_on(engine: Engine, request: WorkerRequest) -> None:
    *_, last = run(engine, request, StopSignal())
    if not isinstance(last, Finished):
        raise RuntimeError(f"The engine failed: {last}")


def _timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _id() -> str:
    return uuid.uuid4().hex
