"""Following one reply from wherever its events are: its stream while it runs, the database once it has ended.

Knows replies and streams; who may watch, and what a frame looks like, is the consumer's to know.
"""

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterator
from typing import Any, NamedTuple

from channels.db import database_sync_to_async

from arena.models import Reply
from arena.services import replies
from workers import client
from workers.protocol import LAST_EVENTS, Delta, ErrorCode, Failed, StreamEvent, event_to_dict

# The stream ends a few milliseconds before the report is in the database. The page hears of the end when both have
# happened, so that its next message is not refused as "still being written" and a reload shows the whole text. Pauses
# between two looks, in seconds; all together are how long a control worker that is down holds the news back.
PAUSES = (0.005, 0.01, 0.02, 0.04, 0.08, 0.15, 0.3, 0.6, 1.0)
# Between two looks for a request that the broker does not know.
UNKNOWN_PAUSE = 1.0


class Seen(NamedTuple):
    """One event on its way to a page."""

    seq: str
    event: dict[str, Any]
    whole: bool = False
    """A delta that holds all of the text: it replaces what the page has, which cannot be resumed."""


async def watch(reply_id: uuid.UUID, after: str = "") -> AsyncIterator[Seen]:
    """Yield the events of a reply behind `after`, up to and including its last one."""
    reply = await _stored(reply_id)
    if reply is not None and not reply.running:
        for seen in ending(reply):
            yield seen
        return
    after = "" if after.startswith("stored-") else after
    while True:
        early = False
        async for seq, event in client.afollow(reply_id.hex, after):
            if isinstance(event, LAST_EVENTS):
                reply = await _recorded(reply_id, event)
                early = _is_expired(event) and reply is not None and reply.running
                if reply is not None and not reply.running and _database_knows_better(reply, event):
                    for seen in ending(reply):
                        yield seen
                    return
            if not early:
                yield Seen(seq, public(event))
        if not early:
            return
        # The broker does not know the request: it is not there yet, or lost. The grace of `reconcile` decides.
        await asyncio.sleep(UNKNOWN_PAUSE)


def ending(reply: Reply) -> Iterator[Seen]:
    """The events of a reply that has ended, as the database has them: its text at once, then the end."""
    if reply.text or reply.reasoning:
        thought = {"reasoning": reply.reasoning} if reply.reasoning else {}
        yield Seen("stored-1", {"type": "delta", "text": reply.text, **thought}, whole=True)
    measured = {
        "usage": {
            "prompt_tokens": reply.prompt_tokens or 0,
            "completion_tokens": reply.completion_tokens or 0,
            "cached_tokens": 0,
        },
        "timing": {"first_token": reply.first_token_seconds, "total": reply.total_seconds or 0.0},
    }
    if reply.status == Reply.Status.FINISHED:
        yield Seen("stored-2", {"type": "finished", "reason": reply.outcome, **measured})
    else:
        failed = {"type": "failed", "code": reply.outcome, "message": reply.error_message}
        yield Seen("stored-2", {**failed, **measured})


def public(event: StreamEvent) -> dict[str, Any]:
    """The event as a page may see it: not which machine answers, which would give a battle away."""
    if isinstance(event, Delta):
        # Probabilities are many, and fetched by who wants to see them; tools are the API's.
        return {
            "type": "delta",
            "text": event.text,
            **({"reasoning": event.reasoning} if event.reasoning else {}),
        }
    data = event_to_dict(event)
    data.pop("worker", None)
    if isinstance(event, Failed):
        data["message"] = replies.sentence(event.code, event.message)
    return data


def _database_knows_better(reply: Reply, event: StreamEvent) -> bool:
    """A follower gives up on a stream that expired or fell silent; the answer may be whole all the same."""
    return _is_expired(event) or (isinstance(event, Failed) and reply.status == Reply.Status.FINISHED)


def _is_expired(event: StreamEvent) -> bool:
    return isinstance(event, Failed) and event.code is ErrorCode.EXPIRED


async def _recorded(reply_id: uuid.UUID, last: StreamEvent) -> Reply | None:
    """The reply once it is recorded, or as it is when that takes too long; None when it was deleted."""
    if _is_expired(last):
        # Nothing will come any more, so it need not wait for the next reconciliation.
        await database_sync_to_async(replies.reconcile)(only=reply_id)
        return await _stored(reply_id)
    for pause in PAUSES:
        reply = await _stored(reply_id)
        if reply is None or not reply.running:
            return reply
        await asyncio.sleep(pause)
    return await _stored(reply_id)


async def _stored(reply_id: uuid.UUID) -> Reply | None:
    reply: Reply | None = await database_sync_to_async(Reply.objects.filter(pk=reply_id).first)()
    return reply
