"""A hundred streams that their readers break off: nothing of them is left, and each costs exactly what was written."""

import asyncio
import contextlib
import json
from typing import Any

import httpx
import pytest

from tests.flows.stack import Stack, until
from workers import streams
from workers.ledger import IN_FLIGHT
from workers.protocol import Delta, Finished

STREAMS = 100
DAY = 10_000_000
"""Tokens that the key may use, so that all of them are set aside and settled."""
MAKE_KEY = f"""
from chatsite.accounts.models import User
from chatsite.accounts.services import api_keys
limits = api_keys.Restrictions(tokens_per_day={DAY})
print(api_keys.create(owner=User.objects.get(username="admin"), name="aborted", restrictions=limits)[1])
"""


@pytest.fixture(scope="module")
def limited_key(stack: Stack) -> str:
    return stack.manage("shell", "--no-imports", "-c", MAKE_KEY).splitlines()[-1]


def test_broken_off_streams_leave_nothing_and_cost_what_they_made(
    stack: Stack, limited_key: str, counting_model: str
):
    heard = asyncio.run(break_off(stack.url, limited_key, counting_model))
    # Some were broken off while they waited for a slot, some at once, some in their middle.
    assert min(heard) == 0
    assert max(heard) > 0

    with stack.broker() as broker:

        def quiet() -> bool:
            return (
                stack.in_flight(counting_model) == 0
                and not broker.zcard(f"chatsite:waiting:{counting_model}")
                and not broker.zcard(IN_FLIGHT)
                and not list(broker.scan_iter("chatsite:quota:reservation:*"))
            )

        until(quiet, "the end of all broken-off streams")
        charged = stack.rows(
            "SELECT request_id, prompt_tokens, completion_tokens FROM accounts_usagerecord "
            "JOIN accounts_apikey ON accounts_apikey.id = api_key_id WHERE accounts_apikey.name = 'aborted'"
        )
        written = {request_id: words(broker, request_id) for request_id, _, _ in charged}
        (counter,) = broker.scan_iter("chatsite:quota:tokens:key:*")
        used = int(broker.get(counter) or 0)

    assert {request_id: made for request_id, _, made in charged} == written
    assert all(made < 400 for made in written.values())
    assert used == sum(prompt + made for _, prompt, made in charged)
    assert stack.ask(limited_key, counting_model, "Hello", max_tokens=3).status_code == 200


async def break_off(url: str, key: str, model: str) -> list[int]:
    """How many pieces of text each reader had when it went away."""
    body = {
        "model": model,
        "messages": [{"role": "user", "content": "Count"}],
        "stream": True,
        "max_tokens": 400,
    }
    headers = {"Authorization": f"Bearer {key}"}
    limits = httpx.Limits(max_connections=STREAMS)
    async with httpx.AsyncClient(
        base_url=url, headers=headers, limits=limits, timeout=120, trust_env=False
    ) as client:

        async def read(number: int) -> int:
            pieces = 0
            # Every tenth goes away before it has the headers.
            patience = 0.02 if number % 10 == 0 else 60
            with contextlib.suppress(TimeoutError):
                async with (
                    asyncio.timeout(patience),
                    client.stream("POST", "/v1/chat/completions", json=body) as answer,
                ):
                    assert answer.status_code in (200, 429), await answer.aread()
                    async for line in answer.aiter_lines():
                        pieces += bool(said(line))
                        if pieces > number % 5:
                            break
                        if number % 3 == 0 and line.startswith(": position"):
                            break  # still in the queue
            return pieces

        return list(await asyncio.gather(*map(read, range(STREAMS))))


def said(line: str) -> str:
    """The text of a chunk; empty for everything else."""
    if not line.startswith("data: {"):
        return ""
    (choice,) = json.loads(line.removeprefix("data: "))["choices"]
    return choice["delta"].get("content") or ""


def words(broker: Any, request_id: str) -> int:
    """What the stream of the request holds. The scripted engine makes one token of each word."""
    events = [entry.event for entry in streams.read(broker, request_id)]
    assert isinstance(events[-1], Finished), events[-1]
    text = "".join(event.text for event in events if isinstance(event, Delta))
    return len(text.split())
