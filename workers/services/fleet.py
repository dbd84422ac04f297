"""What the database knows of the workers."""

from datetime import UTC, datetime

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from workers import client
from workers.models import ChatModel, Worker
from workers.models.fleet import STALE_AFTER
from workers.protocol import HostedModel, WorkerStatus
from workers.selectors import fleet


def record_heartbeats() -> None:
    """Copy the live workers' heartbeats into their rows, and enter chat models nobody knew into the catalog."""
    for status in client.statuses():
        record_heartbeat(status=status)


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


def discover(*, hosted: HostedModel) -> ChatModel:
    """A worker started by hand brings its chat model along: it appears in the catalog, published, without a restart."""
    chat_model, _ = ChatModel.objects.get_or_create(
        name=hosted.name,
        defaults={"engine": hosted.engine, "slots": hosted.slots, "description": "Brought by a worker."},
    )
    return chat_model


def forget(*, workers: QuerySet[Worker]) -> int:
    """Remove the rows of those workers that are gone, and return how many those were."""
    alive = [status.worker for status in fleet.current().statuses]
    gone = workers.filter(last_seen_at__lt=timezone.now() - STALE_AFTER).exclude(name__in=alive)
    # By their keys: a list page hands over a query with joins or an order, which cannot be deleted as it is.
    forgotten, _ = Worker.objects.filter(pk__in=list(gone.values_list("pk", flat=True))).delete()
    return forgotten
