"""Who takes the jobs of this machine: a training worker of its own, or the control worker beside its other work.

Either says that it lives, takes up what waits, and ends its child when it ends itself. Neither imports torch: the child
does.
"""

import logging
import socket
import threading
from typing import Any, Final

from celery.signals import worker_ready, worker_shutting_down
from django.db import DatabaseError, close_old_connections

from training.models import Job
from training.services import jobs, running, starting
from workers import consumer
from workers.connections import UNREACHABLE

logger = logging.getLogger(__name__)

TASKS_AT_ONCE: Final = 4
"""One trains; the others wait for the device, and see to it that nothing that arrives meanwhile is lost."""
RENEWAL_SECONDS: Final = starting.ALIVE_SECONDS / 3
_waiting: Final = threading.Event()
"""Set when a job has arrived that the thread beside the control worker is to take."""
_beside: threading.Thread | None = None


def work() -> None:
    """A training worker, until SIGTERM or SIGINT. Call it from the main thread."""
    name = f"train@{socket.gethostname()}"

    def begin(**_: Any) -> None:
        _show_life(name)
        for pk in running.take_up_again():
            jobs.start(job=Job.objects.get(pk=pk))

    worker_ready.connect(begin)
    worker_shutting_down.connect(_end)
    consumer.start(hostname=name, queues=[starting.QUEUE], concurrency=TASKS_AT_ONCE)


def work_beside(*, hostname: str) -> None:
    """Train in a thread of this process, which has other work as well. Returns at once.

    A process of its own would hold some ninety megabytes to wait for a job that may never come.
    """
    global _beside
    worker_shutting_down.connect(_end)
    _show_life(f"train-{hostname}")
    _beside = threading.Thread(target=_train_beside, name="train")
    _beside.start()


def take(*, job_id: int) -> None:
    """A job has arrived."""
    if _beside is not None:
        _waiting.set()
    else:
        running.work_off(job_id=job_id)


def _train_beside() -> None:
    _guarded(running.take_up_again)
    while not running.closing.is_set():
        _guarded(running.work_off_all)
        _waiting.wait(RENEWAL_SECONDS)
        _waiting.clear()


def _guarded(work: Any) -> None:
    """A database that is away for a while must not end the thread."""
    close_old_connections()
    try:
        work()
    except DatabaseError:
        logger.exception("The database does not answer; training goes on when it does")


def _show_life(name: str) -> None:
    starting.alive(worker=name)
    threading.Thread(target=_beat, args=(name,), name="alive", daemon=True).start()


def _end(**_: Any) -> None:
    running.closing.set()
    _waiting.set()


def _beat(name: str) -> None:
    while not running.closing.is_set():
        try:
            starting.alive(worker=name)
        except UNREACHABLE as error:
            logger.warning("The broker does not answer (%s)", type(error).__name__)
        running.closing.wait(RENEWAL_SECONDS)
