"""The Celery tasks of the queue `train`. Thin: each is one call."""

from celery import shared_task


@shared_task(name="training.run", ignore_result=True)
def run(job_id: int) -> None:
    """Runs in a training worker."""
    from training.services import running

    running.work_off(job_id=job_id)


@shared_task(name="training.stop", ignore_result=True)
def stop(job_id: int) -> None:
    """Runs in a training worker. Nothing to do: whoever trains looks every second whether the job is wanted."""
