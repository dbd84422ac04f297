"""The seam between jobs and those who train: starts and stops a job by the name of a task, on the queue `train`.

A training worker shows that it lives by a key in the broker (`alive`) that it renews and that expires. Control worker
and the web know no more of it than this.
"""

import logging
from typing import Final

from celery import current_app
from kombu.exceptions import OperationalError

from training.models import Job
from workers.connections import UNREACHABLE, broker
from workers.reports import TRAIN_QUEUE

logger = logging.getLogger(__name__)

QUEUE: Final = TRAIN_QUEUE
RUN_TASK: Final = "training.run"
STOP_TASK: Final = "training.stop"
ALIVE_PREFIX: Final = "chatsite:train-worker:"
ALIVE_SECONDS: Final = 15


class CannotStart(Exception):  # noqa: N818 - reads as what happened
    """Nobody can train now. The text is a sentence for the person whose job it is."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def start(*, job: Job) -> None:
    """Send the job to the training workers. Raises `CannotStart`."""
    try:
        if not workers():
            raise CannotStart(
                "no_training_worker", "No training worker is running. The operator of this site starts one."
            )
        _send(RUN_TASK, job)
    except (*UNREACHABLE, OperationalError) as error:
        logger.error("Job %s could not be queued: %s", job.public_id, type(error).__name__)
        raise CannotStart(
            "unavailable", "The job could not be queued. Please try again a little later."
        ) from error


def stop(*, job: Job) -> None:
    """Hurry those who train the job. They see by themselves, a little later, that it is not wanted any more."""
    try:
        if workers():
            _send(STOP_TASK, job)
    except (*UNREACHABLE, OperationalError) as error:
        logger.warning("Job %s stops a little later: %s", job.public_id, type(error).__name__)


def alive(*, worker: str) -> None:
    """A training worker says that it lives. Called every few seconds."""
    broker().set(ALIVE_PREFIX + worker, "1", ex=ALIVE_SECONDS)


def workers() -> list[str]:
    """Names of the live training workers."""
    keys = broker().scan_iter(f"{ALIVE_PREFIX}*", count=1000)
    return sorted(key.decode().removeprefix(ALIVE_PREFIX) for key in keys)


def _send(task: str, job: Job) -> None:
    current_app.send_task(task, kwargs={"job_id": job.pk}, queue=QUEUE, ignore_result=True)
