"""Work on one run to its end, in this process: answers first, then verdicts.

Nothing is remembered outside the database, so a run that was killed at any moment goes on where it stopped, and no
call whose outcome was stored is made again.
"""

import logging
import uuid
from collections.abc import Callable, Hashable
from typing import Protocol, TypeVar

from evaluation.calls import Call, Caller, Outcome, Pool
from evaluation.errors import Broken, Stopped
from evaluation.models import EvaluationRun
from evaluation.selectors import runs as selectors
from evaluation.services import leases
from evaluation.services.answering import Answering
from evaluation.services.grading import Grading
from evaluation.services.leases import Lease

logger = logging.getLogger(__name__)

Key = TypeVar("Key", bound=Hashable)
Tell = Callable[[EvaluationRun], None]

# Seconds to wait for an outcome before the lease is looked after.
TICK = 1.0


class Phase(Protocol[Key]):
    done: int
    errors: int

    @property
    def left(self) -> bool:
        """Whether `ready` has more to give, now or later."""

    def ready(self) -> tuple[Key, Caller, Call] | None: ...

    def take(self, outcome: Outcome[Key]) -> None: ...


def execute(*, run_id: uuid.UUID, tell: Tell | None = None, with_parent: bool = False) -> EvaluationRun:
    """Claim the run, finish it, and return it. `tell` gets it about once a second.

    Raises `Stopped` when it was cancelled or belongs to another process, `Broken` when it cannot go on; both leave what
    is stored for a later resume. So does any other end of the process.
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
        questions = selectors.questions(run=run)
        answering = Answering(run, questions)
        self._phase(answering, "answers_done")
        grading = Grading(run, questions)
        self._phase(grading, "verdicts_done", errors_before=answering.errors)
        leases.end(
            run_id=run.pk,
            status=EvaluationRun.Status.FINISHED,
            answers_done=answering.done,
            verdicts_done=grading.done,
            errors=answering.errors + grading.errors,
        )

    def _phase(self, phase: Phase[Key], counter: str, errors_before: int = 0) -> None:
        first = phase.done
        with Pool[Key](attempts=self._attempts()) as pool:
            while True:
                while (ready := phase.ready()) is not None:
                    pool.start(*ready)
                if not pool.running and not phase.left:
                    break
                if pool.running and (outcome := pool.next(TICK)) is not None:
                    phase.take(outcome)
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


def _settle_cancel(run_id: uuid.UUID) -> bool:
    """End a run that somebody wanted cancelled. False when that was not the reason."""
    if not EvaluationRun.objects.filter(pk=run_id, cancel_requested=True).exists():
        return False
    return leases.end(run_id=run_id, status=EvaluationRun.Status.CANCELLED)
