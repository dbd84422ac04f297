"""The same answers judged again: by others, or by the same judge to see how far it has drifted."""

import json
from io import StringIO

import pytest
from django.core.management import call_command

from evaluation.errors import CannotEvaluate
from evaluation.models import EvaluationRun, StoredAnswer
from evaluation.report import verifying
from evaluation.selectors import reading
from evaluation.services import rejudging, runner
from tests.evaluation.support import TURNS, host, plan_run

pytestmark = pytest.mark.django_db


@pytest.fixture
def first(workers_client, suite) -> EvaluationRun:
    host(workers_client, "parrot")
    host(workers_client, "strict", "reply=[[3]]")
    return runner.execute(run_id=plan_run(suite, "parrot", judges=["strict"]).pk)


def again(run: EvaluationRun, **values) -> EvaluationRun:
    return runner.execute(run_id=rejudging.create(plan=rejudging.plan(run=run, **values)).pk)


def asked(workers_client, name: str) -> int:
    return sum(request.chat_model == name for request in workers_client.requests)


def card_of(run: EvaluationRun) -> dict[str, str]:
    report = reading.report_of(run, str)
    [cards] = [
        table for section in report.sections if section.anchor == "judges" for table in section.tables
    ][:1]
    return {row[0].text: row[1].text for row in cards.rows}


def test_a_fresh_look_at_the_same_answers_tells_the_drift(workers_client, first):
    workers_client.host_script("strict", "reply=[[5]]")
    second = again(first, fresh=True)
    assert asked(workers_client, "parrot") == TURNS, "nothing was answered again"
    assert asked(workers_client, "strict") == 2 * TURNS
    assert set(second.verdicts.values_list("score", "cached")) == {(5.0, False)}
    assert (second.status, second.answers_done) == ("finished", TURNS)
    card = card_of(second)
    assert card["Points more than at the earlier time"] == "2.00"
    assert card["Scores that are as they were"] == "0.0%"
    assert "Points more than at the earlier time" not in card_of(first)


def test_without_a_fresh_look_the_cache_answers(workers_client, first):
    second = again(first)
    assert asked(workers_client, "strict") == TURNS
    assert all(second.verdicts.values_list("cached", flat=True))


def test_another_judge_grades_the_same_answers(workers_client, first):
    host(workers_client, "mild", "reply=[[9]]")
    second = again(first, judge_names=["mild"])
    assert set(second.verdicts.values_list("judge", "score")) == {("mild", 9.0)}
    texts = StoredAnswer.objects.order_by("run__created_at", "id").values_list("turns", flat=True)
    assert list(texts[:3]) == list(texts[3:])


def test_pairs_that_are_judged_otherwise_are_counted(workers_client, suite):
    for name in ("a", "b"):
        host(workers_client, name, "reply=x")
    host(workers_client, "fair", "reply=[[C]]")
    run = plan_run(suite, "a", "b", judges=["fair"], mode="pairwise-all")
    runner.execute(run_id=run.pk)
    assert card_of(again(run, fresh=True))["Pairs that are as they were"] == "100.0%"


def test_the_static_report_of_it_can_be_verified(workers_client, first, tmp_path):
    workers_client.host_script("strict", "reply=[[5]]")
    second = again(first, fresh=True)
    call_command("evaluate", "report", str(second.pk), "--out", str(tmp_path / "r"), stdout=StringIO())
    assert verifying.differences(tmp_path / "r") == []
    line = json.loads((tmp_path / "r/data/earlier_judgment/strict_single.jsonl").read_text().splitlines()[0])
    assert line["score"] == 3.0


def test_a_run_without_all_of_its_answers_is_not_judged_again(workers_client, suite):
    host(workers_client, "parrot")
    host(workers_client, "strict", "reply=[[3]]")
    run = plan_run(suite, "parrot", judges=["strict"])
    with pytest.raises(CannotEvaluate, match="Finish it first"):
        rejudging.plan(run=run)


def test_a_run_without_judges_needs_one_named(workers_client, suite):
    host(workers_client, "parrot")
    run = runner.execute(run_id=plan_run(suite, "parrot").pk)
    with pytest.raises(CannotEvaluate, match="who is to judge"):
        rejudging.plan(run=run)


def test_the_command_judges_again(workers_client, first):
    out = StringIO()
    call_command("evaluate", "run", "--rejudge", str(first.pk)[:8], "--fresh", stdout=out)
    assert "0 answers and 5 verdicts" in out.getvalue()
    assert EvaluationRun.objects.count() == 2
