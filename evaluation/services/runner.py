"""Work on one run to its end, in this process: answers first, then verdicts.

Nothing is remembered outside the database, so a run that was killed at any moment goes on where it stopped, and no
call whose outcome was stored is made again.
"""

import logging
import time
import uuid
from collections.abc import Callable, Hashable
from typing import Any, Protocol, TypeVar

from django.db import transaction

from evaluation.calls import Call, Caller, Outcome, Pool
from evaluation.errors import Broken, Gone, Stopped
from evaluation.models import EvaluationRun
from evaluation.selectors import runs as selectors
from evaluation.services import harness, leases
from evaluation.services.answering import Answering
from evaluation.services.grading import Grading
from evaluation.services.leases import Lease
from workers import client
from workers.connections import UNREACHABLE

logger = logging.getLogger(__name__)

Key = TypeVar("Key", bound=Hashable)
P = TypeVar("P", bound="Phase[Any]")
Tell = Callable[[EvaluationRun], None]

# Seconds to wait for an outcome before the lease is looked after.
TICK = 1.0
# Seconds that a run of the background waits for a worker: after a power cut it is up again long before a large chat
# model has been loaded.
PATIENCE = 900.0
# How often a run waits for workers that went away before it is given up.
MOST_RETURNS = 20


class Phase(Protocol[Key]):
    done: int
    errors: int

    @property
    def left(self) -> bool:
        """Whether `ready` has more to give, now or later."""

    @property
    def wanted(self) -> set[str]:
        """Chat models of the catalog without which what is left cannot be done."""

    def ready(self) -> tuple[Key, Caller, Call] | None: ...

    def take(self, outcome: Outcome[Key]) -> None: ...


def execute(*, run_id: uuid.UUID, tell: Tell | None = None, with_parent: bool = False) -> EvaluationRun:
    """Claim the run, finish it, and return it. `tell` gets it about once a second.

    Raises `Stopped` when it was cancelled or belongs to another process, `Broken` when it cannot go on; both leave what
    is stored for a later resume. So does any other end of the process. `with_parent` is for the background: it ends
    with its parent, and waits for workers that are not there yet or went away, since nobody watches who could start
    them.
    """
    lease = leases.claim(run_id=run_id)
    run = EvaluationRun.objects.select_related("suite").get(pk=run_id)
    try:
        _Runner(run, lease, tell or (lambda run: None), with_parent=with_parent).work()
    except Broken as error:
        leases.end(run_id=run_id, status=EvaluationRun.Status.FAILED, message=str(error))
        raise
    except Stopped:
        if not _settle_cancel(run_id):
            leases.release(run_id=run_id)
        raise
    except BaseException:
        leases.release(run_id=run_id)
        raise
    run.refresh_from_db()
    return run


class _Runner:
    def __init__(self, run: EvaluationRun, lease: Lease, tell: Tell, *, with_parent: bool):
        self._run, self._lease, self._tell = run, lease, tell
        self._with_parent = with_parent

    def work(self) -> None:
        run = self._run
        if run.mode == EvaluationRun.Mode.HARNESS:
            self._harness()
            return
        questions = selectors.questions(run=run)
        answering = self._finish(lambda: Answering(run, questions), "answers_done")
        grading = self._finish(lambda: Grading(run, questions), "verdicts_done", answering.errors)
        leases.end(
            run_id=run.pk,
            status=EvaluationRun.Status.FINISHED,
            answers_done=answering.done,
            verdicts_done=grading.done,
            errors=answering.errors + grading.errors,
        )

    def _harness(self) -> None:
        """One step is one chat model, with all tasks."""

        def look(done: int) -> None:
            if self._lease.keep(with_parent=self._with_parent, answers_done=done):
                self._report({"answers_done": done})

        self._await_workers(set(self._run.chat_models))
        harness.work(self._run, look)
        leases.end(
            run_id=self._run.pk, status=EvaluationRun.Status.FINISHED, answers_done=len(self._run.chat_models)
        )

    def _finish(self, begin: Callable[[], P], counter: str, errors_before: int = 0) -> P:
        """Work on a phase to its end. In the background it is begun again when its workers have come back."""
        for _ in range(MOST_RETURNS):
            phase = begin()
            try:
                self._await_workers(phase.wanted)
                self._phase(phase, counter, errors_before)
            except Gone as error:
                if not self._with_parent:
                    raise
                logger.warning("Evaluation %s waits: %s", self._run.pk, error)
            else:
                return phase
        raise Broken("Its chat models went away again and again. See to their workers, then resume.")

    def _await_workers(self, chat_models: set[str]) -> None:
        end = time.monotonic() + PATIENCE
        while self._with_parent and (absent := _unserved(chat_models)):
            if time.monotonic() > end:
                raise Broken(
                    f"No worker serves {', '.join(absent)}. Start one: manage.py worker --model {absent[0]}, "
                    "then resume."
                )
            self._lease.keep(with_parent=True, claims=0)
            time.sleep(TICK)

    def _phase(self, phase: Phase[Any], counter: str, errors_before: int) -> None:
        first = phase.done
        with Pool[Any](attempts=self._attempts()) as pool:
            while True:
                while (ready := phase.ready()) is not None:
                    pool.start(*ready)
                if not pool.running and not phase.left:
                    break
                if pool.running and (outcome := pool.next(TICK)) is not None:
                    _take([outcome, *pool.arrived()], phase)
                values = {counter: phase.done, "errors": errors_before + phase.errors}
                if phase.done > first:
                    values["claims"] = 0
                if self._lease.keep(with_parent=self._with_parent, **values):
                    self._report(values)
        values = {counter: phase.done, "errors": errors_before + phase.errors}
        self._lease.write(**values)
        self._report(values)

    def _report(self, values: dict[str, int]) -> None:
        for name, value in values.items():
            setattr(self._run, name, value)
        self._tell(self._run)

    def _attempts(self) -> int:
        return int(self._run.parameters.get("attempts") or 6)


def _take(outcomes: list[Outcome[Any]], phase: Phase[Any]) -> None:
    """Store what has come in, together: slots that got free at once should not wait for a commit each.

    Of an outcome that ends the run the others are stored nevertheless; then its `Broken` is raised.
    """
    broken: Broken | None = None
    with transaction.atomic():
        for outcome in outcomes:
            try:
                phase.take(outcome)
            except Broken as error:
                broken = broken or error
    if broken:
        raise broken


def _unserved(chat_models: set[str]) -> list[str]:
    try:
        return sorted(name for name in chat_models if not client.is_served(name))
    except UNREACHABLE:  # the broker is on its way as well
        return sorted(chat_models)


def _settle_cancel(run_id: uuid.UUID) -> bool:
    """End a run that somebody wanted cancelled. False when that was not the reason."""
    if not EvaluationRun.objects.filter(pk=run_id, cancel_requested=True).exists():
        return False
    return leases.end(run_id=run_id, status=EvaluationRun.Status.CANCELLED)
