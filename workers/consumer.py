"""A Celery consumer in this process, the same for control and model workers."""

import os
import warnings
from typing import Any

from celery import current_app
from celery.platforms import SecurityWarning


def start(*, hostname: str, queues: list[str], concurrency: int, **options: Any) -> None:
    """Consume `queues` with a pool of threads until SIGTERM or SIGINT. Blocks; call it from the main thread.

    Threads, since the work is waiting: for an engine that batches, for the database, for the broker. A fork per slot
    would cost a copy of the process's memory each.
    """
    # Django's checks load every view and admin page; `manage.py up` has run them, and a worker has no use for those.
    os.environ.setdefault("CELERY_SKIP_CHECKS", "true")
    # Containers run as root. Celery's worry is pickled payloads, and ours are JSON only.
    warnings.filterwarnings("ignore", category=SecurityWarning)
    current_app.Worker(
        pool="threads",
        concurrency=concurrency,
        queues=queues,
        hostname=hostname,
        without_gossip=True,
        without_mingle=True,
        without_heartbeat=True,
        loglevel="WARNING",
        quiet=True,
        **options,
    ).start()
