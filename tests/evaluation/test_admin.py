"""The operator's pages: start, cancel, resume; and what they refuse."""

import json

import pytest
from celery import current_app
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse

from evaluation.models import EvaluationRun, Judge, StoredAnswer, StoredVerdict
from evaluation.services import judges, runner, runs
from tests.evaluation.support import QUESTIONS, TURNS, host, plan_run
from tests.factories import make_user

pytestmark = pytest.mark.django_db


@pytest.fixture
def operator(client):
    user = make_user("operator", is_staff=True, is_superuser=True)
    client.force_login(user)
    return client


@pytest.fixture
def sent(monkeypatch) -> list:
    """What the control worker is told."""
    tasks: list = []
    monkeypatch.setattr(current_app, "send_task", lambda name, args, **options: tasks.append((name, args)))
    return tasks


def upload(rows=QUESTIONS) -> SimpleUploadedFile:
    text = "".join(json.dumps(row) + "\n" for row in rows)
    return SimpleUploadedFile("mine.jsonl", text.encode())


def start(client, *names: str, **values):
    from workers.models import ChatModel

    keys = [ChatModel.objects.get(name=name).pk for name in names]
    form = {"suite_file": upload(), "chat_models": keys, "mode": "single", **values}
    return client.post(reverse("admin:evaluation_evaluationrun_add"), form)


def test_it_starts_a_run_from_a_file(operator, workers_client, sent, django_capture_on_commit_callbacks):
    host(workers_client, "parrot")
    with django_capture_on_commit_callbacks(execute=True):
        response = start(operator, "parrot", limit="2")
    assert response.status_code == 302, response.context["errors"]
    run = EvaluationRun.objects.get()
    assert (run.chat_models, run.answers_total, str(run.created_by)) == (["parrot"], 4, "operator")
    assert sent == [(runs.START_TASK, [str(run.pk)])]
    assert "foreground" not in run.parameters


def test_it_starts_a_shipped_suite_against_a_baseline(operator, workers_client, sent):
    for name in ("parrot", "poet"):
        host(workers_client, name)
    values = {"suite_file": "", "suite": "sanity", "mode": "pairwise-baseline", "baseline": "poet"}
    response = start(operator, "parrot", **values)
    assert response.status_code == 302, response.context["errors"]
    run = EvaluationRun.objects.get()
    assert (run.suite.name, run.baseline, run.chat_models) == ("sanity", "poet", ["parrot", "poet"])


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"suite_address": "https://suites.example/x.jsonl"}, "an address or a file, not both"),
        ({"suite_file": "", "suite_address": "http://suites.example/x.jsonl"}, "no https address"),
        ({"baseline": "nobody"}, "Select a valid choice"),
        ({"suite_file": upload([QUESTIONS[0], QUESTIONS[0]])}, "line 2"),
        ({"suite_file": "", "suite": "/etc/passwd"}, "Select a valid choice"),
        ({"mode": "pairwise-baseline"}, "--baseline"),
        ({"mode": "pairwise-all"}, "two chat models"),
        ({"temperature": "9"}, "temperature"),
        ({"mode": "harness"}, "Select a valid choice"),
    ],
)
def test_what_cannot_work_is_a_sentence_at_its_field(operator, workers_client, values, message):
    host(workers_client, "parrot")
    response = start(operator, "parrot", **values)
    assert response.status_code == 200
    assert message in response.content.decode()
    assert not EvaluationRun.objects.exists()


def test_a_path_of_the_servers_own_files_is_not_read(operator, workers_client, tmp_path):
    host(workers_client, "parrot")
    path = tmp_path / "secret.jsonl"
    path.write_text(json.dumps(QUESTIONS[0]))
    response = start(operator, "parrot", suite_file="", suite=str(path))
    assert response.status_code == 200
    assert not EvaluationRun.objects.exists()


def test_what_costs_money_wants_a_tick(operator, workers_client, sent, monkeypatch):
    host(workers_client, "parrot")
    judge = Judge.objects.create(name="gpt", model="gpt", base_url="https://j.example/v1", prompt_price=900)
    assert "would cost about" in start(operator, "parrot", judges=[judge.pk]).content.decode()
    knocked: list[str] = []

    def models_at(*, base_url: str, key: str) -> list[str]:
        knocked.append(base_url)
        return ["gpt"]

    monkeypatch.setattr(judges, "models_at", models_at)
    assert start(operator, "parrot", judges=[judge.pk], confirmed="on").status_code == 302
    assert knocked == ["https://j.example/v1"]


