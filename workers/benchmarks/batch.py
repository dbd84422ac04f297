"""A large batch file: how long until it is accepted, and whether its lines then run at the engine's own speed.

The scripted engine takes a fixed time for each reply, so its own speed is known: slots ÷ that time, less the one that a
batch leaves free for live requests.
"""

import json
import time
from collections.abc import Callable
from typing import Any, Final

import httpx

from workers import client

TOKENS: Final = 20
RATE: Final = 20.0
"""Tokens a second and reply: a second for each line."""
SCRIPT: Final = f"slots=8&rate={RATE:g}&tokens={TOKENS}"
ACCEPTED_SECONDS: Final = 10.0
TARGET_SHARE: Final = 0.9
WATCHED_SECONDS: Final = 30.0


def lines_file(model: str, lines: int) -> bytes:
    body = {"model": model, "messages": [{"role": "user", "content": "Go"}], "max_tokens": TOKENS}
    line = {"method": "POST", "url": "/v1/chat/completions", "body": body}
    return b"".join(
        json.dumps({"custom_id": f"line-{number}", **line}).encode() + b"\n" for number in range(lines)
    )


def measure(url: str, key: str, model: str, *, lines: int, say: Callable[[str], None]) -> bool:
    """Upload, begin, watch for a while, cancel. Raises `httpx.HTTPStatusError`."""
    headers = {"authorization": f"Bearer {key}"}
    with httpx.Client(base_url=f"{url}/v1", headers=headers, timeout=120) as session:
        began = time.perf_counter()
        batch = _begin(session, lines_file(model, lines))
        accepted = time.perf_counter() - began
        say(f"a batch file of {lines} lines: accepted in {accepted:.2f} s (at most {ACCEPTED_SECONDS:g} s)")
        share = _watch(session, batch["id"], own_speed(model), say)
        session.post(f"/batches/{batch['id']}/cancel")
    return accepted <= ACCEPTED_SECONDS and share >= TARGET_SHARE


def own_speed(model: str) -> float:
    """Lines a second that the engine can make with the slots that a batch may have."""
    hosted = [each for status in client.statuses() for each in status.models if each.name == model]
    return (sum(each.slots for each in hosted) - 1) * RATE / TOKENS


def _begin(session: httpx.Client, content: bytes) -> dict[str, Any]:
    file = session.post(
        "/files", data={"purpose": "batch"}, files={"file": ("requests.jsonl", content)}
    ).raise_for_status()
    body = {
        "input_file_id": file.json()["id"],
        "endpoint": "/v1/chat/completions",
        "completion_window": "24h",
    }
    batch: dict[str, Any] = session.post("/batches", json=body).raise_for_status().json()
    return batch


def _watch(session: httpx.Client, batch_id: str, own: float, say: Callable[[str], None]) -> float:
    """The share of the engine's own speed, from the first lines that are done on."""
    first: tuple[float, int] | None = None
    until = time.monotonic() + 2 * WATCHED_SECONDS
    while time.monotonic() < until:
        counts = session.get(f"/batches/{batch_id}").raise_for_status().json()["request_counts"]
        now, done = time.monotonic(), int(counts["completed"])
        if counts["failed"]:
            raise RuntimeError(f"{counts['failed']} lines of the batch failed.")
        if first is None and done:
            first = (now, done)
        if first and (now - first[0] >= WATCHED_SECONDS or done == counts["total"]):
            break
        time.sleep(0.5)
    if first is None:
        raise RuntimeError(f"No line of the batch was done within {2 * WATCHED_SECONDS:g} s.")
    speed = (done - first[1]) / max(now - first[0], 0.001)
    say(
        f"its lines: {speed:.1f} a second, the engine's own {own:.1f}: {speed / own:.2f} of it "
        f"(at least {TARGET_SHARE:g} is wanted)"
    )
    return speed / own
