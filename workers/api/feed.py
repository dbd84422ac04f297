"""Reads a request's event stream ahead of whoever sends it on, so that waiting with a time limit disturbs no read."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable

from workers import client
from workers.protocol import LAST_EVENTS, ErrorCode, Failed, StreamEvent

logger = logging.getLogger(__name__)


class Feed:
    """The events of one request, in order. `ended` is true once the last one has been read (not: taken)."""

    def __init__(self, request_id: str, on_news: Callable[[], None] | None = None) -> None:
        """`on_news` is called on the event loop when an event has arrived."""
        self.ended = False
        self._on_news = on_news
        self._request_id = request_id
        self._events: list[StreamEvent] = []
        self._waiter: asyncio.Future[None] | None = None
        self._loop = asyncio.get_running_loop()
        self._reader = self._loop.create_task(self._read())

    async def take(self, patience: float | None = None) -> list[StreamEvent]:
        """All events that have arrived; waits for the first one, at most `patience` seconds (then it returns none)."""
        if not self._events and not self.ended:
            self._waiter = self._loop.create_future()
            # A future and a timer, because asyncio.timeout costs three times as much and this runs once a token.
            timer = None if patience is None else self._loop.call_later(patience, self._wake)
            try:
                await self._waiter
            finally:
                if timer is not None:
                    timer.cancel()
                self._waiter = None
        return self.arrived()

    def arrived(self) -> list[StreamEvent]:
        """What has come since the last call."""
        events, self._events = self._events, []
        return events

    def close(self) -> None:
        """Stop reading. Does not wait for the reader to be gone: whoever closes has something better to do."""
        self._reader.cancel()

    def close_from_thread(self) -> None:
        self._loop.call_soon_threadsafe(self.close)

    async def _read(self) -> None:
        entries: AsyncIterator[client.Entry] = client.afollow(self._request_id)
        try:
            async for entry in entries:
                self._put(entry.event)
        except Exception as error:
            # The exception's text may quote an event.
            logger.error("Request %s: its stream cannot be read: %s", self._request_id, type(error).__name__)
        finally:
            if aclose := getattr(entries, "aclose", None):
                await aclose()
        if not self.ended:
            self._put(Failed(ErrorCode.WORKER_LOST, "The reply's stream broke off on the server."))

    def _put(self, event: StreamEvent) -> None:
        self._events.append(event)
        self.ended = self.ended or isinstance(event, LAST_EVENTS)
        self._wake()
        if self._on_news is not None:
            self._on_news()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
