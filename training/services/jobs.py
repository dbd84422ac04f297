"""The life of a fine-tuning job: queued, running, paused, and one of three ends.

Each change of state is one conditional update, so two who want different things cannot both win. Whoever trains calls
`begin`, `note`, `add_checkpoint`, `succeed` and `fail`, and looks at `wanted` meanwhile.
"""

import secrets
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any, Final

from django.db import transaction
from django.utils import timezone

from chatsite.accounts.models import ApiKey, User
from training.models import Checkpoint, Job, JobEvent
from training.services import drawing, starting
from workers.models import ApiFile

MOST_OPEN = 20
"""Open jobs of one person."""
ARENA: Final = "arena"
"""In place of a file's name, when the data is drawn from there."""


class TooMany(Exception):  # noqa: N818 - reads as what happened
    """The person has `MOST_OPEN` open jobs."""


class WrongState(Exception):  # noqa: N818
    """The job is in a state from which this is not possible; `status` says in which."""

    def __init__(self, status: str) -> None:
        super().__init__(status)
        self.status = status


@transaction.atomic
def create(
    *,
    owner: User,
    base_model: str,
    training_file: ApiFile | None = None,
    source: Mapping[str, Any] | None = None,
    held_out: int = 0,
    sample_prompts: Sequence[str] = (),
    validation_file: ApiFile | None = None,
    api_key: ApiKey | None = None,
    method: str = Job.Method.SUPERVISED,
    hyperparameters: Mapping[str, Any] | None = None,
    suffix: str = "",
    seed: int | None = None,
    metadata: Mapping[str, str] | None = None,
) -> Job:
    """Enter a job, and start it once that is committed. Raises `TooMany`.

    It learns from `training_file`, or else from what the arena has; `source` says which part of it (see
    `drawing.wanted_of`). `held_out` is in percent.
    """
    if open_of(owner=owner) >= MOST_OPEN:
        raise TooMany
    job = Job(
        owner=owner,
        api_key=api_key,
        base_model=base_model,
        method=method,
        hyperparameters=dict(hyperparameters or {}),
        training_file=training_file,
        training_file_name=training_file.public_id if training_file else ARENA,
        source={} if training_file else {**(source or {}), "kind": _kind(method)},
        held_out=held_out,
        sample_prompts=list(sample_prompts),
        validation_file=validation_file,
        validation_file_name=validation_file.public_id if validation_file else "",
        suffix=suffix,
        seed=secrets.randbelow(2**31) if seed is None else seed,
        metadata=dict(metadata or {}),
    )
    job.full_clean()
    job.save()
    note(job=job, message=f"Created fine-tuning job: {job.public_id}")
    transaction.on_commit(partial(start, job=job))
    return job


def open_of(*, owner: User) -> int:
    """How many jobs of the person are under way."""
    return Job.objects.filter(owner=owner, status__in=Job.OPEN).count()


def is_suffix(text: str) -> bool:
    """Whether it may be part of a chat model's name: letters, digits and . _ -"""
    return text.isascii() and text.replace("-", "").replace("_", "").replace(".", "").isalnum()


def _kind(method: str) -> str:
    return drawing.PREFERENCES if method == Job.Method.DPO else drawing.CONVERSATIONS


def start(*, job: Job) -> None:
    """Hand a queued job to a training worker, or let it fail and say why."""
    try:
        starting.start(job=job)
    except starting.CannotStart as error:
        fail(job=job, code=error.code, message=str(error))


def begin(*, job: Job) -> bool:
    """A training worker has taken it. False when it is not queued (any more)."""
    if not _change(job, [Job.Status.QUEUED], Job.Status.RUNNING, started_at=job.started_at or timezone.now()):
        return False
    note(job=job, message="Fine-tuning job started")
    return True


