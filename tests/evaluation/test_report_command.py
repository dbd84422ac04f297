"""`manage.py evaluate report|import|export`, from the command line."""

import json
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.urls import reverse

from evaluation.models import EvaluationRun
from evaluation.report import verifying
from tests.evaluation.reading import make_run, vote
from tests.evaluation.report.test_files import fastchat, put, rows  # noqa: F401 - a fixture
from tests.factories import make_user
from tests.workers_admin.pages import text


def evaluate(*arguments: object) -> str:
    out = StringIO()
    call_command("evaluate", *map(str, arguments), stdout=out)
    return out.getvalue()


def test_it_writes_a_report_of_a_run_whose_numbers_can_be_computed_again(db, tmp_path, alice):
    run = make_run(mode="pairwise-baseline", baseline="parrot")
    vote(run, alice)
    assert "index.html" in evaluate("report", run.pk, "--out", tmp_path / "r")
    assert verifying.differences(tmp_path / "r") == []
    assert "alice" not in "".join(path.read_text() for path in (tmp_path / "r").rglob("*.jsonl"))


def test_it_writes_a_report_of_fastchats_files_without_a_run(db, tmp_path, fastchat):  # noqa: F811
    evaluate("report", fastchat, "--out", tmp_path / "r")
    assert "org/a" in (tmp_path / "r/index.html").read_text()


def test_it_takes_fastchats_folder_in_and_gives_it_back_unchanged(db, tmp_path, fastchat):  # noqa: F811
    said = evaluate("import", fastchat, "--name", "MT-bench")
    run = EvaluationRun.objects.get()
    assert str(run.pk) in said
    assert (run.suite.name, run.judges, run.status) == ("MT-bench", ["gpt-4"], "finished")
    evaluate("export", run.pk, "--out", tmp_path / "again")
    assert rows(tmp_path / "again") == rows(fastchat)


def test_it_shows_an_imported_run_on_the_site(db, client, fastchat):  # noqa: F811
    evaluate("import", fastchat)
    client.force_login(make_user("sam", is_staff=True))
    run = EvaluationRun.objects.get()
    assert "org/a" in text(client.get(reverse("evaluation:run", args=[run.pk])))
    assert "Reference answer" in text(client.get(reverse("evaluation:question", args=[run.pk, 1])))


@pytest.mark.parametrize("command", ["report", "import", "export"])
def test_it_refuses_what_is_not_there_in_one_sentence(db, tmp_path, command):
    with pytest.raises(CommandError, match=r"no such file|There is no run"):
        evaluate(command, "nowhere", *([] if command == "import" else ["--out", tmp_path / "r"]))
    assert not (tmp_path / "r").exists()


def test_it_imports_nothing_of_a_broken_file(db, fastchat):  # noqa: F811
    with (fastchat / "model_answer/b.jsonl").open("a") as file:
        file.write(json.dumps({"question_id": 82, "model_id": "b"}) + "\n")
    with pytest.raises(CommandError, match=r"b.jsonl, line 2: the field choices is missing"):
        evaluate("import", fastchat)
    assert not EvaluationRun.objects.exists()


def test_it_imports_no_questions_alone(db, tmp_path, fastchat):  # noqa: F811
    with pytest.raises(CommandError, match="no answers and no judgments"):
        evaluate("import", fastchat / "question.jsonl")


def test_it_overwrites_no_folder_of_somebody_else(db, tmp_path):
    put(tmp_path, "mine.jsonl", {})
    run = make_run(amount=1)
    for command in ("report", "export"):
        with pytest.raises(CommandError, match="Name a new"):
            evaluate(command, run.pk, "--out", tmp_path)
