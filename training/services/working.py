"""A training worker: says that it lives, takes up what waits, and ends its child when it ends itself."""

import logging
import socket
import threading
from typing import Any, Final

from celery.signals import worker_ready, worker_shutting_down

from training.models import Job
from training.services import jobs, running, starting
from workers import consumer
from workers.connections import UNREACHABLE

logger = logging.getLogger(__name__)

TASKS_AT_ONCE: Final = 4
"""One trains; the others wait for the device, and see to it that nothing that arrives meanwhile is lost."""
RENEWAL_SECONDS: Final = starting.ALIVE_SECONDS / 3


def work() -> None:
    """Until SIGTERM or SIGINT. Call it from the main thread."""
    name = f"train@{socket.gethostname()}"
    beating = threading.Thread(target=_beat, args=(name,), name="alive", daemon=True)

    def begin(**_: Any) -> None:
        beating.start()
        starting.alive(worker=name)
        for pk in running.take_up_again():
            jobs.start(job=Job.objects.get(pk=pk))

    def end(**_: Any) -> None:
        running.closing.set()

    worker_ready.connect(begin)
    worker_shutting_down.connect(end)
    consumer.start(hostname=name, queues=[starting.QUEUE], concurrency=TASKS_AT_ONCE)


def _beat(name: str) -> None:
    while not running.closing.is_set():
        try:
            starting.alive(worker=name)
        except UNREACHABLE as error:
            logger.warning("The broker does not answer (%s)", type(error).__name__)
        running.closing.wait(RENEWAL_SECONDS)
