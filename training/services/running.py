"""Training on this machine: takes queued jobs one after another, each in a child process that dies with its task.

The child writes what happens into a file of JSON lines, which is read along and told to the job; its own output is
kept beside it, and the folder of the run stays.
"""

import contextlib
import ctypes
import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, BinaryIO, Final

from django.conf import settings
from django.utils import timezone

from training.models import Job
from training.services import device, jobs, materials, recipes, results
from training.services.errors import Untrainable

logger = logging.getLogger(__name__)

LOOK_SECONDS: Final = 1.0
"""Between two looks at the child and at whether the job is still wanted."""
END_SECONDS: Final = 20.0
"""A child that is asked to end is killed after that."""
REFUSED: Final = 2
"""The exit status of a recipe that refuses."""
closing: Final = threading.Event()
"""Set when this worker is to end: the child is ended, and its job waits for the next worker."""
TAIL: Final = 300
"""Characters of the log's last line that a failed job shows."""


def folder_of(job: Job) -> Path:
    return device.folder() / job.public_id


def log_of(job: Job) -> Path:
    """What the recipe printed, on the machine that trained."""
    return folder_of(job) / recipes.LOG


def work_off(*, job_id: int) -> None:
    """Train all that is queued, the oldest first, once the device is free.

    Returns early when somebody else has taken the job `job_id` meanwhile, or it has been cancelled.
    """
    while Job.objects.filter(pk=job_id, status=Job.Status.QUEUED).exists():
        with device.held() as free:
            while (
                free
                and not closing.is_set()
                and (job := Job.objects.filter(status=Job.Status.QUEUED).order_by("pk").first())
            ):
                train(job=job)
        if closing.is_set():
            return
        if not free:
            time.sleep(LOOK_SECONDS)


def work_off_all() -> None:
    """Train what is queued, once the device is free; nothing to do without a queue."""
    oldest = Job.objects.filter(status=Job.Status.QUEUED).order_by("pk").values_list("pk", flat=True).first()
    if oldest is not None:
        work_off(job_id=oldest)


def tidy(*, job_id: int) -> None:
    """Remove from this machine what a job that has ended must not keep."""
    job = Job.objects.filter(pk=job_id).first()
    if job is not None:
        materials.clear(job=job, folder=folder_of(job))


def take_up_again() -> list[int]:
    """Queue the jobs again that were running here when their worker died; they go on at their last checkpoint.

    Returns all that wait. Those of other machines are told apart by their folder, which is not here.
    """
    for job in Job.objects.filter(training_file_name=jobs.ARENA).exclude(status__in=Job.OPEN):
        materials.clear(job=job, folder=folder_of(job))
    with device.held() as free:
        if free:
            for job in Job.objects.filter(status=Job.Status.RUNNING):
                if folder_of(job).is_dir():
                    jobs.requeue(job=job)
    return list(Job.objects.filter(status=Job.Status.QUEUED).order_by("pk").values_list("pk", flat=True))


def train(*, job: Job) -> None:
    """One job from its start to its end. Whatever goes wrong is told to the job."""
    if not jobs.begin(job=job):
        return
    try:
        command = recipes.prepare(job=job, folder=folder_of(job))
        status = _watch(job, command)
        if status is None and closing.is_set():
            jobs.requeue(job=job)
        elif status == 0:
            results.register(job=job, folder=folder_of(job))
        elif status is not None:
            _tell_failure(job, status)
    except Untrainable as error:
        jobs.fail(job=job, code="invalid_job", message=str(error), param=error.param)
    except results.Unfinished as error:
        jobs.fail(job=job, code="training_failed", message=str(error))
    except Exception:
        logger.exception("Job %s cannot be trained", job.public_id)
        jobs.fail(job=job, code="training_failed", message="The training broke down. The operator sees why.")
    finally:
        job.refresh_from_db()
        materials.clear(job=job, folder=folder_of(job))


def _watch(job: Job, command: list[str]) -> int | None:
    """The child's exit status; None when it was ended since the job is not wanted any more, or this worker ends."""
    folder = folder_of(job)
    progress = folder / recipes.PROGRESS
    progress.touch()
    with progress.open("rb") as lines, (folder / recipes.LOG).open("ab") as log:
        lines.seek(0, os.SEEK_END)  # what an earlier part of the run told is known
        with _child(command, log) as child:
            while True:
                status = child.poll()
                for event in _events(lines):
                    _tell(job, event, folder)
                if status is not None:
                    return status
                if closing.is_set() or not jobs.wanted(job=job):
                    return None
                with contextlib.suppress(subprocess.TimeoutExpired):
                    child.wait(LOOK_SECONDS)


