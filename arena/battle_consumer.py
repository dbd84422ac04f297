"""The arena page's websocket: both sides of a battle in one stream, in step until the names are known.

Who may connect, how often, and what is refused how, is the chat page's consumer's to say.
"""

import asyncio
import logging
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from channels.db import database_sync_to_async
from django.urls import reverse
from django.utils.translation import gettext

from arena import battle_frames, frames
from arena.battle_frames import PageFrame
from arena.consumers import ChatConsumer
from arena.errors import Unavailable
from arena.models import Battle
from arena.pacing import Pacer
from arena.selectors import battles as selectors
from arena.selectors.battles import Standing
from arena.services import battles
from arena.services.battles import Round
from arena.services.watching import watch

logger = logging.getLogger(__name__)

TICK = 0.06  # seconds between two looks at what may be shown


class BattleConsumer(ChatConsumer):
    parse = staticmethod(battle_frames.parse)  # type: ignore[assignment] # frames of its own

    async def _grant(self, frame: PageFrame) -> None:  # type: ignore[override] # other frames, by `parse`
        match frame["type"]:
            case "start":
                self._leave_room_for(None)
                granted = await self._call(
                    battles.start,
                    text=frame["text"],
                    mode=frame["mode"],
                    left=frame["left"],
                    right=frame["right"],
                    settings=frame["settings"],
                    client_id=frame["client_id"],
                    attachment_ids=frame["attachments"],
                )
                await self._accept(frame["client_id"], granted)
            case "say":
                granted = await self._call(
                    battles.say,
                    battle_id=frame["battle"],
                    text=frame["text"],
                    client_id=frame["client_id"],
                    attachment_ids=frame["attachments"],
                )
                await self._accept(frame["client_id"], granted)
            case "regenerate":
                granted = await self._call(
                    battles.regenerate, battle_id=frame["battle"], client_id=frame["client_id"]
                )
                await self._accept(frame["client_id"], granted)
            case "stop":
                await self._call(battles.stop, battle_id=frame["battle"])
            case "watch":
                self._leave_room_for(frame["battle"])
                battle = await self._call(selectors.owned_battle, battle_id=frame["battle"])
                await self._follow_battle(battle, frame["after"])
            case _:
                await self._keep_going(frame)

    async def _accept(self, client_id: str, granted: Round) -> None:
        url = reverse("arena:battle", args=[granted.battle.pk])
        await self._send(battle_frames.accepted(client_id, granted, url))  # type: ignore[arg-type]
        await self._follow_battle(granted.battle, {})

    async def _follow_battle(self, battle: Battle, after: dict[str, int]) -> None:
        """Forward the last turn."""
        self._keep_following(battle.pk, self._forward_battle(battle, after))

    async def _forward_battle(self, battle: Battle, after: dict[str, int]) -> None:
        try:
            await self._forward_turn(battle, after)
        except Exception:
            # The answers go on by themselves; only the view of them broke. The page watches again.
            logger.exception("following battle %s failed", battle.pk)
            refusal = Unavailable(
                gettext("The answers cannot be followed at the moment. Reload the page in a moment.")
            )
            await self._send(frames.error(refusal, {"reply": str(battle.pk)}))

    async def _forward_turn(self, battle: Battle, after: dict[str, int]) -> None:
        turn, standings = await database_sync_to_async(selectors.last_turn)(battle)
        pacer = Pacer(in_step=not battle.revealed)
        for side, characters in after.items():
            pacer.skip(side, characters)
        endings: dict[str, dict[str, str]] = {}
        queue = Queue()
        async with _collecting(standings, pacer, endings, queue) as collectors:
            before = time.monotonic()
            while not pacer.done:
                await asyncio.sleep(TICK)
                for task in collectors:
                    if task.done():
                        task.result()  # raises what went wrong in it
                if (position := queue.news()) is not None:
                    await self._send(battle_frames.waiting(battle, turn, position))  # type: ignore[arg-type]
                now = time.monotonic()
                for piece in pacer.advance(now - before):
                    frame: dict[str, Any] = {
                        "type": "event",
                        "battle": str(battle.pk),
                        "turn": turn,
                        "side": piece.side,
                        "text": piece.text,
                    }
                    if piece.ended:
                        frame["ended"] = endings[piece.side]
                    await self._send(frame)  # type: ignore[arg-type]
                before = now


class Queue:
    """Where the two sides of a turn stand, as one place: that of the side which is further behind."""

    def __init__(self) -> None:
        self._places: dict[str, int] = {}
        self._told = 0

    def waits(self, side: str, position: int) -> None:
        """0: it has been taken."""
        self._places[side] = position

    def news(self) -> int | None:
        """The place, when it is another than last time."""
        place = max(self._places.values(), default=0)
        changed, self._told = place != self._told, place
        return place if changed else None


@asynccontextmanager
async def _collecting(
    standings: list[Standing], pacer: Pacer, endings: dict[str, dict[str, str]], queue: Queue
) -> AsyncIterator[list[asyncio.Task[None]]]:
    """Read both sides' streams into the pacer until the block ends."""
    tasks = [asyncio.create_task(_collect(s.side, s.reply_id, pacer, endings, queue)) for s in standings]
    try:
        yield tasks
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _collect(
    side: str, reply_id: uuid.UUID, pacer: Pacer, endings: dict[str, dict[str, str]], queue: Queue
) -> None:
    async for seen in watch(reply_id):
        event = seen.event
        queue.waits(side, event["position"] if event["type"] == "waiting" else 0)
        if event["type"] == "delta":
            pacer.add(side, event["text"], whole=seen.whole)
        elif event["type"] in ("finished", "failed"):
            failed = event["type"] == "failed"
            endings[side] = battle_frames.ending(event["code"] if failed else event["reason"], failed=failed)
            pacer.complete(side)
    if side not in endings:
        raise RuntimeError(f"the {side} answer has no end")
