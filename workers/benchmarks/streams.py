"""How many streams at once: SSE through the API and chats through the page's websocket, on the scripted engine.

The scripted engine sends numbered words at a fixed rate, so that a lost, doubled or reordered token shows in the text.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain

from workers.benchmarks.load import Stream, chat_by_socket, complete

GAP_LIMIT_MS = 150.0
"""95 % of the gaps between two pieces of text must be under this."""


@dataclass(frozen=True)
class Outcome:
    streams: int
    broken: int
    """Streams that failed, or whose text is not exactly what the engine sent."""
    gap_p50_ms: float
    gap_p95_ms: float
    gap_p99_ms: float
    first_p50_ms: float
    first_p95_ms: float
    slowdown: float
    """Longest stream's duration ÷ the engine's own."""
    errors: list[str]

    @property
    def holds(self) -> bool:
        return not self.broken and self.gap_p95_ms < GAP_LIMIT_MS


def percentile(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else float("nan")


async def run(
    url: str, key: str, chat_model: str, *, sse: int, sockets: list[str], tokens: int, rate: float
) -> Outcome:
    """`sse` API streams and one chat per session cookie in `sockets`, all at once."""
    expected = " ".join(f"w{number}" for number in range(tokens))
    body: dict[str, object] = {
        "model": chat_model,
        "messages": [{"role": "user", "content": "go"}],
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    timeout = tokens / rate * 3 + 60

    async def later(delay: float, work: "asyncio.Future[Stream] | object") -> Stream:
        # Arrivals within two seconds, not in one instant: people do not press Enter together.
        await asyncio.sleep(delay)
        return await work  # type: ignore[misc]

    total = sse + len(sockets)
    asks = [complete(f"{url}/v1/chat/completions", key, body, timeout=timeout) for _ in range(sse)]
    chats = [
        chat_by_socket(
            url.replace("http", "ws", 1) + "/ws/chat/", cookie, url, chat_model, "go", timeout=timeout
        )
        for cookie in sockets
    ]
    streams = await asyncio.gather(*(later(2 * i / total, work) for i, work in enumerate(chain(asks, chats))))
    return summarise(streams, expected, tokens / rate)


def summarise(streams: list[Stream], expected: str, seconds: float) -> Outcome:
    gaps = [gap * 1000 for stream in streams for gap in stream.gaps]
    firsts = [stream.first * 1000 for stream in streams if stream.first is not None]
    broken = [stream for stream in streams if stream.error or stream.text != expected]
    return Outcome(
        streams=len(streams),
        broken=len(broken),
        gap_p50_ms=percentile(gaps, 0.50),
        gap_p95_ms=percentile(gaps, 0.95),
        gap_p99_ms=percentile(gaps, 0.99),
        first_p50_ms=percentile(firsts, 0.50),
        first_p95_ms=percentile(firsts, 0.95),
        slowdown=max((stream.ended - stream.sent for stream in streams), default=0.0) / seconds,
        errors=sorted({stream.error or "the text differs" for stream in broken})[:3],
    )


def report_row(label: str, outcome: Outcome, report: Callable[[str], None]) -> None:
    report(
        f"{label:>22} {outcome.broken:>7} {outcome.gap_p50_ms:>8.0f} {outcome.gap_p95_ms:>8.0f} {outcome.gap_p99_ms:>8.0f}"
        f" {outcome.first_p50_ms:>9.0f} {outcome.first_p95_ms:>9.0f} {outcome.slowdown:>9.2f}"
        f"   {'holds' if outcome.holds else 'BREAKS'} {'; '.join(outcome.errors)}"
    )


HEADER = f"{'streams':>22} {'broken':>7} {'gap p50':>8} {'p95':>8} {'p99 ms':>8} {'first p50':>9} {'p95 ms':>9} {'slowdown':>9}"
