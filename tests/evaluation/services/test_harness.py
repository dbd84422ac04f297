"""lm-evaluation-harness as a program beside the product; a small script stands in for it here."""

import io
import json
import sys
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.urls import reverse

from evaluation.errors import Broken, CannotEvaluate, Stopped
from evaluation.models import EvaluationRun, StoredTaskScore
from evaluation.report import verifying
from evaluation.services import harness, leases, rejudging, runner, runs
from tests.evaluation.support import host
from tests.factories import make_user

pytestmark = pytest.mark.django_db

STAND_IN = """#!{python}
import json, os, sys, time
from pathlib import Path
given = dict(zip(sys.argv[1::2], sys.argv[2::2]))
model = dict(word.split("=", 1) for word in given["--model_args"].split(","))["model"]
with open({calls!r}, "a") as calls:
    calls.write(json.dumps([sys.argv[1:], os.environ["OPENAI_API_KEY"]]) + "\\n")
if model == "stuck":
    time.sleep(600)
if model == "broken":
    sys.exit("ValueError: no such task")
folder = Path(given["--output_path"], model)
folder.mkdir(parents=True)
(folder / "results_2026-11-24T14-00-00.json").write_text({results!r})
"""
RESULTS = {
    "results": {
        "gsm8k": {
            "alias": "gsm8k",
            "exact_match,strict-match": 0.25,
            "exact_match_stderr,strict-match": 0.05,
            "exact_match,flexible-extract": 0.5,
            "exact_match_stderr,flexible-extract": 0.06,
        },
        "wiki": {"alias": "wiki", "bits_per_byte,none": 1.25, "bits_per_byte_stderr,none": "N/A"},
    },
    "versions": {"gsm8k": 3.0, "wiki": 2.0},
    "n-samples": {"gsm8k": {"original": 1319, "effective": 80}, "wiki": {"original": 62, "effective": 62}},
    "higher_is_better": {"gsm8k": {"exact_match": True}, "wiki": {"bits_per_byte": False}},
}


@pytest.fixture
def calls(tmp_path: Path, monkeypatch) -> Path:
    """Where the stand-in notes how it was called."""
    path = tmp_path / "calls.jsonl"
    path.touch()
    program = tmp_path / "lm_eval"
    program.write_text(STAND_IN.format(python=sys.executable, calls=str(path), results=json.dumps(RESULTS)))
    program.chmod(0o755)
    monkeypatch.setattr(harness, "program", lambda: [str(program)])
    monkeypatch.setattr(harness, "TICK", 0.05)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    return path


def notes(calls: Path) -> list[tuple[dict[str, str], str]]:
    read = [json.loads(line) for line in calls.read_text().splitlines()]
    return [(dict(zip(words[::2], words[1::2], strict=False)), key) for words, key in read]


def made(*chat_models: str, **values) -> EvaluationRun:
    return harness.create(
        **{"tasks": ["gsm8k,wiki"], "chat_models": chat_models or ["parrot"], "foreground": True, **values}
    )


def test_every_number_of_every_task_is_stored_for_each_chat_model(workers_client, calls):
    for name in ("parrot", "poet"):
        host(workers_client, name)
    run = runner.execute(run_id=made("parrot", "poet", limit=80).pk)
    assert (run.status, run.answers_done, run.answers_total) == ("finished", 2, 2)
    found = StoredTaskScore.objects.filter(chat_model="poet").values_list(
        "task", "metric", "value", "stderr", "samples", "higher_is_better", "version"
    )
    assert list(found) == [
        ("gsm8k", "exact_match,strict-match", 0.25, 0.05, 80, True, "3.0"),
        ("gsm8k", "exact_match,flexible-extract", 0.5, 0.06, 80, True, "3.0"),
        ("wiki", "bits_per_byte", 1.25, None, 62, False, "2.0"),
    ]
    words, key = notes(calls)[0]
    assert (words["--model"], words["--tasks"], words["--limit"]) == (
        "local-chat-completions",
        "gsm8k,wiki",
        "80",
    )
    assert "base_url=http://127.0.0.1:8000/v1/chat/completions" in words["--model_args"]
    assert key == "sk-secret"
    assert "sk-secret" not in json.dumps(run.parameters)


