"""The leaderboard's websocket: tells an open page that the board changed. It carries no board; one may miss a frame."""

from typing import Any

from channels.generic.websocket import AsyncWebsocketConsumer
from django.conf import settings

from arena.services.counting import GROUP

NOT_SIGNED_IN = 4401


class LeaderboardConsumer(AsyncWebsocketConsumer):  # type: ignore[misc] # channels is untyped
    groups = [GROUP]

    async def connect(self) -> None:
        # Accepted before it is closed: a browser is told the close code of an open socket only.
        await self.accept()
        if not settings.PUBLIC_LEADERBOARD and not self.scope["user"].is_authenticated:
            await self.close(NOT_SIGNED_IN)

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        """The page has nothing to say here."""
        await self.close()

    async def leaderboard_changed(self, event: dict[str, Any]) -> None:
        await self.send('{"type":"changed"}')
