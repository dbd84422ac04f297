"""Which chat model a terminal program talks to."""

import redis

from workers import client
from workers.terminal.sources import BrokerAway


class CannotChoose(Exception):  # noqa: N818 - reads as what happened
    """No chat model to talk to, or too many. Says what there is and how to go on."""


def served() -> list[str]:
    """Names of the chat models that live workers serve, in order. Raises `BrokerAway`."""
    try:
        statuses = client.statuses()
    except (redis.RedisError, OSError) as error:
        raise BrokerAway(error) from None
    return sorted({model.name for status in statuses if not status.draining for model in status.models})


def choose(wanted: str | None, *, known: tuple[str, ...] = ()) -> str:
    """`wanted` when a worker serves it, or the only one that is served when nothing is wanted.

    `known` are the catalog's names, for a better sentence. Raises `CannotChoose` and `BrokerAway`.
    """
    names = served()
    if wanted is None and len(names) == 1:
        return names[0]
    if wanted in names:
        return str(wanted)
    raise CannotChoose(_reason(wanted, names, known))


def choose_among(wanted: str | None, names: list[str]) -> str:
    """As `choose`, of the chat models that another server lists. One that it does not list may still be there."""
    if wanted is not None:
        return wanted
    if len(names) == 1:
        return names[0]
    listed = "".join(f"\n  {name}" for name in names)
    raise CannotChoose(f"Say which one: --model NAME. The server lists:{listed or ' none'}")


def _reason(wanted: str | None, names: list[str], known: tuple[str, ...]) -> str:
    if wanted is None and not names:
        return (
            "No worker is running. Start everything with bin/up, or one with `manage.py worker --model NAME`."
        )
    running = "".join(f"\n  {name}" for name in names)
    if wanted is None:
        return f"Several chat models are running; say which one, for example --model {names[0]}:{running}"
    if wanted in known:
        reason = f"{wanted} is in the catalog, but no worker serves it. Start one: manage.py worker --model {wanted}"
    else:
        reason = f"There is no chat model {wanted!r}."
    return f"{reason}\nRunning now:{running or ' none'}"
