"""Whose evaluations a person may read, and the records of one, ready for a report."""

import hashlib
import json
import uuid
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from django.core.cache import cache
from django.db.models import Count, Max, Q, QuerySet
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import get_language
from django.utils.translation import gettext as _

from chatsite import __version__
from chatsite.accounts.models import User
from evaluation.formats import fastchat
from evaluation.models import EvaluationRun, HumanVerdict, StoredAnswer, StoredTaskScore, StoredVerdict
from evaluation.records import (
    WINNERS,
    Answer,
    PairVerdict,
    Question,
    QuestionId,
    SingleVerdict,
    TaskScore,
    Winner,
)
from evaluation.report.material import Material, merged
from evaluation.report.questions import Address
from evaluation.report.report import Report, build

KEPT_SECONDS = 600
REJUDGES = "rejudges"
"""A run's parameter: the id of the run whose answers it judges again."""
READ = "evaluation.view_evaluationrun"
PERSON = "person "
"""Before a number in the place of a judge's name: reports show how people judge, never who they are."""


def readable(user: User) -> QuerySet[EvaluationRun]:
    """All for operators and for who holds the permission; one's own for everybody else."""
    runs = EvaluationRun.objects.select_related("suite", "created_by")
    if user.is_staff or user.has_perm(READ):
        return runs
    return runs.filter(created_by=user)


def listed(user: User) -> QuerySet[EvaluationRun]:
    """Newest first, with how often people have judged."""
    return (
        readable(user)
        .defer("suite__questions")
        .annotate(people_verdicts=Count("human_verdicts", distinct=True))
        .order_by("-created_at")
    )


def one(user: User, run_id: uuid.UUID) -> EvaluationRun:
    """Raises DoesNotExist for another person's as for none."""
    return readable(user).get(pk=run_id)


def material(run: EvaluationRun, *, question_id: str | None = None) -> Material:
    """The run's records; with `question_id` the answers and verdicts of this question only."""
    only = Q() if question_id is None else Q(question_id=question_id)
    asked = questions(run)
    ids = {str(question.id): question.id for question in asked}
    singles, pairs = _verdicts(run, only, ids)
    earlier_singles, earlier_pairs = _earlier(run, only, ids)
    return Material(
        title=str(run),
        questions=asked,
        answers=[_answer(stored, ids) for stored in run.answers.filter(only).order_by("id")],
        references=_references(run),
        singles=singles,
        pairs=pairs,
        earlier_singles=earlier_singles,
        earlier_pairs=earlier_pairs,
        people=_people(run.human_verdicts.filter(only).order_by("id"), ids),
        tasks=[_task_score(stored) for stored in run.task_scores.order_by("id")],
        baseline=run.baseline,
        facts=facts(run),
    )


def report_of(run: EvaluationRun, address: Address) -> Report:
    """The run's report; of one that has ended it is kept for a while, since intervals take a second or two.

    The key tells what the report was made of, so that a vote or a retried judgment shows at once.
    """
    if run.open:
        return build(material(run), address)
    made_of = [
        run.answers.aggregate(Count("id"), Max("id")),
        run.verdicts.aggregate(Count("id"), Max("id")),
        run.human_verdicts.aggregate(Count("id"), Max("id")),
        run.task_scores.aggregate(Count("id"), Max("id")),
        (run.status, run.errors, get_language(), __version__),
    ]
    digest = hashlib.sha256(repr(made_of).encode()).hexdigest()
    key = f"evaluation-report:{run.pk}:{digest}"
    kept = cache.get(key)
    if isinstance(kept, Report):
        return kept
    report = build(material(run), address)
    cache.set(key, report, KEPT_SECONDS)
    return report


def compared(runs: Sequence[EvaluationRun]) -> Material:
    """Several runs on the same questions as one material; raises ValueError when the questions differ.

    A chat model that is in several of them keeps its name in the newest; the older ones get their date.
    """
    newest_first = sorted(runs, key=lambda run: run.created_at, reverse=True)
    if len({run.suite_id for run in newest_first}) > 1:
        raise ValueError(_("These evaluations asked different questions: their numbers do not compare."))
    seen: set[str] = set()
    parts = []
    for run in newest_first:
        made = f"{timezone.localtime(run.created_at):%Y-%m-%d %H:%M}"
        names = {name: f"{name} ({made})" for name in run.chat_models if name in seen}
        seen.update(run.chat_models)
        parts.append(material(run).renamed(names))
    title = _("%(suite)s: %(count)s evaluations") % {"suite": newest_first[0].suite, "count": len(parts)}
    begun = [(_("Compared"), str(run)) for run in newest_first]
    return merged(title, parts, begun)


def facts(run: EvaluationRun) -> Sequence[tuple[str, str]]:
    made = timezone.localtime(run.created_at)
    found = [
        (_("Suite"), str(run.suite)),
        (_("Questions"), str(len(run.suite.questions) or "")),
        (_("Mode"), run.get_mode_display()),
        (_("Judges"), ", ".join(run.judges) or (_("none") if run.suite.questions else "")),
        (_("Judges again the answers of"), str(run.parameters.get(REJUDGES, ""))[:8]),
        (_("Baseline"), run.baseline),
        (_("Begun"), date_format(made, "DATETIME_FORMAT")),
        (_("Status"), run.get_status_display()),
        (_("Calls given up"), str(run.errors) if run.errors else ""),
    ]
    return [(name, value) for name, value in found if value]


