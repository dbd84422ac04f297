"""The control worker: the Celery worker that has the database, with the beat schedule inside."""

import socket
import sys

from celery import current_app
from celery.signals import task_prerun
from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser
from django.db import close_old_connections

from workers import consumer
from workers.priority import step_back
from workers.reports import CONTROL_QUEUE, TRAIN_QUEUE

# Steps below the processes that somebody waits for: on a busy machine an answer's next token goes before the record of
# the last answer, which keeps about a third of a core even then.
NICENESS = 5
# Seconds. A task a moment is the rule here and its threads stay, so opening the database for each is for nothing.
KEEP_CONNECTIONS = 60


class Command(BaseCommand):
    help = "Record replies, heartbeats and usage, and rescue lost requests. `manage.py up` starts one; run just one."

    requires_system_checks: list[str] = []  # see workers.consumer

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--concurrency", type=int, default=4, help="Tasks at once (default: %(default)s)."
        )
        parser.add_argument(
            "--train",
            action="store_true",
            help="Take fine-tuning jobs as well, one at a time; each is trained by a child process.",
        )

    def handle(self, *args: object, concurrency: int, train: bool, **options: object) -> None:
        step_back(NICENESS)
        # A pool keeps them, too, and wants to do that alone.
        if "pool" not in settings.DATABASES["default"]["OPTIONS"]:
            keep_connections()
        # A schedule in memory: every entry repeats within seconds, so there is nothing to remember between two starts.
        consumer.start(
            hostname=f"control@{socket.gethostname()}",
            queues=[CONTROL_QUEUE, TRAIN_QUEUE] if train else [CONTROL_QUEUE],
            concurrency=concurrency,
            beat=True,
            scheduler="celery.beat:Scheduler",
        )


def keep_connections() -> None:
    """Let the threads that run tasks keep their database connections for `KEEP_CONNECTIONS`, as the web's may.

    Celery closes them around each task, whatever Django's settings say, until so many tasks have been run.
    """
    settings.DATABASES["default"]["CONN_MAX_AGE"] = KEEP_CONNECTIONS
    current_app.conf["CELERY_DB_REUSE_MAX"] = sys.maxsize
    task_prerun.connect(_close_old_connections)


def _close_old_connections(**_: object) -> None:
    """Those that are too old, or broken since the last task."""
    close_old_connections()
