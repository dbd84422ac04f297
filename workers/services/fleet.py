"""What the database knows of the workers."""

import logging
from datetime import UTC, datetime, timedelta
from functools import cache

from django.core.exceptions import ValidationError
from django.db import DataError, transaction
from django.db.models import QuerySet
from django.utils import timezone

from workers import client
from workers.models import ChatModel, Worker
from workers.models.fleet import STALE_AFTER
from workers.protocol import HostedModel, WorkerStatus
from workers.selectors import fleet

logger = logging.getLogger(__name__)

# Every start of a worker makes a row, since its name holds its process id.
FORGET_AFTER = timedelta(days=30)


def record_heartbeats() -> None:
    """Copy the live workers' heartbeats into their rows, and enter chat models nobody knew into the catalog."""
    for status in client.statuses():
        try:
            record_heartbeat(status=status)
        except (
            ValueError,
            OverflowError,
            DataError,
        ) as error:  # a worker of another version, or a strange clock
            _complain(
                f"The heartbeat of worker {status.worker!r} cannot be recorded: {type(error).__name__}."
            )
    Worker.objects.filter(last_seen_at__lt=timezone.now() - FORGET_AFTER).delete()


@transaction.atomic
def record_heartbeat(*, status: WorkerStatus) -> Worker:
    worker, _ = Worker.objects.update_or_create(
        name=status.worker,
        defaults={
            "host": status.host,
            "pid": status.pid,
            "version": status.version,
            "hosted": [
                {"name": m.name, "engine": m.engine, "context_length": m.context_length}
                for m in status.models
            ],
            "slots": sum(model.slots for model in status.models),
            "in_flight": status.in_flight,
            "tokens_per_second": status.tokens_per_second,
            "memory_bytes": status.memory_bytes,
            "draining": status.draining,
            "started_at": datetime.fromtimestamp(status.started_at, UTC),
            "last_seen_at": datetime.fromtimestamp(status.sent_at, UTC),
        },
    )
    for model in status.models:
        discover(hosted=model)
    return worker


def discover(*, hosted: HostedModel) -> ChatModel | None:
    """A worker started by hand brings its chat model along: it appears in the catalog, published, without a restart.

    None for one that the catalog would not take, which is logged.
    """
    defaults = {"engine": hosted.engine, "slots": hosted.slots, "description": "Brought by a worker."}
    try:
        ChatModel(name=hosted.name, **defaults).full_clean(validate_unique=False)
    except ValidationError as error:
        _complain(f"The catalog does not take the chat model {hosted.name!r}: {'; '.join(error.messages)}")
        return None
    chat_model, _ = ChatModel.objects.get_or_create(name=hosted.name, defaults=defaults)
    return chat_model


@cache
def _complain(message: str) -> None:
    """Once: heartbeats come every few seconds."""
    logger.warning(message)


def forget(*, workers: QuerySet[Worker]) -> int:
    """Remove the rows of those workers that are gone, and return how many those were."""
    alive = [status.worker for status in fleet.current().statuses]
    gone = workers.filter(last_seen_at__lt=timezone.now() - STALE_AFTER).exclude(name__in=alive)
    # By their keys: a list page hands over a query with joins or an order, which cannot be deleted as it is.
    forgotten, _ = Worker.objects.filter(pk__in=list(gone.values_list("pk", flat=True))).delete()
    return forgotten
