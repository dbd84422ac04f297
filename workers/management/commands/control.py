"""The control worker: the Celery worker that has the database, with the beat schedule inside."""

import socket

from django.core.management.base import BaseCommand, CommandParser

from workers import consumer
from workers.reports import CONTROL_QUEUE


class Command(BaseCommand):
    help = "Record replies, heartbeats and usage, and rescue lost requests. `manage.py up` starts one; run just one."

    requires_system_checks: list[str] = []  # see workers.consumer

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--concurrency", type=int, default=4, help="Tasks at once (default: %(default)s)."
        )

    def handle(self, *args: object, concurrency: int, **options: object) -> None:
        # A schedule in memory: every entry repeats within seconds, so there is nothing to remember between two starts.
        consumer.start(
            hostname=f"control@{socket.gethostname()}",
            queues=[CONTROL_QUEUE],
            concurrency=concurrency,
            beat=True,
            scheduler="celery.beat:Scheduler",
        )
