"""The chat models a person can choose from."""

import logging
from typing import NamedTuple

import redis

from arena.models import Conversation
from workers import client
from workers.models import ChatModel
from workers.protocol import Ability

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
    licence: str = ""
    sees: bool = False
    """A worker that looks at images answers for it."""
    tells_probabilities: bool = False


def choices() -> list[Choice]:
    """The published chat models, by name."""
    served = _abilities()
    return [
        Choice(
            name=model.name,
            description=model.description,
            served=model.name in served,
            temperature=model.temperature,
            top_p=model.top_p,
            context_length=model.context_length,
            licence=model.licence,
            sees=Ability.VISION in served.get(model.name, ()),
            tells_probabilities=Ability.LOGPROBS in served.get(model.name, ()),
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


def can(chat_model: str, ability: Ability) -> bool:
    """Whether every live worker of the chat model can: nobody knows which one will answer."""
    return ability in _abilities().get(chat_model, ())


def _abilities() -> dict[str, set[str]]:
    """Of each chat model that a live worker serves: what all of its workers can."""
    try:
        statuses = client.statuses()
    except (redis.RedisError, OSError) as error:
        # The page must come up while the broker restarts; the picker then shows every model as offline.
        logger.warning("The workers' statuses cannot be read: %s", error)
        return {}
    found: dict[str, set[str]] = {}
    for status in statuses:
        if status.draining:
            continue
        for model in status.models:
            found[model.name] = found.get(model.name, set(model.abilities)) & set(model.abilities)
    return found