def questions(run: EvaluationRun) -> list[Question]:
    return [_question(stored) for stored in run.suite.questions]


def _question(stored: Mapping[str, Any]) -> Question:
    known = ("question_id", "category", "turns", "reference")
    return Question(
        id=stored["question_id"],
        category=str(stored.get("category", "")),
        turns=tuple(stored["turns"]),
        reference=tuple(stored.get("reference") or ()),
        extra={name: value for name, value in stored.items() if name not in known},
    )


Ids = Mapping[str, QuestionId]
"""From the text in our tables to the id that the suite gave, which may be a number."""


def _verdicts(run: EvaluationRun, only: Q, ids: Ids) -> tuple[list[SingleVerdict], list[PairVerdict]]:
    stored = list(run.verdicts.filter(only).order_by("id"))
    singles = [_single(verdict, ids) for verdict in stored if verdict.kind == StoredVerdict.Kind.SINGLE]
    return singles, _pairs([verdict for verdict in stored if verdict.kind == StoredVerdict.Kind.PAIR], ids)


def _earlier(run: EvaluationRun, only: Q, ids: Ids) -> tuple[list[SingleVerdict], list[PairVerdict]]:
    """Of the run whose answers this one judged again."""
    source = EvaluationRun.objects.filter(pk=run.parameters.get(REJUDGES)).first()
    return _verdicts(source, only, ids) if source else ([], [])


def _answer(stored: StoredAnswer, ids: Ids) -> Answer:
    return Answer(
        question_id=ids.get(stored.question_id, stored.question_id),
        chat_model=stored.chat_model,
        turns=tuple(stored.turns),
        extra=stored.extra,
    )


def _task_score(stored: StoredTaskScore) -> TaskScore:
    return TaskScore(
        chat_model=stored.chat_model,
        task=stored.task,
        metric=stored.metric,
        value=stored.value,
        stderr=stored.stderr,
        samples=stored.samples,
        higher_is_better=stored.higher_is_better,
        version=stored.version,
    )


def _references(run: EvaluationRun) -> list[Answer]:
    """An imported run keeps them as its file had them."""
    rows = run.parameters.get("references", [])
    return fastchat.read_answers([json.dumps(row) for row in rows], "reference answers")


def _single(stored: StoredVerdict, ids: Ids) -> SingleVerdict:
    return SingleVerdict(
        question_id=ids.get(stored.question_id, stored.question_id),
        chat_model=stored.model_1,
        judge=stored.judge,
        turn=stored.turn,
        score=None if stored.failed else stored.score,
        judgment=stored.judgment,
        extra={"prompt_name": stored.prompt_name, "user_prompt": stored.user_prompt, **stored.extra},
    )


def _pairs(stored: Iterable[StoredVerdict], ids: Ids) -> list[PairVerdict]:
    """Both games of a pair together; while only one has been played there is no verdict yet."""
    played: defaultdict[tuple[str, str, int, str, str], dict[int, StoredVerdict]] = defaultdict(dict)
    for verdict in stored:
        key = (verdict.judge, verdict.question_id, verdict.turn, verdict.model_1, verdict.model_2)
        played[key][verdict.game] = verdict
    return [_pair(each[1], each[2], ids) for each in played.values() if len(each) == 2]


def _pair(first: StoredVerdict, second: StoredVerdict, ids: Ids) -> PairVerdict:
    return PairVerdict(
        question_id=ids.get(first.question_id, first.question_id),
        model_1=first.model_1,
        model_2=first.model_2,
        judge=first.judge,
        turn=first.turn,
        g1_winner=_winner(first),
        g2_winner=_winner(second),
        g1_judgment=first.judgment,
        g2_judgment=second.judgment,
        extra={
            "prompt_name": first.prompt_name,
            "g1_user_prompt": first.user_prompt,
            "g2_user_prompt": second.user_prompt,
            **first.extra,
        },
    )


def _winner(stored: StoredVerdict) -> Winner:
    return "error" if stored.failed else _word(stored.winner)


def _word(stored: str) -> Winner:
    """What is none of FastChat's words is no verdict."""
    return next((word for word in WINNERS if word == stored), "error")


def _people(stored: Iterable[HumanVerdict], ids: Ids) -> list[PairVerdict]:
    numbers: dict[int | None, int] = {}
    return [
        PairVerdict(
            question_id=ids.get(verdict.question_id, verdict.question_id),
            model_1=verdict.model_1,
            model_2=verdict.model_2,
            judge=f"{PERSON}{numbers.setdefault(verdict.person_id, len(numbers) + 1)}",
            turn=verdict.turn,
            g1_winner=_word(verdict.winner),
            g2_winner=_word(verdict.winner),
        )
        for verdict in stored
    ]