def succeed(*, job: Job, fine_tuned_model: str, trained_tokens: int | None = None) -> bool:
    ended = _change(
        job,
        [Job.Status.RUNNING],
        Job.Status.SUCCEEDED,
        fine_tuned_model=fine_tuned_model,
        trained_tokens=trained_tokens,
        finished_at=timezone.now(),
        estimated_finish=None,
    )
    if ended:
        note(job=job, message=f"New fine-tuned model created: {fine_tuned_model}")
        note(job=job, message="The job has successfully completed")
    return ended


def fail(*, job: Job, code: str, message: str, param: str | None = None) -> bool:
    """`message` is a sentence for the person whose job it is."""
    error = {"code": code, "message": message, "param": param}
    ended = _change(
        job, Job.OPEN, Job.Status.FAILED, error=error, finished_at=timezone.now(), estimated_finish=None
    )
    if ended:
        note(job=job, message=message, level=JobEvent.Level.ERROR)
    return ended


def cancel(*, job: Job) -> None:
    """End it for good. What trains sees it by `wanted` and stops. Raises `WrongState` when it has ended otherwise."""
    if _change(job, Job.OPEN, Job.Status.CANCELLED, finished_at=timezone.now(), estimated_finish=None):
        note(job=job, message="Fine-tuning job cancelled")
        transaction.on_commit(partial(starting.stop, job=job))
    elif job.status != Job.Status.CANCELLED:
        raise WrongState(job.status)


def pause(*, job: Job) -> None:
    """Stop for now; `resume` goes on behind the last checkpoint. Raises `WrongState`."""
    if _change(job, [Job.Status.QUEUED, Job.Status.RUNNING], Job.Status.PAUSED, estimated_finish=None):
        note(job=job, message="Fine-tuning job paused")
        transaction.on_commit(partial(starting.stop, job=job))
    elif job.status != Job.Status.PAUSED:
        raise WrongState(job.status)


def resume(*, job: Job) -> None:
    """Queue a paused job again. Raises `WrongState`."""
    if _change(job, [Job.Status.PAUSED], Job.Status.QUEUED):
        note(job=job, message="Fine-tuning job resumed")
        transaction.on_commit(partial(start, job=job))
    elif job.status not in (Job.Status.QUEUED, Job.Status.RUNNING):
        raise WrongState(job.status)


def requeue(*, job: Job) -> bool:
    """The worker that trained it has died: it waits for the next one."""
    if not _change(job, [Job.Status.RUNNING], Job.Status.QUEUED, estimated_finish=None):
        return False
    note(job=job, message="Its training worker ended; it waits for the next", level=JobEvent.Level.WARN)
    return True


def wanted(*, job: Job) -> bool:
    """Whether whoever trains should go on. Asked about every second."""
    return Job.objects.filter(pk=job.pk, status=Job.Status.RUNNING).exists()


def note(
    *,
    job: Job,
    message: str,
    level: str = JobEvent.Level.INFO,
    metrics: Mapping[str, Any] | None = None,
    data: Mapping[str, Any] | None = None,
) -> JobEvent:
    """Tell something. With `metrics` (step, loss, …) it is a point of the curve; `data` is for pages that show more."""
    return JobEvent.objects.create(
        public_id=f"ftevent-{secrets.token_hex(12)}",
        job=job,
        level=level,
        kind="metrics" if metrics is not None else "message",
        message=message[:1000],
        data=dict(metrics if metrics is not None else data or {}),
    )


def expect(*, job: Job, finish: datetime) -> None:
    """When it will probably be done."""
    Job.objects.filter(pk=job.pk, status=Job.Status.RUNNING).update(estimated_finish=finish)


def add_checkpoint(
    *, job: Job, step: int, path: str = "", metrics: Mapping[str, Any] | None = None
) -> Checkpoint:
    """A state of the weights was saved. The same step again replaces it."""
    checkpoint, _ = Checkpoint.objects.update_or_create(
        job=job, step=step, defaults={"path": path, "metrics": dict(metrics or {})}
    )
    return checkpoint


def _change(job: Job, before: Iterable[str], after: str, **values: Any) -> bool:
    changed = Job.objects.filter(pk=job.pk, status__in=list(before)).update(status=after, **values)
    job.refresh_from_db()
    return changed == 1
