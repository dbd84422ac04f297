"""The chat models a person can choose from."""

import logging
from typing import NamedTuple

import redis

from arena.models import Conversation
from chatsite.accounts.models import User
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
    entry: int = 0
    """Which entry of the catalog it is: what was there first has the lower number."""


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
            entry=model.pk,
        )
        for model in ChatModel.objects.published()
    ]


def default(among: list[Choice], *, owner: User | None = None) -> str | None:
    """What a new conversation starts with.

    The chat model that the person talked to last, while it answers; else the one that the catalog had first of those
    that answer, or of all. Not the first by name: what is added for a trial must not become everybody's beginning.
    """
    answering = [choice for choice in among if choice.served] or among
    last = _last_of(owner) if owner else None
    if last in {choice.name for choice in answering}:
        return last
    return min(answering, key=lambda choice: choice.entry).name if answering else None


def chosen(conversation: Conversation | None, among: list[Choice], *, owner: User) -> str | None:
    """The conversation's own chat model while it is published, else the default."""
    own = conversation.chat_model.name if conversation and conversation.chat_model else None
    return own if own in {choice.name for choice in among} else default(among, owner=owner)


def _last_of(owner: User) -> str | None:
    talks = Conversation.objects.filter(owner=owner, battle=None, chat_model__isnull=False)
    return talks.order_by("-updated_at").values_list("chat_model__name", flat=True).first()


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
