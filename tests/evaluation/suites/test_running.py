"""Shipped suites through the whole of an evaluation."""

import io

import pytest
from django.core.management import call_command

from evaluation.models import EvaluationRun, StoredAnswer
from tests.evaluation.support import host

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.parametrize(("name", "turns"), [("dialogue", 2), ("identity", 1), ("sanity", 1)])
def test_a_chat_model_answers_a_slice_of_it(workers_client, name, turns):
    host(workers_client, "parrot")
    out = io.StringIO()
    call_command(
        "evaluate", "run", "--suite", name, "--models", "parrot", "--limit", "3", "--yes", stdout=out
    )
    run = EvaluationRun.objects.get()
    assert (run.suite.name, run.suite.version) == (name, "1")
    assert run.status == EvaluationRun.Status.FINISHED
    answers = StoredAnswer.objects.all()
    assert [len(answer.turns) for answer in answers] == [turns] * 3
    assert all(answer.complete for answer in answers)
