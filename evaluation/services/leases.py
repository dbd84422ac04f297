"""Who works on a run: one process at a time, by a lease that it renews while it lives.

A claim is a conditional update, so there is no lock and no race. After `kill -9` the lease runs out; on the same
machine it is given up at once, since the process is seen to be gone.
"""

import os
import socket
import time
import uuid
from datetime import timedelta

import psutil
from django.db.models import Q
from django.utils import timezone

from evaluation.errors import Broken, Stopped
from evaluation.models import EvaluationRun

LEASE = timedelta(seconds=30)
RENEW_SECONDS = 2.0
# Seconds by which the account of when a process began may move: it is counted from a boot time that follows the clock
# as that is set.
CLOCK_SLACK = 2
# Claims in a row without one finished call: something ends the process each time.
MOST_CLAIMS = 5

OPEN = (EvaluationRun.Status.QUEUED, EvaluationRun.Status.RUNNING)


def me() -> str:
    """A name for this process that no later process gets: host, process id, and when it began."""
    process = psutil.Process()
    return f"{socket.gethostname()[:30]}:{process.pid}:{int(process.create_time())}"


def is_gone(runner: str) -> bool:
    """Whether the process called `runner` is known to have ended; False for one of another machine."""
    host, pid, began = ["", *runner.rsplit(":", 2)][-3:]
    if host != socket.gethostname()[:30]:
        return False
    try:
        process = psutil.Process(int(pid))
        another = abs(process.create_time() - int(began)) > CLOCK_SLACK
        return another or process.status() == psutil.STATUS_ZOMBIE
    except (psutil.NoSuchProcess, ValueError):
        return True


class Lease:
    """The right to work on one run. `keep` renews it; leaving it gives it back."""

    def __init__(self, run_id: uuid.UUID, runner: str):
        self._run_id = run_id
        self._runner = runner
        self._renewed = time.monotonic()
        self._parent = os.getppid()

    def keep(self, *, with_parent: bool = False, **progress: int) -> bool:
        """Renew the lease and write `progress`; False when that was done a moment ago, and is left.

        Raises `Stopped` when the run was cancelled or taken over, or when `with_parent` and the parent is gone.
        """
        if time.monotonic() - self._renewed < RENEW_SECONDS:
            return False
        if with_parent and os.getppid() != self._parent:
            raise Stopped("The process that started this one is gone.")
        self.write(**progress)
        return True

    def write(self, **values: object) -> None:
        """Write `values` into the run. Raises `Stopped` as `keep` does."""
        mine = EvaluationRun.objects.filter(pk=self._run_id, runner=self._runner, status__in=OPEN)
        if not mine.update(lease_until=timezone.now() + LEASE, **values):
            raise Stopped("Another process works on this run now, or it has ended.")
        if EvaluationRun.objects.filter(pk=self._run_id, cancel_requested=True).exists():
            raise Stopped("The run was cancelled.")
        self._renewed = time.monotonic()


def claim(*, run_id: uuid.UUID) -> Lease:
    """Become the one who works on the run. Raises `Stopped` when somebody else is, or when it has ended."""
    now = timezone.now()
    run = EvaluationRun.objects.filter(pk=run_id).first()
    if run is None or not run.open:
        raise Stopped("The run has ended.")
    free = Q(lease_until=None) | Q(lease_until__lt=now)
    if run.runner and is_gone(run.runner):
        free |= Q(runner=run.runner)
    runner = me()
    taken = EvaluationRun.objects.filter(free, pk=run_id, status__in=OPEN, cancel_requested=False).update(
        runner=runner,
        lease_until=now + LEASE,
        status=EvaluationRun.Status.RUNNING,
        started_at=run.started_at or now,
        claims=run.claims + 1,
        error_message="",
    )
    if not taken:
        raise Stopped("Another process works on this run.")
    if run.claims >= MOST_CLAIMS:
        end(
            run_id=run_id,
            status=EvaluationRun.Status.FAILED,
            message="It was started several times and got nowhere.",
        )
        raise Broken("The run was started several times and got nowhere; the log says why.")
    return Lease(run_id, runner)


def release(*, run_id: uuid.UUID) -> None:
    """Give the run back unfinished: whoever comes next goes on with it."""
    EvaluationRun.objects.filter(pk=run_id, runner=me(), status__in=OPEN).update(
        runner="", lease_until=None, status=EvaluationRun.Status.QUEUED
    )


def end(*, run_id: uuid.UUID, status: str, message: str = "", **values: object) -> bool:
    """End the run once. False when it has ended already."""
    ended = EvaluationRun.objects.filter(pk=run_id, status__in=OPEN).update(
        status=status,
        error_message=message[:500],
        finished_at=timezone.now(),
        runner="",
        lease_until=None,
        cancel_requested=False,
        **values,
    )
    return ended == 1