@contextlib.contextmanager
def _child(command: list[str], log: BinaryIO) -> Iterator[subprocess.Popen[bytes]]:
    """The process and all that it starts; they are gone behind the block."""
    child = subprocess.Popen(
        command,
        cwd=settings.BASE_DIR,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        env={**os.environ, "PYTHONUNBUFFERED": "1", "TOKENIZERS_PARALLELISM": "false"},
        start_new_session=True,
        preexec_fn=_die_with_parent(),
    )
    try:
        yield child
    finally:
        _end(child)


def _end(child: subprocess.Popen[bytes]) -> None:
    for how in (signal.SIGTERM, signal.SIGKILL):
        # The group may outlive its first process.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, how)
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(END_SECONDS)


def _die_with_parent() -> Callable[[], None] | None:
    """For the new child: the kernel kills it when its task's process is gone. Linux only."""
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None).prctl
    return lambda: prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


def _events(lines: BinaryIO) -> Iterator[dict[str, Any]]:
    """The whole lines that are new."""
    while True:
        at = lines.tell()
        line = lines.readline()
        if not line.endswith(b"\n"):
            lines.seek(at)
            return
        try:
            event = json.loads(line)
        except ValueError:
            continue
        if isinstance(event, dict):
            yield event


def _tell(job: Job, event: dict[str, Any], folder: Path) -> None:
    """What the recipe said, as events of the job."""
    values = {name: value for name, value in event.items() if name not in ("event", "time")}
    match event.get("event"):
        case "log":
            _tell_step(job, values)
        case "evaluation":
            metrics = {"step": values.get("step"), "valid_loss": values.get("eval_loss")}
            jobs.note(
                job=job,
                message=f"Step {values.get('step')}: {_loss('validation loss', values.get('eval_loss'))}",
                metrics=metrics,
            )
        case "sample":
            jobs.note(job=job, message=f"“{values.get('prompt')}” → “{values.get('text')}”", data=values)
        case "estimate":
            needed, free = (values.get(name) for name in ("needed", "free"))
            if isinstance(needed, int) and isinstance(free, int):
                text = f"It needs about {needed / 2**30:.1f} GiB, and {free / 2**30:.1f} GiB are free"
                jobs.note(job=job, message=text, data=values)
        case "duration":
            _tell_duration(job, values)
        case "checkpoint":
            path = folder / recipes.OUTPUT / str(values.get("name"))
            jobs.add_checkpoint(job=job, step=int(values["step"]), path=str(path))
        case "refused":
            jobs.fail(job=job, code="refused", message=str(values.get("message")), param=values.get("field"))


def _tell_duration(job: Job, values: dict[str, Any]) -> None:
    seconds = values.get("seconds")
    if isinstance(seconds, int | float):
        text = f"It will take {values.get('words')}: {values.get('steps')} steps"
        jobs.note(job=job, message=text, data=values)
        jobs.expect(job=job, finish=timezone.now() + timedelta(seconds=seconds))


def _tell_step(job: Job, values: dict[str, Any]) -> None:
    step, steps = values.get("step"), values.get("steps")
    metrics = {"step": step, "train_loss": values.get("loss"), **values}
    jobs.note(
        job=job, message=f"Step {step}/{steps}: {_loss('training loss', values.get('loss'))}", metrics=metrics
    )
    left = values.get("seconds_left")
    if isinstance(left, int | float):
        jobs.expect(job=job, finish=timezone.now() + timedelta(seconds=left))


def _loss(name: str, value: Any) -> str:
    return f"{name}={value:.4f}" if isinstance(value, int | float) else f"{name} unknown"


def _tell_failure(job: Job, status: int) -> None:
    if status == -signal.SIGKILL:
        message = "The training was killed, most likely for want of memory. Take a smaller batch_size."
    else:
        # A refusal has been told by its event; this is for one that came without.
        what = "was refused" if status == REFUSED else "broke down"
        message = f"The training {what}: {_last_line(log_of(job))}"
    jobs.fail(job=job, code="training_failed", message=message)


def _last_line(log: Path) -> str:
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - 4096))
        lines = file.read().decode(errors="replace").strip().splitlines()
    return lines[-1][:TAIL] if lines else "it printed nothing."
