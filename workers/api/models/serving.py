"""Looks chat models up by name, for every endpoint that takes one. Only published ones exist here."""

from collections.abc import Sequence
from typing import Any

from chatsite.accounts.services import access
from workers import client
from workers.api import caller, errors
from workers.api.models import protocol
from workers.models import ChatModel
from workers.protocol import HostedModel, WorkerStatus
from workers.selectors import catalog as selectors


def find(name: str) -> ChatModel:
    """The published chat model of that name or alias. Raises `NotFound` with the code `model_not_found`."""
    # PostgreSQL refuses a NUL, and half a surrogate pair cannot be sent to any database.
    if name.isprintable() and name.isascii():
        chat_model = selectors.find_published(name=name)
        if chat_model is not None and _allowed(chat_model):
            return chat_model
    raise errors.model_not_found(name)


def describe(name: str) -> dict[str, Any]:
    chat_model = find(name)
    return protocol.model_object(chat_model, hosted=_hosted(chat_model, client.statuses()))


def catalog() -> dict[str, Any]:
    statuses = client.statuses()
    return protocol.model_list(
        [
            protocol.model_object(chat_model, hosted=_hosted(chat_model, statuses))
            for chat_model in ChatModel.objects.published()
            if _allowed(chat_model)
        ]
    )


def _hosted(chat_model: ChatModel, statuses: Sequence[WorkerStatus]) -> HostedModel | None:
    """By the first live worker that serves it."""
    serving = (status for status in statuses if status.serves(chat_model.name))
    return next((model for each in serving for model in each.models if model.name == chat_model.name), None)


def _allowed(chat_model: ChatModel) -> bool:
    """For a key that may not use it, a chat model does not exist."""
    who = caller.current()
    return who is None or access.may_use(api_key=who.api_key, chat_model=chat_model.name)
