"""Reading evaluations: as rows for pages, as records for numbers."""

import json
import uuid
from collections.abc import Sequence

from django.core.exceptions import ValidationError
from django.db.models import QuerySet

from evaluation.formats import fastchat
from evaluation.models import EvaluationRun
from evaluation.records import Question


def find(run_id: str | uuid.UUID) -> EvaluationRun | None:
    """The run with this id, or with an id that begins so, when there is just one."""
    text = str(run_id).strip().lower()
    runs = EvaluationRun.objects.select_related("suite")
    try:
        return runs.filter(pk=uuid.UUID(text)).first()
    except (ValueError, ValidationError):
        pass
    if len(text) < 4:
        return None
    ids = EvaluationRun.objects.values_list("pk", flat=True)
    matching = [key for key in ids if str(key).startswith(text) or key.hex.startswith(text)]
    return runs.get(pk=matching[0]) if len(matching) == 1 else None


def newest(*, limit: int = 50) -> QuerySet[EvaluationRun]:
    return EvaluationRun.objects.select_related("suite").defer("suite__questions")[:limit]


def questions(*, run: EvaluationRun) -> Sequence[Question]:
    """The questions of the run, in order, as they were when it was planned."""
    lines = [json.dumps(row) for row in run.suite.questions]
    return fastchat.read_questions(lines, str(run.suite))


def with_both(*, candidate: str, parent: str) -> EvaluationRun | None:
    """The newest finished run that has judged both chat models."""
    finished = EvaluationRun.objects.filter(status=EvaluationRun.Status.FINISHED).select_related("suite")
    for run in finished.defer("suite__questions").iterator(chunk_size=100):
        if run.judges and {candidate, parent} <= set(run.chat_models):
            return run
    return None
