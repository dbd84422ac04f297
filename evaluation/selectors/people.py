"""The pairs that a person may judge next. Knows which is whose; who shows them must not."""

import hashlib
import uuid
from collections import Counter
from collections.abc import Iterator
from itertools import combinations
from typing import NamedTuple

from django.db.models import QuerySet

from chatsite.accounts.models import User
from evaluation.models import EvaluationRun, HumanVerdict, StoredAnswer

JUDGE = "evaluation.add_humanverdict"
ENOUGH = 2
"""People per pair: two show whether people agree with each other, and then other pairs need somebody more."""


MOST_RUNS = 20
"""Evaluations that are searched for a pair; older ones are judged by their own link."""


class Pair(NamedTuple):
    run_id: uuid.UUID
    question_id: str
    turn: int
    model_1: str
    model_2: str


class Shown(NamedTuple):
    """What the page shows of a pair: no name, no id of a run."""

    suite: str
    category: str
    prompts: list[str]
    left: list[str]
    right: list[str]


def may_judge(user: User) -> bool:
    return user.is_staff or user.has_perm(JUDGE)


def open_runs() -> QuerySet[EvaluationRun]:
    """Those with at least two chat models; also while they run, for what is answered already."""
    return EvaluationRun.objects.exclude(status=EvaluationRun.Status.CANCELLED).select_related("suite")


def next_pair(user: User, run: EvaluationRun | None = None) -> Pair | None:
    """The least judged pair that this person has not judged; in an order of the person's own among equals.

    Newest evaluation first, so that what was just begun is not behind last month's rest.
    """
    for candidate in [run] if run else open_runs().order_by("-created_at")[:MOST_RUNS]:
        remaining = waiting(user, candidate)
        if remaining:
            return remaining[0]
    return None


def waiting(user: User, run: EvaluationRun) -> list[Pair]:
    """All pairs of a run that this person may still judge, the most wanted first."""
    rows = HumanVerdict.objects.filter(run=run).values_list(
        "person_id", "question_id", "turn", "model_1", "model_2"
    )
    judged: Counter[Pair] = Counter()
    done = set()
    for person_id, question_id, turn, model_1, model_2 in rows:
        pair = Pair(run.pk, question_id, turn, model_1, model_2)
        judged[pair] += 1
        if person_id == user.pk:
            done.add(pair)
    pairs = [pair for pair in judgeable(run) if pair not in done]
    # One opinion more is worth most where there is one already (agreement needs two), least where there are enough.
    wanted = {1: 0, 0: 1}
    return sorted(
        pairs, key=lambda pair: (wanted.get(judged[pair], judged[pair] + ENOUGH), _shuffled(user, pair))
    )


def judgeable(run: EvaluationRun) -> Iterator[Pair]:
    """Two complete, different answers to the same question; with a baseline only pairs in which it plays."""
    turns = {str(question["question_id"]): len(question["turns"]) for question in run.suite.questions}
    # In the order in which judges have them too, so that one pair has one name.
    place = {name: (name == run.baseline, number) for number, name in enumerate(run.chat_models)}
    names: dict[str, list[tuple[str, list[str]]]] = {}
    rows = StoredAnswer.objects.filter(run=run, complete=True, chat_model__in=run.chat_models)
    answers = list(rows.values_list("question_id", "chat_model", "turns"))
    for question_id, chat_model, texts in sorted(answers, key=lambda answer: place[answer[1]]):
        names.setdefault(question_id, []).append((chat_model, texts))
    for question_id, answered in names.items():
        for (one, texts), (other, other_texts) in combinations(answered, 2):
            if run.baseline and run.baseline not in (one, other):
                continue
            for turn in range(1, turns.get(question_id, 0) + 1):
                if texts[:turn] != other_texts[:turn] and min(len(texts), len(other_texts)) >= turn:
                    yield Pair(run.pk, question_id, turn, one, other)


def shown(pair: Pair, *, swapped: bool) -> Shown:
    """Raises DoesNotExist when an answer was deleted since."""
    run = EvaluationRun.objects.select_related("suite").get(pk=pair.run_id)
    question = next(q for q in run.suite.questions if str(q["question_id"]) == pair.question_id)
    texts = {
        name: StoredAnswer.objects.get(run=run, question_id=pair.question_id, chat_model=name).turns[
            : pair.turn
        ]
        for name in (pair.model_1, pair.model_2)
    }
    left, right = (pair.model_2, pair.model_1) if swapped else (pair.model_1, pair.model_2)
    return Shown(
        suite=run.suite.name,
        category=str(question.get("category", "")),
        prompts=list(question["turns"][: pair.turn]),
        left=texts[left],
        right=texts[right],
    )


def _shuffled(user: User, pair: Pair) -> str:
    """Different for each person, the same each time: a reload shows the same pair."""
    return hashlib.sha256(f"{user.pk}:{pair}".encode()).hexdigest()
