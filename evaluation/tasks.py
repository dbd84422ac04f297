"""What the control worker does for evaluations. Each task is one service call."""

import uuid

from celery import shared_task

from evaluation.services import runs


@shared_task(name=runs.START_TASK)
def start(run_id: str) -> None:
    runs.launch(run_id=uuid.UUID(run_id))


@shared_task(name="evaluation.take_up")
def take_up() -> None:
    """Runs whose process was killed go on."""
    for run_id in runs.abandoned():
        runs.launch(run_id=run_id)
