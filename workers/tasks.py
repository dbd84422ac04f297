"""The Celery tasks around workers. Thin: each is one call."""

import time
from typing import Any

from celery import shared_task
from django.db import OperationalError

from workers.protocol import Report


@shared_task(name="workers.generate", ignore_result=True)
def generate(request_id: str, attempt: int, chat_model: str = "") -> None:
    """Runs in a model worker."""
    from workers import (
        lifecycle,
    )  # the control worker and the web know this task's name only, and load no engine

    lifecycle.host().work_on(request_id, attempt, chat_model)


@shared_task(name="workers.reap_lost_requests", ignore_result=True)
def reap_lost_requests() -> None:
    """Runs in the control worker, every two seconds."""
    from workers.reports import rescuer

    rescuer().sweep()


@shared_task(name="workers.remove_old_files", ignore_result=True)
def remove_old_files() -> None:
    """Runs in the control worker, every hour."""
    from workers.services import files

    files.remove_expired()
    files.clear_incoming(older_than=time.time() - 24 * 3600)


@shared_task(
    name="workers.record_response",
    ignore_result=True,
    acks_late=True,  # as `arena.record_reply`: what is delivered twice is recorded once
    autoretry_for=(OperationalError,),
    retry_backoff=True,
    max_retries=8,
)
def record_response(report: dict[str, Any]) -> None:
    """Runs in the control worker, for each response that is kept."""
    from workers.api.responses import recording

    recording.take_report(Report.from_dict(report))


@shared_task(name="workers.run_batches", ignore_result=True)
def run_batches() -> None:
    """Runs in the control worker, every five seconds."""
    from workers.api.batches import running

    running.ensure()


@shared_task(name="workers.record_heartbeats", ignore_result=True)
def record_heartbeats() -> None:
    """Runs in the control worker, every five seconds."""
    from workers.services import fleet

    fleet.record_heartbeats()
