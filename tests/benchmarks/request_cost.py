"""Where a request's processor time goes: CPU milliseconds per request and per flush, process by process.

    python tests/benchmarks/request_cost.py

It starts a stack with the scripted engine, streams many one-token answers and then a few long ones, one at a time, and
reads each process's CPU clock before and after. CPU time hardly depends on what else the machine does, so this shows
what the platform takes away from the model's own threads where a timing of the whole would only show noise.
"""

import asyncio
import os
import sys
import tempfile
import time
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parents[2]
SHORT_REQUESTS, LONG_REQUESTS, LONG_TOKENS, RATE = 100, 4, 240, 80


def clocks(*roots: psutil.Process) -> dict[str, float]:
    """User and system seconds of every process of the stack, by its role."""
    found: dict[str, float] = {}
    for process in [each for root in roots for each in [root, *root.children(recursive=True)]]:
        times = process.cpu_times()
        role = " ".join(process.cmdline())[:60]
        found[role] = found.get(role, 0.0) + times.user + times.system
    return found


def show(title: str, before: dict[str, float], after: dict[str, float], count: int) -> None:
    print(title)
    total = 0.0
    for role, seconds in sorted(after.items(), key=lambda item: before.get(item[0], 0) - item[1]):
        spent = (seconds - before.get(role, 0.0)) / count * 1000
        total += spent
        if spent > 0.005:
            print(f"  {spent:8.3f} ms  {role}")
    print(f"  {total:8.3f} ms  together")


def main() -> None:
    if "CHATSITE_DATA" not in os.environ:
        with tempfile.TemporaryDirectory(prefix="chatsite-cost-") as data:
            os.environ["CHATSITE_DATA"] = data
            os.execv(sys.executable, [sys.executable, *sys.argv])
    sys.path.insert(0, str(ROOT))
    os.chdir(ROOT)
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "chatsite.settings.base")
    import django

    django.setup()
    from chatsite.accounts.models import User
    from chatsite.accounts.services import api_keys
    from workers.benchmarks.load import complete
    from workers.benchmarks.stack import WorkerBeside, running

    script = f"rate={RATE}&tokens={LONG_TOKENS}"
    arguments = ["--model", "scripted-cost", "--engine", "scripted", "--checkpoint", script]
    with running("--no-model") as stack, WorkerBeside(*arguments) as worker:
        owner, _ = User.objects.get_or_create(username="cost")
        key = api_keys.create(owner=owner, name="cost")[1]

        async def ask(max_tokens: int) -> float:
            body: dict[str, object] = {
                "model": "scripted-cost",
                "messages": [{"role": "user", "content": "go"}],
                "stream": True,
                "max_tokens": max_tokens,
                "stream_options": {"include_usage": True},
            }
            answer = await complete(f"{stack.url}/v1/chat/completions", key, body)
            if answer.error:
                raise RuntimeError(answer.error)
            return answer.first or 0.0

        async def many(count: int, max_tokens: int) -> list[float]:
            return [await ask(max_tokens) for _ in range(count)]

        asyncio.run(many(10, 1))
        time.sleep(2)
        idle = clocks(stack.process, worker)
        time.sleep(5)
        began = clocks(stack.process, worker)
        show("idle, per second", idle, began, 5)
        firsts = sorted(asyncio.run(many(SHORT_REQUESTS, 1)))
        time.sleep(1)
        short = clocks(stack.process, worker)
        show("per request of one token", began, short, SHORT_REQUESTS)
        print(f"  first token after {firsts[len(firsts) // 2] * 1000:.1f} ms (median, wall clock)")
        asyncio.run(many(LONG_REQUESTS, LONG_TOKENS))
        show(
            f"per token at {RATE} tokens/s", short, clocks(stack.process, worker), LONG_REQUESTS * LONG_TOKENS
        )


if __name__ == "__main__":
    main()
