"""Tells a person's open pages what has happened to their conversations and battles in another tab or on another device.

News may be missed (the channel layer promises nothing), so it carries no content: a page that hears of a change reads
it anew, and it does so as well whenever it begins to listen.
"""

import logging
from functools import partial

import redis
from asgiref.sync import async_to_sync
from channels.layers import get_channel_layer
from django.db import transaction

logger = logging.getLogger(__name__)


def group_of(owner_id: int) -> str:
    """The channel layer's group of all pages of a person."""
    return f"person.{owner_id}"


def announce(owner_id: int | None, **what: str | bool) -> None:
    """Send `what` to the open pages of a person (None has none), once the transaction around this has committed."""
    if owner_id is None:
        return
    transaction.on_commit(partial(_send, owner_id, what))


def _send(owner_id: int, what: dict[str, str | bool]) -> None:
    layer = get_channel_layer()
    if layer is None:
        return
    try:
        async_to_sync(layer.group_send)(group_of(owner_id), {"type": "news", **what})
    except (redis.RedisError, OSError) as error:
        logger.info("no open page was told of a change: %s", error)
