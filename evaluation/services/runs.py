"""Evaluations begin, are cancelled, and are taken up again."""

import subprocess
import sys
import uuid
from datetime import timedelta

from celery import current_app
from django.conf import settings
from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from chatsite.accounts.models import User
from evaluation.errors import CannotEvaluate
from evaluation.models import EvaluationRun
from evaluation.services import leases, plans, suites
from evaluation.services.plans import Plan

START_TASK = "evaluation.start"
# A run this young may still be on its way to the process that is to work on it.
GRACE = timedelta(seconds=20)


@transaction.atomic
def create(*, plan: Plan, created_by: User | None = None) -> EvaluationRun:
    """Store what is planned. Nobody works on it yet."""
    run = EvaluationRun(
        suite=suites.keep(suite=plan.suite, questions=plan.questions),
        suite_source=plan.suite_source[:500],
        chat_models=list(plan.chat_models),
        judges=[judge.name for judge in plan.judges],
        mode=plan.mode,
        baseline=plan.baseline,
        parameters=plan.parameters,
        estimate=plans.estimate(plan=plan).to_dict(),
        answers_total=plan.answer_calls,
        verdicts_total=plan.verdict_calls,
        created_by=created_by,
    )
    run.full_clean()
    run.save(force_insert=True)
    return run


def start(*, plan: Plan, created_by: User | None = None) -> EvaluationRun:
    """Store what is planned, and have the control worker see to it after the commit."""
    with transaction.atomic():
        run = create(plan=plan, created_by=created_by)
        transaction.on_commit(lambda: _announce(run.pk))
    return run


def cancel(*, run: EvaluationRun) -> bool:
    """Stop the run; what it has stays. False when it has ended already."""
    nobody = Q(lease_until=None) | Q(lease_until__lt=timezone.now())
    if run.runner and leases.is_gone(run.runner):
        nobody |= Q(runner=run.runner)
    ended = EvaluationRun.objects.filter(nobody, pk=run.pk, status__in=leases.OPEN).update(
        status=EvaluationRun.Status.CANCELLED, finished_at=timezone.now()
    )
    if ended:
        return True
    return EvaluationRun.objects.filter(pk=run.pk, status__in=leases.OPEN).update(cancel_requested=True) == 1


@transaction.atomic
def reopen(*, run: EvaluationRun, foreground: bool = False, retry_errors: bool = False) -> None:
    """Make an ended run ready to go on. Raises `CannotEvaluate` while somebody works on it.

    What it has is kept. With `retry_errors` the calls that failed count as not made.
    """
    if run.open and run.lease_until and run.lease_until > timezone.now() and not leases.is_gone(run.runner):
        raise CannotEvaluate("resume", "Another process works on this run. Cancel it first, or wait for it.")
    if retry_errors:
        run.verdicts.filter(failed=True).delete()
        run.answers.exclude(error_message="").update(complete=False, error_message="", outcome="")
    EvaluationRun.objects.filter(pk=run.pk).update(
        status=EvaluationRun.Status.QUEUED,
        runner="",
        lease_until=None,
        cancel_requested=False,
        claims=0,
        error_message="",
        finished_at=None,
        parameters={**run.parameters, "foreground": foreground},
    )


def resume(*, run: EvaluationRun, retry_errors: bool = False) -> None:
    """Go on with a run in the background. Raises `CannotEvaluate` as `reopen` does."""
    reopen(run=run, retry_errors=retry_errors)
    transaction.on_commit(lambda: _announce(run.pk))


def abandoned() -> list[uuid.UUID]:
    """The runs of the background that nobody works on though somebody should."""
    now = timezone.now()
    # Not by `exclude(parameters__foreground=True)`: where the key is missing SQL compares with NULL, which leaves the
    # run out as well.
    unfinished = EvaluationRun.objects.filter(status__in=leases.OPEN).values_list(
        "pk", "runner", "lease_until", "created_at", "parameters__foreground"
    )
    return [
        run_id
        for run_id, runner, until, created, foreground in unfinished
        if not foreground
        and ((until is None and created < now - GRACE) or (until and (until < now or leases.is_gone(runner))))
    ]


_children: dict[uuid.UUID, "subprocess.Popen[bytes]"] = {}


def launch(*, run_id: uuid.UUID) -> None:
    """Start a process that works on the run, unless one of this process's children does already.

    A process, so that hours of work neither hold a thread of the control worker nor end with it in mid-call.
    """
    for known, child in list(_children.items()):
        if child.poll() is not None:
            del _children[known]
    if run_id in _children:
        return
    command = [sys.executable, "manage.py", "evaluate", "run", "--resume", str(run_id), "--background"]
    _children[run_id] = subprocess.Popen(
        command, cwd=settings.BASE_DIR, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    )


def _announce(run_id: uuid.UUID) -> None:
    # A lost message does no harm: the beat finds the run.
    current_app.send_task(START_TASK, args=[str(run_id)], ignore_result=True)
