"""The control worker: the Celery worker that has the database, with the beat schedule inside."""

from celery import current_app
from django.core.management.base import BaseCommand, CommandParser

from workers.reports import CONTROL_QUEUE


class Command(BaseCommand):
    help = "Record replies, heartbeats and usage, and rescue lost requests. `manage.py up` starts one; run just one."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--concurrency", type=int, default=4, help="Tasks at once (default: %(default)s)."
        )

    def handle(self, *args: object, concurrency: int, **options: object) -> None:
        current_app.Worker(
            pool="threads",
            concurrency=concurrency,
            queues=[CONTROL_QUEUE],
            hostname="control@%h",
            beat=True,
            without_gossip=True,
            without_mingle=True,
            without_heartbeat=True,
            loglevel="WARNING",
            quiet=True,
        ).start()
