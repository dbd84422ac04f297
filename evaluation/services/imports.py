"""Evaluations that were made elsewhere become runs of ours, to be read, judged by people and compared."""

import hashlib
import json
from collections.abc import Iterator

from django.db import transaction
from django.utils import timezone

from chatsite.accounts.models import User
from evaluation.errors import CannotEvaluate
from evaluation.formats import fastchat
from evaluation.models import EvaluationRun, StoredAnswer, StoredVerdict, SuiteSnapshot
from evaluation.records import PairVerdict, SingleVerdict
from evaluation.report.material import Material

BATCH = 500
FIELDS = frozenset({"prompt_name", "user_prompt", "g1_user_prompt", "g2_user_prompt"})
"""Of `extra`: what has a column of its own."""


@transaction.atomic
def store(
    *, material: Material, name: str = "", source: str = "", created_by: User | None = None
) -> EvaluationRun:
    """The material as a finished run. Raises `CannotEvaluate` when there is nothing in it to read."""
    if not material.questions or not (material.answers or material.singles or material.pairs):
        raise CannotEvaluate("files", "There are no answers and no judgments in these files.")
    if material.people:
        raise CannotEvaluate(
            "files", "Votes of people belong to accounts and cannot be imported. Leave their file out."
        )
    run = EvaluationRun(
        suite=_suite(material, name or material.title),
        suite_source=source[:500] or "import",
        chat_models=material.chat_models,
        judges=material.judges,
        mode=_mode(material),
        baseline=material.baseline,
        parameters={"imported": True, "references": [fastchat.answer_row(a) for a in material.references]},
        status=EvaluationRun.Status.FINISHED,
        answers_total=len(material.answers),
        answers_done=len(material.answers),
        verdicts_total=len(material.singles) + 2 * len(material.pairs),
        verdicts_done=len(material.singles) + 2 * len(material.pairs),
        created_by=created_by,
        finished_at=timezone.now(),
    )
    run.full_clean()
    run.save(force_insert=True)
    StoredAnswer.objects.bulk_create(_answers(run, material), batch_size=BATCH)
    StoredVerdict.objects.bulk_create(_singles(run, material), batch_size=BATCH)
    StoredVerdict.objects.bulk_create(_pairs(run, material), batch_size=BATCH)
    return run


def _suite(material: Material, name: str) -> SuiteSnapshot:
    rows = [fastchat.question_row(question) for question in material.questions]
    said = json.dumps([name, "", rows], sort_keys=True)
    snapshot, _made = SuiteSnapshot.objects.get_or_create(
        content_hash=hashlib.sha256(said.encode()).hexdigest(),
        defaults={"name": name[:200], "questions": rows},
    )
    return snapshot


def _mode(material: Material) -> str:
    if not material.pairs:
        return EvaluationRun.Mode.SINGLE
    return EvaluationRun.Mode.PAIRWISE_BASELINE if material.baseline else EvaluationRun.Mode.PAIRWISE_ALL


def _answers(run: EvaluationRun, material: Material) -> Iterator[StoredAnswer]:
    for answer in material.answers:
        yield StoredAnswer(
            run=run,
            question_id=str(answer.question_id),
            chat_model=answer.chat_model,
            turns=list(answer.turns),
            complete=True,
            extra=dict(answer.extra),
        )


def _singles(run: EvaluationRun, material: Material) -> Iterator[StoredVerdict]:
    for verdict in material.singles:
        yield StoredVerdict(
            kind=StoredVerdict.Kind.SINGLE,
            model_1=verdict.chat_model,
            score=verdict.score,
            failed=verdict.score is None,
            judgment=verdict.judgment,
            user_prompt=str(verdict.extra.get("user_prompt", "")),
            **_shared(run, verdict),
        )


def _pairs(run: EvaluationRun, material: Material) -> Iterator[StoredVerdict]:
    for verdict in material.pairs:
        games = ((verdict.g1_winner, verdict.g1_judgment), (verdict.g2_winner, verdict.g2_judgment))
        for game, (winner, judgment) in enumerate(games, start=1):
            yield StoredVerdict(
                kind=StoredVerdict.Kind.PAIR,
                model_1=verdict.model_1,
                model_2=verdict.model_2,
                game=game,
                winner=winner,
                failed=winner == "error",
                judgment=judgment,
                user_prompt=str(verdict.extra.get(f"g{game}_user_prompt", "")),
                **_shared(run, verdict),
            )


def _shared(run: EvaluationRun, verdict: SingleVerdict | PairVerdict) -> dict[str, object]:
    return {
        "run": run,
        "question_id": str(verdict.question_id),
        "turn": verdict.turn,
        "judge": verdict.judge,
        "prompt_name": str(verdict.extra.get("prompt_name", "")),
        "extra": {name: value for name, value in verdict.extra.items() if name not in FIELDS},
    }
