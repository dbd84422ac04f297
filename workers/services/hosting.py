"""Loading and unloading chat models in workers that run. An order is given here, and carried out by its worker."""

import json
from dataclasses import dataclass

from workers import client, orders
from workers.connections import broker
from workers.models import ChatModel
from workers.protocol import Order, Weights, WorkerStatus
from workers.selectors import catalog


class CannotHost(Exception):  # noqa: N818 - reads as what happened
    """Nobody can be told to do it. The text says why and what helps."""


def load(chat_model_name: str, *, worker: str | None = None) -> str:
    """Have `worker`, or the one that suits best, load a chat model of the catalog. Returns the order's id.

    `selectors.hosting.state` tells how far it has come. Raises `CannotHost`.
    """
    chat_model = _find(chat_model_name)
    chosen = _worker(worker) if worker else _best(chat_model)
    known = chosen.model(chat_model.name)
    if known is not None and not known.asleep:
        raise CannotHost(f"{chat_model.name} is loaded by {chosen.worker} already. Unload it first.")
    order = orders.give(
        broker(), worker=chosen.worker, chat_model=chat_model.name, weights=_weights(chat_model)
    )
    return order.id


def unload(chat_model_name: str, *, worker: str | None = None) -> list[str]:
    """Have `worker`, or each that has it, give a chat model up, after what runs. Returns the orders' ids.

    The chat model need not be in the catalog any more. Raises `CannotHost`.
    """
    found = catalog.find(name=chat_model_name)
    name = found.name if found else chat_model_name
    hosting = [status for status in client.statuses() if status.model(name) is not None]
    if worker:
        chosen = _worker(worker)
        hosting = [status for status in hosting if status.worker == chosen.worker]
    if not hosting:
        raise CannotHost(f"{worker} has no {name}." if worker else f"No worker has {name} loaded.")
    return [_give_up(name, status).id for status in hosting]


def _give_up(name: str, status: WorkerStatus) -> Order:
    return orders.give(broker(), worker=status.worker, chat_model=name, weights=None)


def _find(name: str) -> ChatModel:
    found = catalog.find(name=name)
    if found is None:
        raise CannotHost(f"The catalog has no chat model {name!r}. Add it first.")
    return found


def _worker(name: str) -> WorkerStatus:
    alive = client.statuses()
    for status in alive:
        if status.worker == name:
            if status.draining:
                raise CannotHost(f"The worker {name} is being stopped. Choose another one.")
            return status
    known = ", ".join(status.worker for status in alive) or "none runs"
    raise CannotHost(f"There is no worker {name!r} ({known}).")


@dataclass(frozen=True, slots=True, order=True)
class _Rank:
    """How little a worker suits; the least wins."""

    without_it: bool
    """It does not know the chat model. One that lets it sleep wakes it, with the settings of its first load."""
    without_base: bool
    """It has not got the weights that the chat model shares."""
    burden: int
    """Chat models in its memory."""
    memory_bytes: int
    worker: str


def _best(chat_model: ChatModel) -> WorkerStatus:
    able = [status for status in client.statuses() if not status.draining]
    if not able:
        raise CannotHost(
            "No worker runs that could load it. `manage.py worker` starts one that waits for orders."
        )
    asleep_or_free = [
        status for status in able if (known := status.model(chat_model.name)) is None or known.asleep
    ]
    if not asleep_or_free:
        raise CannotHost(f"{chat_model.name} is loaded by every worker already.")
    return min(asleep_or_free, key=lambda status: _rank(status, chat_model))


def _rank(status: WorkerStatus, chat_model: ChatModel) -> _Rank:
    shares = "adapter" in chat_model.engine_options and any(
        model.checkpoint == chat_model.checkpoint and model.engine == chat_model.engine
        for model in status.models
    )
    return _Rank(
        without_it=status.model(chat_model.name) is None,
        without_base=not shares,
        burden=sum(not model.asleep for model in status.models),
        memory_bytes=status.memory_bytes,
        worker=status.worker,
    )


def _weights(chat_model: ChatModel) -> Weights:
    return Weights(
        engine=chat_model.engine,
        checkpoint=chat_model.checkpoint,
        slots=chat_model.slots,
        context_length=chat_model.context_length,
        template=chat_model.template,
        engine_options=json.dumps(chat_model.engine_options),
    )
