"""The chat page's websocket. Checks who speaks, reads a frame, calls one service, and forwards events.

The contract is docs/design/chat-socket.md. A socket that closes stops following, never generating.
"""

import asyncio
import contextlib
import logging
import time
import uuid
from collections.abc import Callable, Coroutine
from importlib import import_module
from typing import Any, TypeVar, cast

import redis
from channels.auth import get_user
from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncWebsocketConsumer
from channels.layers import get_channel_layer
from django.conf import settings
from django.http import HttpRequest
from django.urls import reverse
from django.utils import translation
from django.utils.translation import gettext

from arena import frames
from arena.errors import Refused, TooFast, TooManyReplies, Unavailable
from arena.models import Reply
from arena.selectors import conversations as selectors
from arena.services import conversations
from arena.services.news import group_of
from arena.services.watching import watch
from chatsite.accounts.models import User

logger = logging.getLogger(__name__)

NOT_SIGNED_IN = 4401
NOT_A_FRAME = 4400
FOLLOWED_AT_ONCE = 16
# A page that reconnects may send a `watch` for each reply it follows at once; a person types far more slowly.
FRAMES_AT_ONCE = 30
FRAMES_PER_SECOND = 5.0
# Seconds. The channel layer forgets a group's member after a day, so each joins again long before.
REJOIN = 3600.0
LAYER_AWAY = 2.0

T = TypeVar("T")


class Allowance:
    """A token bucket: `burst` at once, `rate` per second in the long run."""

    def __init__(self, burst: float, rate: float) -> None:
        self.burst, self.rate = burst, rate
        self.left, self.at = burst, time.monotonic()

    def take(self) -> bool:
        now = time.monotonic()
        self.left = min(self.burst, self.left + (now - self.at) * self.rate)
        self.at = now
        if self.left < 1:
            return False
        self.left -= 1
        return True


def _language(scope: dict[str, Any]) -> str:
    """The language of the page that opened the socket: a websocket passes no middleware."""
    request = HttpRequest()
    request.COOKIES = scope.get("cookies", {})
    request.META["HTTP_ACCEPT_LANGUAGE"] = (
        dict(scope["headers"]).get(b"accept-language", b"").decode("latin-1")
    )
    return translation.get_language_from_request(request)


