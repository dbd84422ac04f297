"""The answers of a run are judged again: by other judges, or by the same ones to see how far they have drifted."""

from collections.abc import Sequence
from dataclasses import replace

from django.db import transaction

from chatsite.accounts.models import User
from evaluation.errors import CannotEvaluate
from evaluation.models import EvaluationRun, StoredAnswer
from evaluation.selectors import runs as selectors
from evaluation.selectors.reading import REJUDGES
from evaluation.services import judges, runs
from evaluation.services.grading import FRESH
from evaluation.services.plans import Plan
from evaluation.suites import Suite

BATCH = 500


def plan(*, run: EvaluationRun, judge_names: Sequence[str] = (), fresh: bool = False) -> Plan:
    """Judging all answers of `run`, by its own judges unless others are named. Nothing is answered again.

    `fresh` asks the judges anew also where the cache knows what they said. Raises `CannotEvaluate` when the run has no
    complete set of answers, or no judge.
    """
    questions = selectors.questions(run=run)
    if not questions:
        raise CannotEvaluate(
            "rejudge", "This run has no answers: lm-evaluation-harness compared them by itself."
        )
    wanted = len(questions) * len(run.chat_models)
    if run.answers.filter(complete=True).count() < wanted:
        raise CannotEvaluate("rejudge", "This run has not got all of its answers yet. Finish it first.")
    names = list(judge_names) or run.judges
    if not names:
        raise CannotEvaluate("judge", "This run had no judge; say who is to judge now.")
    kept = {
        name: value for name, value in run.parameters.items() if name not in (REJUDGES, FRESH, "foreground")
    }
    return Plan(
        suite=Suite(run.suite.name, run.suite.version, tuple(questions)),
        suite_source=run.suite_source,
        chat_models=tuple(run.chat_models),
        judges=tuple(judges.named(names=names)),
        mode=run.mode,
        baseline=run.baseline,
        parameters={**kept, REJUDGES: str(run.pk), **({FRESH: True} if fresh else {})},
        questions=questions,
        answered=True,
    )


@transaction.atomic
def create(*, plan: Plan, created_by: User | None = None, foreground: bool = False) -> EvaluationRun:
    """Store what is planned, with the answers that are there. In the background somebody begins after the commit."""
    if foreground:
        plan = replace(plan, parameters={**plan.parameters, "foreground": True})
        run = runs.create(plan=plan, created_by=created_by)
    else:
        run = runs.start(plan=plan, created_by=created_by)
    source = EvaluationRun.objects.get(pk=plan.parameters[REJUDGES])
    StoredAnswer.objects.bulk_create(
        (
            StoredAnswer(
                run=run,
                chat_model=answer.chat_model,
                question_id=answer.question_id,
                turns=answer.turns,
                complete=True,
                outcome=answer.outcome,
                error_message=answer.error_message,
                extra=answer.extra,
            )
            for answer in source.answers.filter(complete=True).order_by("id").iterator(chunk_size=BATCH)
        ),
        batch_size=BATCH,
    )
    return run
