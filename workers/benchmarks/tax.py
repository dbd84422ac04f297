"""The platform's tax: tokens/s and first-token time through `/v1/chat/completions` beside llama.cpp's own server.

Both serve the same weights with the same slots and context, are asked the same prompts by the same client, in turn,
round after round in one run; the figures are medians over the rounds.
"""

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

import psutil
from django.conf import settings

from workers.benchmarks.load import Stream, closed_loop, complete, make_prompts
from workers.benchmarks.peer import SYSTEM
from workers.benchmarks.stack import Stack

TARGET_RATIO = 0.95
TARGET_FIRST_TOKEN_MS = 15.0
COLUMNS = "{:>7} {:>16} {:>16} {:>16} {:>7} {:>10} {:>17}"


@dataclass(frozen=True)
class Round:
    tokens_per_second: float
    first_token_ms: float
    """Median over the requests."""
    tokens: int
    processor_ms: float = 0.0
    """Per token, of all processes of the side that serves."""


@dataclass(frozen=True)
class Plan:
    model: str
    checkpoint: Path
    slots: int
    context: int
    concurrencies: tuple[int, ...]
    requests: int
    """Per round; at least twice the concurrency is asked."""
    tokens: int
    rounds: int


class Peer:
    """`workers.benchmarks.peer` in a process of its own."""

    def __init__(self, mode: str, plan: Plan):
        arguments = [mode, str(plan.checkpoint), str(plan.slots), str(plan.context)]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "workers.benchmarks.peer", *arguments],
            cwd=settings.BASE_DIR,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def ask(self, line: str) -> dict[str, Any]:
        assert self.process.stdin
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return self.read()

    def read(self) -> dict[str, Any]:
        assert self.process.stdout
        answer: dict[str, Any] = json.loads(self.process.stdout.readline())
        return answer

    def close(self) -> None:
        self.process.communicate(timeout=30)


class HttpPeer(Peer):
    """llama.cpp's own server."""

    def __init__(self, plan: Plan):
        super().__init__("http", plan)
        told = self.read()
        self.address: str = told["address"]
        self.key: str = told["key"]


def over_http(url: str, key: str, plan: Plan, concurrency: int, seed: str) -> Round:
    """One round against an OpenAI-compatible server. Raises RuntimeError when a request failed."""

    async def ask(prompt: str) -> Stream:
        body: dict[str, object] = {
            "model": plan.model,
            "messages": [{"role": "system", "content": SYSTEM}, {"role": "user", "content": prompt}],
            "max_tokens": plan.tokens,
            "temperature": 0,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        return await complete(f"{url}/v1/chat/completions", key, body)

    prompts = make_prompts(max(plan.requests, 2 * concurrency), seed)
    streams, wall = asyncio.run(closed_loop(prompts, concurrency, ask))
    if failed := [stream.error for stream in streams if stream.error]:
        raise RuntimeError(
            f"{len(failed)} of {len(streams)} requests to {url} failed, the first with: {failed[0]}"
        )
    firsts = [stream.first for stream in streams if stream.first is not None]
    tokens = sum(stream.tokens for stream in streams)
    return Round(tokens / wall, median(firsts) * 1000, tokens)


def in_process(peer: Peer, plan: Plan, concurrency: int, seed: str) -> Round:
    answer = peer.ask(f"{concurrency} {max(plan.requests, 2 * concurrency)} {plan.tokens} {seed}")
    return Round(answer["tokens_per_second"], median(answer["firsts"]) * 1000, answer["tokens"])


def processor_seconds(root: psutil.Process) -> float:
    """Of `root` and all that it has started, until now."""
    times = [process.cpu_times() for process in [root, *root.children(recursive=True)]]
    return sum(time.user + time.system for time in times)


def with_processor_time(root: psutil.Process, side: Callable[[], Round]) -> Round:
    """`side()`, with the processor time that `root` and its children took meanwhile."""
    before = processor_seconds(root)
    measured = side()
    return replace(measured, processor_ms=(processor_seconds(root) - before) / measured.tokens * 1000)


def measure(stack: Stack, key: str, plan: Plan, report: Callable[[str], None]) -> bool:
    """Print a row per concurrency; True when every target is met."""
    http, engine = HttpPeer(plan), Peer("engine", plan)
    try:
        report(
            f"{plan.rounds} rounds of {plan.requests} requests, {plan.tokens} new tokens each, temperature 0."
        )
        report(
            "tokens/s and ms to the first token, medians; `ratio` is chatsite / llama.cpp's server, round by round; "
            "`processor` is ms of processor time per token, of each side's processes."
        )
        report(
            COLUMNS.format(
                "streams", "chatsite", "llama.cpp http", "engine alone", "ratio", "first +ms", "processor"
            )
        )
        met = True
        for concurrency in plan.concurrencies:
            # Round -1 warms up and does not count.
            rows = [
                _round(number, concurrency, (stack, key), http, plan) for number in range(-1, plan.rounds)
            ]
            # For orientation, so once is enough.
            alone = in_process(engine, plan, concurrency, f"{concurrency}-alone")
            met &= _report_row(concurrency, rows[1:], alone, report)
        return met
    finally:
        http.close()
        engine.close()


def _round(
    number: int, concurrency: int, platform: tuple[Stack, str], http: HttpPeer, plan: Plan
) -> tuple[Round, Round]:
    """(chatsite, llama.cpp's server). The two sides take turns at being first."""
    # A seed per round, so that no side finds another round's prompts in a warm cache.
    seed = f"{concurrency}-{number}"

    stack, key = platform

    def ours() -> Round:
        return with_processor_time(stack.process, lambda: over_http(stack.url, key, plan, concurrency, seed))

    def theirs() -> Round:
        root = psutil.Process(http.process.pid)
        return with_processor_time(root, lambda: over_http(http.address, http.key, plan, concurrency, seed))

    if number % 2:
        second, first = theirs(), ours()
    else:
        first, second = ours(), theirs()
    return first, second


def _report_row(
    concurrency: int, rows: list[tuple[Round, Round]], alone: Round, report: Callable[[str], None]
) -> bool:
    ratio = median(ours.tokens_per_second / theirs.tokens_per_second for ours, theirs in rows)
    later = median(ours.first_token_ms - theirs.first_token_ms for ours, theirs in rows)
    met = ratio >= TARGET_RATIO and later <= TARGET_FIRST_TOKEN_MS
    sides = [_cell([row[side] for row in rows]) for side in range(2)] + [_cell([alone])]
    verdict = f"{'met' if met else 'MISSED'} (at least {TARGET_RATIO}, at most +{TARGET_FIRST_TOKEN_MS:g} ms)"
    spent = [median(row[side].processor_ms for row in rows) for side in range(2)]
    processor = f"{spent[0]:.2f} ÷ {spent[1]:.2f} ms"
    report(COLUMNS.format(concurrency, *sides, f"{ratio:.3f}", f"{later:+.1f}", processor) + f"   {verdict}")
    return met


def _cell(rounds: list[Round]) -> str:
    speed = median(one.tokens_per_second for one in rounds)
    return f"{speed:.1f} {median(one.first_token_ms for one in rounds):5.0f} ms"
