"""Several feeds as one: the replies to one prompt, or to several, as they come."""

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

from workers.api.feed import Feed
from workers.protocol import StreamEvent


class News(NamedTuple):
    """An event of the request with that number."""

    number: int
    event: StreamEvent


class Feeds:
    """The events of all `request_ids`, each in its own order. `unread` names the requests whose end is not read yet."""

    def __init__(self, request_ids: Sequence[str]) -> None:
        self._ids = list(request_ids)
        self._feeds = [Feed(request_id, on_news=self._wake) for request_id in request_ids]
        self._loop = asyncio.get_running_loop()
        self._waiter: asyncio.Future[None] | None = None

    def __len__(self) -> int:
        return len(self._ids)

    @property
    def unread(self) -> list[str]:
        return [request_id for request_id, feed in zip(self._ids, self._feeds, strict=True) if not feed.ended]

    async def take(self, patience: float | None = None) -> list[News]:
        """All events that have arrived; waits for the first one, at most `patience` seconds (then it returns none)."""
        if not (news := self._arrived()) and self.unread:
            self._waiter = self._loop.create_future()
            timer = None if patience is None else self._loop.call_later(patience, self._wake)
            try:
                await self._waiter
            finally:
                if timer is not None:
                    timer.cancel()
                self._waiter = None
            news = self._arrived()
        return news

    def close(self) -> None:
        for feed in self._feeds:
            feed.close()

    def close_from_thread(self) -> None:
        self._loop.call_soon_threadsafe(self.close)

    def _arrived(self) -> list[News]:
        return [News(index, event) for index, feed in enumerate(self._feeds) for event in feed.arrived()]

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
