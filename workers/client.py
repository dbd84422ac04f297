"""The web's only door to the workers: submit a request, follow its stream, cancel it, see who is alive.

The functions here forward to the client that `settings.WORKERS_CLIENT` names: `workers.broker.BrokerClient` in the
product, an in-process one in unit tests. Nothing here knows users, replies or HTTP.
"""

from collections.abc import AsyncIterator, Iterator
from typing import Protocol

from django.conf import settings
from django.core.signals import setting_changed
from django.dispatch import receiver
from django.utils.module_loading import import_string

from workers.protocol import Entry, ErrorCode, WorkerRequest, WorkerStatus

__all__ = [
    "Entry",
    "NoWorker",
    "QueueFull",
    "Submission",
    "WorkersClient",
    "afollow",
    "cancel",
    "current",
    "follow",
    "is_served",
    "reset",
    "slots",
    "state",
    "statuses",
    "submit",
]


class Submission(Exception):  # noqa: N818 - the base of the two below, never raised itself
    """A request that was not accepted."""

    code: ErrorCode


class NoWorker(Submission):
    """No live worker serves the chat model."""

    code = ErrorCode.NO_WORKER


class QueueFull(Submission):
    """Too many requests wait for the chat model already; try again in `retry_after` seconds."""

    code = ErrorCode.QUEUE_FULL
    retry_after: float = 1.0


class WorkersClient(Protocol):
    def submit(self, request: WorkerRequest) -> None: ...

    def follow(self, request_id: str, after: str = "") -> Iterator[Entry]: ...

    def afollow(self, request_id: str, after: str = "") -> AsyncIterator[Entry]: ...

    def cancel(self, request_id: str) -> None: ...

    def state(self, request_id: str) -> str | None: ...

    def statuses(self) -> list[WorkerStatus]: ...


_client: WorkersClient | None = None


def current() -> WorkersClient:
    global _client
    if _client is None:
        _client = import_string(settings.WORKERS_CLIENT)()
    return _client


def reset() -> None:
    """Forget the client, so that the next call makes a new one. For tests and forked processes."""
    global _client
    _client = None


@receiver(setting_changed)
def _on_setting_changed(*, setting: str, **kwargs: object) -> None:
    if setting == "WORKERS_CLIENT":
        reset()


def submit(request: WorkerRequest) -> None:
    """Queue `request`. Blocks for milliseconds; call it from a thread, and after the transaction commits.

    Raises `NoWorker` when no live worker serves the chat model and `QueueFull` when too many requests wait.
    """
    current().submit(request)


def follow(request_id: str, after: str = "") -> Iterator[Entry]:
    """Yield the entries behind `after` ("" is from the start) up to and including `Finished` or `Failed`.

    While nobody works on the request, `Waiting` tells its place in the queue whenever that has changed.
    Always ends: a stream that nobody writes any more ends with `Failed`; an unknown one with `Failed` at once.
    """
    return current().follow(request_id, after)


def afollow(request_id: str, after: str = "") -> AsyncIterator[Entry]:
    """`follow` for the event loop."""
    return current().afollow(request_id, after)


def cancel(request_id: str) -> None:
    """Stop the request, queued or running. Its stream then ends with `Finished(reason=cancelled)`. Idempotent."""
    current().cancel(request_id)


def state(request_id: str) -> str | None:
    """`queued`, `running`, `done`, or None for a request that is not known (any more)."""
    return current().state(request_id)


def statuses() -> list[WorkerStatus]:
    """The last heartbeat of every live worker, oldest worker first."""
    return current().statuses()


def is_served(chat_model: str) -> bool:
    """Whether a live worker takes requests for `chat_model`."""
    return any(status.serves(chat_model) for status in statuses())


def slots(chat_model: str) -> int:
    """Requests for `chat_model` that its live workers generate at once, all together; 0 without one."""
    return sum(status.slots(chat_model) for status in statuses())
