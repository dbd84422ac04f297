"""What a chat model is asked with: what the person says, else the catalog, else the engine's own choice.

There need not be a catalog: a worker's machine may have no database.
"""

from pathlib import Path
from typing import Any, NamedTuple

from django.conf import settings
from django.db import DatabaseError

from workers.models import Alias, ChatModel
from workers.protocol import Sampling


class Manner(NamedTuple):
    """How a chat model is asked."""

    system: str
    sampling: Sampling


def manner(
    chat_model: str,
    *,
    system: str | None = None,
    temperature: float | None = None,
    top_p: float | None = None,
    with_catalog: bool = True,
    **sampling: Any,
) -> Manner:
    """`None` takes the catalog's value for `chat_model`, or the engine's choice where the catalog has none.

    `sampling` are further fields of `Sampling`.
    """
    found = _catalog().get(chat_model) if with_catalog else None
    if found:
        system = found.system_prompt if system is None else system
        temperature = found.temperature if temperature is None else temperature
        top_p = found.top_p if top_p is None else top_p
    return Manner(system or "", Sampling(temperature=temperature, top_p=top_p, **sampling))


def real_name(name: str | None) -> str | None:
    """The chat model that the catalog knows by this name or alias; else the name itself."""
    if name is None or name in (catalog := _catalog()):
        return name
    aliases = Alias.objects.filter(name=name).values_list("chat_model__name", flat=True) if catalog else ()
    return next(iter(aliases), name)


def known_names() -> tuple[str, ...]:
    """The catalog's chat models; none when there is no catalog."""
    return tuple(_catalog())


def _catalog() -> dict[str, ChatModel]:
    database = settings.DATABASES["default"]
    if database["ENGINE"].endswith("sqlite3") and not _exists(str(database["NAME"])):
        return {}  # a look into it would make one
    try:
        return {chat_model.name: chat_model for chat_model in ChatModel.objects.all()}
    except DatabaseError:
        return {}


def _exists(sqlite: str) -> bool:
    return sqlite == ":memory:" or "mode=memory" in sqlite or Path(sqlite).exists()
