"""The platform's tax: output tokens/s and first-token time through `/v1/chat/completions` beside llama.cpp's own server.

Both serve the same weights with the same slots and context, are asked the same prompts by the same client, in turn,
round after round in one run; the figures are medians over the rounds.
"""

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from django.conf import settings

from workers.benchmarks.load import Stream, closed_loop, complete, make_prompts
from workers.benchmarks.peer import SYSTEM

TARGET_RATIO = 0.95
TARGET_FIRST_TOKEN_MS = 15.0


@dataclass(frozen=True)
class Round:
    tokens_per_second: float
    first_token_ms: float
    """Median over the requests."""


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
    return Round(sum(stream.tokens for stream in streams) / wall, median(firsts) * 1000)


def in_process(peer: Peer, plan: Plan, concurrency: int, seed: str) -> Round:
    answer = peer.ask(f"{concurrency} {max(plan.requests, 2 * concurrency)} {plan.tokens} {seed}")
    return Round(answer["tokens_per_second"], median(answer["firsts"]) * 1000)


def measure(url: str, key: str, plan: Plan, report: Callable[[str], None]) -> bool:
    """Print a row per concurrency; True when every target is met."""
    http, engine = Peer("http", plan), Peer("engine", plan)
    try:
        peer = http.read()
        report(
            f"{plan.rounds} rounds of {plan.requests} requests, {plan.tokens} new tokens each, temperature 0."
        )
        report(
            "tokens/s and ms to the first token, medians; `ratio` is chatsite / llama.cpp's server, round by round."
        )
        report(
            f"{'streams':>7} {'chatsite':>16} {'llama.cpp http':>16} {'engine alone':>16} {'ratio':>7} {'first +ms':>10}"
        )
        met = True
        for concurrency in plan.concurrencies:
            rows: list[tuple[Round, Round, Round]] = []
            for number in range(-1, plan.rounds):  # round -1 warms up and does not count
                # A seed per round and side order alternating: no side finds the other's prompts in a warm cache, and
                # a drift of the machine's speed hits both.
                seed = f"{concurrency}-{number}"
                sides: list[Callable[[], Round]] = [
                    lambda seed=seed: over_http(url, key, plan, concurrency, seed),  # type: ignore[misc]
                    lambda seed=seed: over_http(peer["address"], peer["key"], plan, concurrency, seed),  # type: ignore[misc]
                ]
                if number % 2:
                    theirs, ours = sides[1](), sides[0]()
                else:
                    ours, theirs = sides[0](), sides[1]()
                rows.append((ours, theirs, in_process(engine, plan, concurrency, seed)))
            met &= _report_row(concurrency, rows[1:], report)
        return met
    finally:
        http.close()
        engine.close()


def _report_row(
    concurrency: int, rows: list[tuple[Round, Round, Round]], report: Callable[[str], None]
) -> bool:
    ratio = median(ours.tokens_per_second / theirs.tokens_per_second for ours, theirs, _ in rows)
    later = median(ours.first_token_ms - theirs.first_token_ms for ours, theirs, _ in rows)
    cells = [
        f"{median(row[side].tokens_per_second for row in rows):7.1f} {median(row[side].first_token_ms for row in rows):5.0f} ms"
        for side in range(3)
    ]
    met = ratio >= TARGET_RATIO and later <= TARGET_FIRST_TOKEN_MS
    report(
        f"{concurrency:>7} {cells[0]:>16} {cells[1]:>16} {cells[2]:>16} {ratio:>7.3f} {later:>+10.1f}"
        f"   {'met' if met else 'MISSED'} (at least {TARGET_RATIO}, at most +{TARGET_FIRST_TOKEN_MS:g} ms)"
    )
    return met
