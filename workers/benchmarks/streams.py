"""How many streams at once: SSE through the API and chats through the page's websocket, on the scripted engine.

The scripted engine sends numbered words at a fixed rate, so that a lost, doubled or reordered token shows in the text.
"""

import asyncio
from collections.abc import Awaitable, Callable
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

    async def later(delay: float, work: Awaitable[Stream]) -> Stream:
        # Arrivals within two seconds, not in one instant: people do not press Enter together.
        await asyncio.sleep(delay)
        return await work

    total = sse + len(sockets)
    asks = [complete(f"{url}/v1/chat/completions", key, body, within=timeout) for _ in range(sse)]
    chats = [
        chat_by_socket(
            url.replace("http", "ws", 1) + "/ws/chat/", cookie, url, chat_model, "go", within=timeout
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


COLUMNS = "{:>22} {:>7} {:>8} {:>8} {:>8} {:>10} {:>8} {:>9}"
HEADER = COLUMNS.format("streams", "broken", "gap p50", "p95", "p99 ms", "first p50", "p95 ms", "slowdown")


def report_row(label: str, outcome: Outcome, report: Callable[[str], None]) -> None:
    times = (
        outcome.gap_p50_ms,
        outcome.gap_p95_ms,
        outcome.gap_p99_ms,
        outcome.first_p50_ms,
        outcome.first_p95_ms,
    )
    figures = [f"{time:.0f}" for time in times]
    row = COLUMNS.format(label, outcome.broken, *figures, f"{outcome.slowdown:.2f}")
    report(f"{row}   {'holds' if outcome.holds else 'BREAKS'} {'; '.join(outcome.errors)}")