def test_a_judge_that_cannot_be_reached_is_refused_in_its_field(operator, workers_client, sent, closed_port):
    host(workers_client, "parrot")
    judge = Judge.objects.create(name="gone", model="gpt", base_url=f"http://127.0.0.1:{closed_port}/v1")
    response = start(operator, "parrot", judges=[judge.pk])
    assert "cannot be reached" in response.context["adminform"].form.errors["judges"][0]
    assert not EvaluationRun.objects.exists()


def act(client, action: str, run: EvaluationRun):
    url = reverse("admin:evaluation_evaluationrun_changelist")
    return client.post(url, {"action": action, "_selected_action": [str(run.pk)]}, follow=True)


def test_it_cancels_and_goes_on(operator, workers_client, suite, sent, django_capture_on_commit_callbacks):
    host(workers_client, "parrot")
    run = plan_run(suite, "parrot")
    act(operator, "cancel", run)
    run.refresh_from_db()
    assert run.status == "cancelled"
    with django_capture_on_commit_callbacks(execute=True):
        act(operator, "resume", run)
    run.refresh_from_db()
    assert (run.status, sent) == ("queued", [(runs.START_TASK, [str(run.pk)])])


def test_it_has_the_same_answers_judged_again_unless_that_costs_money(
    operator, workers_client, suite, sent, django_capture_on_commit_callbacks
):
    host(workers_client, "parrot")
    host(workers_client, "strict", "reply=[[3]]")
    run = runner.execute(run_id=plan_run(suite, "parrot", judges=["strict"]).pk)
    with django_capture_on_commit_callbacks(execute=True):
        act(operator, "judge_again", run)
    second = EvaluationRun.objects.latest("created_at")
    assert (second.parameters["rejudges"], str(second.created_by)) == (str(run.pk), "operator")
    assert sent == [(runs.START_TASK, [str(second.pk)])]
    Judge.objects.update(prompt_price=900)
    assert "--rejudge" in act(operator, "judge_again", run).content.decode()
    assert EvaluationRun.objects.count() == 2


def test_its_pages_show_runs_answers_verdicts_and_judges(operator, workers_client, suite):
    host(workers_client, "parrot")
    host(workers_client, "strict", "reply=[[3]] <script>alert(1)</script>")
    run = plan_run(suite, "parrot", judges=["strict"])
    runner.execute(run_id=run.pk)
    for model, row in (
        ("evaluationrun", run),
        ("storedanswer", StoredAnswer.objects.get(question_id="1")),
        ("storedverdict", StoredVerdict.objects.get(question_id="1", turn=1)),
        ("judge", Judge.objects.get()),
    ):
        listed = operator.get(reverse(f"admin:evaluation_{model}_changelist"))
        assert listed.status_code == 200
        shown = operator.get(reverse(f"admin:evaluation_{model}_change", args=[row.pk]))
        assert shown.status_code == 200
        assert "<script>alert(1)" not in shown.content.decode()
    assert (
        f"{TURNS}/{TURNS} + {TURNS}/{TURNS}"
        in operator.get(reverse("admin:evaluation_evaluationrun_changelist")).content.decode()
    )


def test_a_person_who_is_no_operator_sees_none_of_it(client, workers_client, suite):
    host(workers_client, "parrot")
    run = plan_run(suite, "parrot")
    client.force_login(make_user("charlie"))
    response = client.get(reverse("admin:evaluation_evaluationrun_change", args=[run.pk]))
    assert response.status_code == 302
    assert "login" in response.url


def test_an_operator_who_may_only_look_cannot_cancel(client, workers_client, suite):
    from django.contrib.auth.models import Permission

    host(workers_client, "parrot")
    run = plan_run(suite, "parrot")
    looker = make_user("looker", is_staff=True)
    looker.user_permissions.add(Permission.objects.get(codename="view_evaluationrun"))
    client.force_login(looker)
    act(client, "cancel", run)
    run.refresh_from_db()
    assert run.status == "queued"
