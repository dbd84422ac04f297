"""A new chat model beside its parent, before anybody else sees it: the same questions, compared by a judge.

It waits until workers serve both, and then runs in the evaluation app. Whether the new one may be published is the
operator's to say: this gives the reason.
"""

import logging
from collections.abc import Sequence
from typing import Final

from django.conf import settings
from django.db import transaction

from chatsite.accounts.models import User
from evaluation.errors import CannotEvaluate
from evaluation.models import EvaluationRun, Judge
from evaluation.selectors import reading
from evaluation.services import gating, plans, runs
from training.models import Job, JobEvent
from training.services import jobs
from workers import client
from workers.models import ChatModel

logger = logging.getLogger(__name__)

SUITE: Final = "sanity"
MOST_LOSS: Final = -0.25
"""In (wins − losses) ÷ games: a new chat model may lose so much more often than it wins, as a dozen questions tell
no finer."""


class NotMade(Exception):  # noqa: N818 - reads as what happened
    """The job has made no chat model that could be looked at."""


def plan(*, job: Job) -> None:
    """Called once a job has succeeded: it will be evaluated, where the site names judges for it."""
    if settings.SMOKE_JUDGES:
        Job.objects.filter(pk=job.pk).update(
            smoke=Job.Smoke.WAITING, smoke_judges=list(settings.SMOKE_JUDGES), smoke_message=""
        )
        job.refresh_from_db()


def begin(*, job: Job, judges: Sequence[str], asked_by: User | None = None) -> None:
    """Evaluate it now, or as soon as workers serve both; without judges the answers are stored side by side.

    Raises `NotMade`, and `CannotEvaluate` for a judge that cannot judge.
    """
    if not job.fine_tuned_model:
        raise NotMade(f"{job.public_id} has made no chat model: it is {job.status}.")
    Job.objects.filter(pk=job.pk).exclude(smoke=Job.Smoke.RUNNING).update(
        smoke=Job.Smoke.WAITING,
        smoke_judges=list(judges),
        smoke_run=None,
        smoke_passed=None,
        smoke_message="",
    )
    job.refresh_from_db()
    _start(job, asked_by)


def follow() -> None:
    """Start what can be started, and read what has ended. Called every few seconds by the control worker."""
    for job in Job.objects.filter(smoke=Job.Smoke.WAITING).select_related("owner"):
        try:
            _start(job, None)
        except CannotEvaluate as error:
            _end(job, Job.Smoke.FAILED, str(error))
    for job in Job.objects.filter(smoke=Job.Smoke.RUNNING).select_related("smoke_run__suite"):
        _conclude(job)


def _start(job: Job, asked_by: User | None) -> None:
    """Leaves it waiting while a worker is missing. Raises `CannotEvaluate` for what waiting does not mend."""
    wanted = (job.fine_tuned_model, job.base_model, *_judging_here(job.smoke_judges))
    absent = [name for name in dict.fromkeys(wanted) if not client.is_served(name)]
    if absent:
        message = f"It waits for a worker that serves {' and '.join(absent)}."
        Job.objects.filter(pk=job.pk, smoke=Job.Smoke.WAITING).update(smoke_message=message[:500])
        job.refresh_from_db()
        return
    planned = plans.plan(
        suite=SUITE,
        chat_models=[job.fine_tuned_model],
        judge_names=job.smoke_judges,
        mode=EvaluationRun.Mode.PAIRWISE_BASELINE,
        baseline=job.base_model,
    )
    with transaction.atomic():
        claimed = Job.objects.filter(pk=job.pk, smoke=Job.Smoke.WAITING).update(
            smoke=Job.Smoke.RUNNING, smoke_message=""
        )
        if claimed:
            run = runs.start(plan=planned, created_by=asked_by or job.owner)
            Job.objects.filter(pk=job.pk).update(smoke_run=run)
    job.refresh_from_db()


def _judging_here(names: Sequence[str]) -> list[str]:
    """The chat models of the catalog that judge under these names."""
    entered = {judge.name: judge for judge in Judge.objects.filter(name__in=names)}
    here = [judge.model for judge in entered.values() if not judge.remote]
    unentered = [name for name in names if name not in entered]
    return here + list(ChatModel.objects.filter(name__in=unentered).values_list("name", flat=True))


def _conclude(job: Job) -> None:
    run = job.smoke_run
    if run is None:
        _end(job, Job.Smoke.FAILED, "The evaluation was deleted.")
    elif run.status == EvaluationRun.Status.FINISHED:
        _decide(job, run)
    elif not run.open:
        _end(job, Job.Smoke.FAILED, run.error_message or "The evaluation was cancelled.")


def _decide(job: Job, run: EvaluationRun) -> None:
    if not run.judges:
        _end(job, Job.Smoke.DONE, "Both have answered. No judge has compared them.")
        return
    try:
        gate = gating.decide(
            run=run,
            material=reading.material(run),
            candidate=job.fine_tuned_model,
            parent=job.base_model,
            min_effect=MOST_LOSS,
        )
    except CannotEvaluate as error:
        _end(job, Job.Smoke.FAILED, str(error))
        return
    difference = gate.comparison.difference
    text = (
        f"Beside {job.base_model}: {difference.value:+.2f} of the games "
        f"[{difference.low:+.2f}, {difference.high:+.2f}] on {gate.comparison.questions} questions, "
        f"by {', '.join(run.judges)}."
    )
    _end(job, Job.Smoke.DONE, text, passed=gate.passed)


def _end(job: Job, state: str, message: str, *, passed: bool | None = None) -> None:
    ended = (
        Job.objects.filter(pk=job.pk)
        .exclude(smoke__in=(Job.Smoke.DONE, Job.Smoke.FAILED))
        .update(smoke=state, smoke_message=message[:500], smoke_passed=passed)
    )
    if ended:
        level = JobEvent.Level.WARN if state == Job.Smoke.FAILED or passed is False else JobEvent.Level.INFO
        jobs.note(job=job, message=f"Evaluation: {message}", level=level)
