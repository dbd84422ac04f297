"""What the database itself guards of an evaluation."""

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError

from evaluation.models import EvaluationRun, Judge, StoredAnswer, StoredVerdict, SuiteSnapshot

pytestmark = pytest.mark.django_db


@pytest.fixture
def run() -> EvaluationRun:
    suite = SuiteSnapshot.objects.create(content_hash="0" * 64, name="small", questions=[])
    return EvaluationRun.objects.create(suite=suite, suite_source="small", chat_models=["a", "b"])


def test_it_keeps_one_answer_of_a_chat_model_to_a_question(run):
    StoredAnswer.objects.create(run=run, chat_model="a", question_id="1")
    with pytest.raises(IntegrityError):
        StoredAnswer.objects.create(run=run, chat_model="a", question_id="1")


def test_it_keeps_one_verdict_of_a_judge_per_game(run):
    game = {
        "run": run,
        "judge": "j",
        "kind": "pair",
        "question_id": "1",
        "turn": 1,
        "model_1": "a",
        "model_2": "b",
    }
    StoredVerdict.objects.create(**game, game=1)
    StoredVerdict.objects.create(**game, game=2)
    with pytest.raises(IntegrityError):
        StoredVerdict.objects.create(**game, game=2)


def test_its_progress_counts_answers_and_verdicts_together(run):
    run.answers_total, run.verdicts_total, run.answers_done = 4, 4, 4
    assert run.progress == 0.5


@pytest.mark.parametrize("variable", ["sk-secret-key", "lower_case", "1ST"])
def test_a_judge_names_an_environment_variable_and_never_holds_a_key(variable):
    judge = Judge(name="j", model="m", base_url="https://judge.example/v1", key_variable=variable)
    with pytest.raises(ValidationError, match="not the key itself"):
        judge.full_clean()


def test_a_judge_of_the_catalog_takes_no_key():
    with pytest.raises(ValidationError, match="needs no key"):
        Judge(name="j", model="m", key_variable="KEY").full_clean()
