"""The Celery tasks of training. Thin: each is one call. `run` and `stop` are on the queue `train`."""

from typing import Any

from celery import shared_task
from celery.signals import worker_ready

from workers.reports import CONTROL_QUEUE, TRAIN_QUEUE


@worker_ready.connect
def train_beside_control(sender: Any, **_: Any) -> None:
    """A control worker that was told to consume the queue `train` as well."""
    if {CONTROL_QUEUE, TRAIN_QUEUE} <= set(sender.app.amqp.queues.consume_from):
        from training.services import working

        working.work_beside(hostname=sender.hostname)


@shared_task(name="training.run", ignore_result=True)
def run(job_id: int) -> None:
    """Runs in a training worker."""
    from training.services import working

    working.take(job_id=job_id)


@shared_task(name="training.stop", ignore_result=True)
def stop(job_id: int) -> None:
    """Runs in a training worker. Whoever trains looks every second whether the job is wanted; this tidies up."""
    from training.services import running

    running.tidy(job_id=job_id)


@shared_task(name="training.follow_smoke", ignore_result=True)
def follow_smoke() -> None:
    """Runs in the control worker."""
    from training.services import smoke

    smoke.follow()
