"""The chat models a person can choose from."""

import logging
from typing import NamedTuple

import redis

from arena.models import Conversation
from workers import client
from workers.models import ChatModel

logger = logging.getLogger(__name__)


class Choice(NamedTuple):
    """One line of the model picker."""

    name: str
    description: str
    served: bool
    """A live worker answers for it."""
    temperature: float
    """The default; so is `top_p`."""
    top_p: float
    context_length: int


def choices() -> list[Choice]:
    """The published chat models, by name."""
    served = _served_names()
    return [
        Choice(
            name=model.name,
            description=model.description,
            served=model.name in served,
            temperature=model.temperature,
            top_p=model.top_p,
            context_length=model.context_length,
        )
        for model in ChatModel.objects.published()
    ]


def default(among: list[Choice]) -> str | None:
    """What a new conversation starts with: the first that answers, else the first there is."""
    for choice in among:
        if choice.served:
            return choice.name
    return among[0].name if among else None


def chosen(conversation: Conversation | None, among: list[Choice]) -> str | None:
    """The conversation's own chat model while it is published, else the default."""
    own = conversation.chat_model.name if conversation and conversation.chat_model else None
    return own if own in {choice.name for choice in among} else default(among)


def _served_names() -> set[str]:
    try:
        statuses = client.statuses()
    except (redis.RedisError, OSError) as error:
        # The page must come up while the broker restarts; the picker then shows every model as offline.
        logger.warning("The workers' statuses cannot be read: %s", error)
        return set()
    return {model.name for status in statuses if not status.draining for model in status.models}