class ChatConsumer(AsyncWebsocketConsumer):  # type: ignore[misc] # channels is untyped
    # Not by Channels' own means: there a broker that restarts would break the socket. See `_listen`.
    channel_layer_alias = ""
    parse = staticmethod(frames.parse)

    user: User

    def __init__(self) -> None:
        super().__init__()
        self.followed: dict[uuid.UUID, asyncio.Task[None]] = {}
        self.listening: asyncio.Task[None] | None = None
        self.allowance = Allowance(FRAMES_AT_ONCE, FRAMES_PER_SECOND)

    async def __call__(self, scope: dict[str, Any], *args: Any) -> None:
        try:
            with translation.override(_language(scope)):
                await super().__call__(scope, *args)
        finally:
            # Here and not in `disconnect`, which a server that shuts down does not call.
            tasks = [*self.followed.values(), *([self.listening] if self.listening else [])]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def connect(self) -> None:
        # Accepted before it is closed: a browser is told the close code of an open socket only.
        await self.accept()
        if not await self._signed_in():
            await self.close(NOT_SIGNED_IN)

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        try:
            data = frames.decode(text_data or "")
        except frames.NotAFrame:
            await self.close(NOT_A_FRAME)
            return
        try:
            if not self.allowance.take():
                raise TooFast(gettext("That was too fast. Wait a moment, then try again."))
            frame = self.parse(data)
            if not await self._signed_in():
                await self.close(NOT_SIGNED_IN)
                return
            await self._grant(frame)
        except Refused as refusal:
            await self._send(frames.error(refusal, data))
        except Exception:
            logger.exception("a frame of the chat page failed")
            broken = Unavailable(gettext("Something went wrong on the server. Please try again in a moment."))
            await self._send(frames.error(broken, data))

    async def _grant(self, frame: frames.PageFrame) -> None:
        match frame["type"]:
            case "send":
                await self._send_message(frame)
            case "regenerate":
                await self._regenerate(frame)
            case "stop":
                await self._call(conversations.stop, reply_id=frame["reply"])
            case "watch":
                self._leave_room_for(frame["reply"])
                await self._call(selectors.owned_reply, reply_id=frame["reply"])
                await self._follow(frame["reply"], frame["after"])
            case _:
                await self._keep_going(frame)

    async def _keep_going(self, frame: frames.ListenFrame | frames.PingFrame) -> None:
        if frame["type"] == "ping":
            await self._send({"type": "pong"})
        elif self.listening is None:
            self.listening = asyncio.create_task(self._listen(group_of(self.user.pk)), name="listen")

    async def _listen(self, group: str) -> None:
        """Hand on what the person's other pages have done. Whoever was away from the layer says so, to be read anew."""
        layer = get_channel_layer()
        channel = await layer.new_channel()
        told = False
        try:
            while True:
                try:
                    await layer.group_add(group, channel)
                    if not told:
                        await self._send({"type": "news"})
                        told = True
                    news = await asyncio.wait_for(layer.receive(channel), REJOIN)
                    await self._send(cast("frames.NewsFrame", news))
                except TimeoutError:
                    continue
                except (redis.RedisError, OSError) as error:
                    logger.info("the channel layer is away: %s", error)
                    told = False
                    await asyncio.sleep(LAYER_AWAY)
        finally:
            with contextlib.suppress(redis.RedisError, OSError):
                await layer.group_discard(group, channel)

    async def _send_message(self, frame: frames.SendFrame) -> None:
        self._leave_room_for(None)
        reply = await self._call(
            conversations.send_message,
            text=frame["text"],
            conversation_id=frame["conversation"],
            chat_model_name=frame["chat_model"],
            settings=frame["settings"],
            client_id=frame["client_id"],
            edits=frame["edits"],
            attachment_ids=frame["attachments"],
        )
        await self._accept_wish(frame["client_id"], reply, created=frame["conversation"] is None)

    async def _regenerate(self, frame: frames.RegenerateFrame) -> None:
        self._leave_room_for(None)
        reply = await self._call(
            conversations.regenerate,
            message_id=frame["message"],
            chat_model_name=frame["chat_model"],
            settings=frame["settings"],
            client_id=frame["client_id"],
            replays=frame["replays"],
        )
        await self._accept_wish(frame["client_id"], reply, created=False)

    async def _accept_wish(self, client_id: str, reply: Reply, *, created: bool) -> None:
        conversation = reply.message.conversation
        await self._send(
            {
                "type": "accepted",
                "client_id": client_id,
                "conversation": {
                    "id": str(conversation.pk),
                    "title": conversation.title,
                    "url": reverse("arena:conversation", args=[conversation.pk]),
                    "created": created,
                },
                "message": {"id": reply.message.pk, "text": reply.message.text},
                "reply": {
                    "id": str(reply.pk),
                    "chat_model": reply.chat_model_name,
                    "repeatable": reply.repeatable,
                    "probabilities": bool(reply.sampling.get("logprobs")),
                    "replays": reply.sampling.get("replays"),
                },
            }
        )
        await self._follow(reply.pk, "")

    def _leave_room_for(self, reply_id: uuid.UUID | None) -> None:
        if len(self.followed) >= FOLLOWED_AT_ONCE and reply_id not in self.followed:
            raise TooManyReplies(
                gettext("This page follows as many answers as it can. Reload it."), field="reply"
            )

    async def _follow(self, reply_id: uuid.UUID, after: str) -> None:
        self._keep_following(reply_id, self._forward(reply_id, after))

    def _keep_following(self, followed: uuid.UUID, forwarding: Coroutine[Any, Any, None]) -> None:
        """Forward events in a task of its own. A second `watch` takes the first one's place."""
        if earlier := self.followed.pop(followed, None):
            earlier.cancel()
        task = asyncio.create_task(forwarding, name=f"follow {followed}")
        self.followed[followed] = task
        task.add_done_callback(lambda done: self._forget(followed, done))

    def _forget(self, followed: uuid.UUID, task: asyncio.Task[None]) -> None:
        if self.followed.get(followed) is task:
            del self.followed[followed]

    async def _forward(self, reply_id: uuid.UUID, after: str) -> None:
        try:
            async for seen in watch(reply_id, after):
                if seen.event["type"] == "waiting":
                    await self._send(frames.waiting(reply_id, seen.event))
                    continue
                frame: frames.EventFrame = {
                    "type": "event",
                    "reply": str(reply_id),
                    "seq": seen.seq,
                    "event": seen.event,
                }
                if seen.whole:
                    frame["whole"] = True
                await self._send(frame)
        except Exception:
            # The reply goes on by itself; only the view of it broke. The page watches it again.
            logger.exception("following reply %s failed", reply_id)
            refusal = Unavailable(
                gettext("The answer cannot be followed at the moment. Reload the page in a moment.")
            )
            await self._send(frames.error(refusal, {"reply": str(reply_id)}))

    async def _signed_in(self) -> bool:
        """Read the session anew: a log-out, a changed password or a locked account ends an open page as well."""
        session_key = getattr(self.scope.get("session"), "session_key", None)
        if session_key is None:
            return False
        store = import_module(settings.SESSION_ENGINE).SessionStore(session_key)
        user = await get_user({"session": store})
        if isinstance(user, User):
            self.user = user
            return True
        return False

    async def _call(self, service: Callable[..., T], **arguments: object) -> T:
        """Call a service for the one who is signed in."""
        result: T = await database_sync_to_async(service)(owner=self.user, **arguments)
        return result

    async def _send(self, frame: frames.SiteFrame) -> None:
        await self.send(text_data=frames.encode(frame))
