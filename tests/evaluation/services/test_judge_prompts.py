"""Judging with prompts from a file, in FastChat's format."""

import json
from pathlib import Path

import pytest

from evaluation.errors import CannotEvaluate
from evaluation.models import StoredVerdict
from evaluation.services import judge_prompts, plans, runner, runs
from tests.evaluation.support import TURNS, host

pytestmark = pytest.mark.django_db

ONE = "Q: {question}\nA: {answer}\nEnd with [[rating]]."
TWO = "Q: {question_1} / {question_2}\nA: {answer_1} / {answer_2}\nEnd with [[rating]]."


def record(name: str, template: str, kind: str = "single") -> dict[str, object]:
    return {
        "name": name,
        "type": kind,
        "system_prompt": "",
        "prompt_template": template,
        "output_format": "[[rating]]",
    }


def write(folder: Path, *records: dict[str, object]) -> Path:
    path = folder / "judge_prompts.jsonl"
    path.write_text("".join(json.dumps(each) + "\n" for each in records))
    return path


def test_a_judge_is_shown_the_file_s_prompts(workers_client, suite, tmp_path):
    host(workers_client, "parrot")
    host(workers_client, "strict", "reply=[[3]]")
    rows = judge_prompts.read(write(tmp_path, record("mine", ONE), record("mine-2", TWO)))
    plan = plans.plan(suite=suite, chat_models=["parrot"], judge_names=["strict"], prompts=rows)
    run = runs.create(plan=plan)
    runner.execute(run_id=run.pk)
    verdicts = StoredVerdict.objects.filter(question_id="1").order_by("turn")
    assert [(v.prompt_name, v.user_prompt) for v in verdicts] == [
        ("mine", "Q: Say one.\nA: Say one.\nEnd with [[rating]]."),
        ("mine-2", "Q: Say one. / Say two.\nA: Say one. / Say two.\nEnd with [[rating]]."),
    ]
    assert StoredVerdict.objects.filter(score=3).count() == TURNS
    asked = next(request for request in workers_client.requests if request.chat_model == "strict")
    assert [message.role for message in asked.messages] == ["user"], "an empty system prompt is none"


def test_a_turn_without_a_prompt_is_refused_before_anything_is_asked(workers_client, suite, tmp_path):
    host(workers_client, "parrot")
    rows = judge_prompts.read(write(tmp_path, record("mine", ONE)))
    with pytest.raises(CannotEvaluate, match="none for single verdicts on turn 2"):
        plans.plan(suite=suite, chat_models=["parrot"], prompts=rows)
    assert not workers_client.requests


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "no prompts in it"),
        ("{}\n", "line 1: the field name is missing"),
        ("nonsense", "line 1: this is not JSON"),
        (json.dumps(record("x", ONE, "ranking")), "line 1: type is 'ranking'"),
        (f"{json.dumps(record('x', ONE))}\n{json.dumps(record('x', TWO))}", "the prompt x is there twice"),
    ],
)
def test_a_bad_file_is_refused_with_its_line(tmp_path, content, message):
    path = tmp_path / "prompts.jsonl"
    path.write_text(content)
    with pytest.raises(CannotEvaluate, match=message) as raised:
        judge_prompts.read(path)
    assert raised.value.field == "prompts"


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(CannotEvaluate, match=r"nowhere\.jsonl"):
        judge_prompts.read(tmp_path / "nowhere.jsonl")