def test_likelihoods_are_asked_of_the_completions_with_the_tokenizer(workers_client, calls):
    host(workers_client, "parrot")
    runner.execute(run_id=made("parrot", kind="completions", tokenizer="/models/parrot", concurrency=3).pk)
    [(words, _)] = notes(calls)
    assert words["--model"] == "local-completions"
    for part in ("/v1/completions,", "tokenizer=/models/parrot", "num_concurrent=3"):
        assert part in words["--model_args"]


def test_a_resumed_run_measures_only_who_is_left(workers_client, calls):
    for name in ("parrot", "poet"):
        host(workers_client, name)
    run = made("parrot", "poet")
    StoredTaskScore.objects.create(run=run, chat_model="parrot", task="gsm8k", metric="exact_match", value=1)
    runner.execute(run_id=run.pk)
    assert ["model=poet" in words["--model_args"] for words, _ in notes(calls)] == [True]


def test_what_the_harness_said_last_ends_the_run(workers_client, calls):
    host(workers_client, "broken")
    run = made("broken")
    with pytest.raises(Broken, match="no such task"):
        runner.execute(run_id=run.pk)
    run.refresh_from_db()
    assert run.status == "failed"
    assert "no such task" in run.error_message


def test_cancelling_ends_the_program_as_well(workers_client, calls, monkeypatch):
    monkeypatch.setattr(leases, "RENEW_SECONDS", 0.0)
    host(workers_client, "stuck")
    run = made("stuck")

    def cancel(now: EvaluationRun) -> None:
        runs.cancel(run=EvaluationRun.objects.get(pk=now.pk))

    with pytest.raises(Stopped, match="cancelled"):
        runner.execute(run_id=run.pk, tell=cancel)
    run.refresh_from_db()
    assert run.status == "cancelled"


def test_its_numbers_are_on_the_page_and_in_the_folder(workers_client, calls, client, tmp_path):
    host(workers_client, "parrot")
    run = runner.execute(run_id=made("parrot").pk)
    client.force_login(make_user("sam", is_staff=True))
    page = client.get(reverse("evaluation:run", args=[run.pk])).content.decode()
    assert "gsm8k, exact_match,strict-match" in page
    assert "bits_per_byte (lower is better)" in page
    assert "0.250" in page
    call_command("evaluate", "report", str(run.pk), "--out", str(tmp_path / "r"), stdout=io.StringIO())
    assert verifying.differences(tmp_path / "r") == []
    assert "0.152 to 0.348" in (tmp_path / "r/index.html").read_text()


def test_there_is_nothing_to_judge_again(workers_client, calls):
    host(workers_client, "parrot")
    run = runner.execute(run_id=made("parrot").pk)
    with pytest.raises(CannotEvaluate, match="has no answers"):
        rejudging.plan(run=run, judge_names=["parrot"])


def test_the_command_says_what_it_measured(workers_client, calls):
    host(workers_client, "parrot")
    out = io.StringIO()
    call_command("evaluate", "harness", "--models", "parrot", "--tasks", "gsm8k", "wiki", stdout=out)
    assert "parrot  gsm8k  exact_match,strict-match  0.250 ± 0.098" in out.getvalue()
    assert "parrot  wiki  bits_per_byte  1.250\n" in out.getvalue()
    assert "Finished: 1 chat model, 0 errors." in out.getvalue()


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"tasks": ["../../etc/passwd"]}, "tasks"),
        ({"tasks": [","]}, "tasks"),
        ({"kind": "telepathy"}, "kind"),
        ({"base_url": "ftp://x"}, "base_url"),
        ({"base_url": "http://x/v1,model=y"}, "base_url"),
        ({"key_variable": "CHATSITE_TEST_NO_SUCH_KEY"}, "key_variable"),
        ({"tokenizer": "a,b"}, "tokenizer"),
        ({"include_path": "/no/such/folder"}, "include_path"),
        ({"limit": 0}, "limit"),
        ({"chat_models": ["nobody"]}, "chat_models"),
    ],
)
def test_what_cannot_work_is_refused_before_the_harness_starts(workers_client, calls, values, field):
    host(workers_client, "parrot")
    with pytest.raises(CannotEvaluate) as raised:
        made(**values)
    assert raised.value.field == field
    assert not EvaluationRun.objects.exists()


def test_without_the_harness_it_says_how_to_install_it(workers_client, monkeypatch):
    monkeypatch.setattr(harness, "PROGRAM", "no-such-program")
    host(workers_client, "parrot")
    with pytest.raises(CommandError, match="bin/up"):
        call_command("evaluate", "harness", "--models", "parrot", "--tasks", "gsm8k")
