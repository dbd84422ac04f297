"""`manage.py evaluate`: what is refused before anything is spent, and what a person reads."""

import io
import json

import pytest
from django.core.management import CommandError, call_command
from django.core.management.base import OutputWrapper

from evaluation.commands.run import Progress
from evaluation.models import EvaluationRun, Judge, StoredVerdict
from tests.evaluation.support import QUESTIONS, TURNS, host, plan_run, write_suite

pytestmark = pytest.mark.django_db


def evaluate(*arguments: str) -> str:
    out = io.StringIO()
    call_command("evaluate", *arguments, stdout=out)
    return out.getvalue()


def test_it_says_what_it_takes_then_what_came_of_it(workers_client, suite):
    host(workers_client, "parrot")
    host(workers_client, "strict", "reply=[[3]]")
    said = evaluate("run", "--suite", suite, "--models", "parrot", "--judge", "strict")
    assert "5 answers and 5 verdicts" in said
    assert "a guess" in said
    assert "Finished: 5 answers, 5 verdicts, 0 errors." in said
    run = EvaluationRun.objects.get()
    assert f"Read it: /evaluations/{run.pk}/" in said
    assert "--retry-errors" not in said


def test_a_second_run_estimates_from_the_first(workers_client, suite):
    host(workers_client, "parrot")
    evaluate("run", "--suite", suite, "--models", "parrot")
    assert "a guess" not in evaluate("run", "--suite", suite, "--models", "parrot")


def test_it_says_what_to_do_about_errors_and_counts_one_in_the_singular(workers_client, suite):
    host(workers_client, "parrot")
    host(workers_client, "mute", "reply=Well.")
    said = evaluate("run", "--suite", suite, "--models", "parrot", "--judge", "mute", "--limit", "1")
    assert "1 question, parrot" in said
    run = EvaluationRun.objects.get()
    assert f"--resume {str(run.pk)[:8]} --retry-errors" in said


def test_a_line_of_progress_that_says_nothing_new_is_not_written():
    out = io.StringIO()
    progress = Progress(OutputWrapper(out))
    run = EvaluationRun(answers_total=4, answers_done=1)
    for done in (1, 1, 2, 2):
        run.answers_done = done
        progress(run)
    assert [line.split()[1] for line in out.getvalue().splitlines()] == ["1/4", "2/4"]


def test_a_judge_whose_server_is_not_there_is_refused_before_anything_is_answered(
    workers_client, suite, closed_port
):
    host(workers_client, "parrot")
    Judge.objects.create(name="gone", model="gpt", base_url=f"http://127.0.0.1:{closed_port}/v1")
    with pytest.raises(CommandError, match=r"'gone'.*cannot be reached"):
        evaluate("run", "--suite", suite, "--models", "parrot", "--judge", "gone")
    assert not EvaluationRun.objects.exists()
    assert not workers_client.requests


def test_it_names_a_judge_once_in_the_list_of_those_who_could(workers_client, suite):
    host(workers_client, "parrot")
    Judge.objects.create(name="parrot", model="parrot")
    with pytest.raises(CommandError, match=r"\(parrot\)"):
        evaluate("run", "--suite", suite, "--models", "parrot", "--judge", "nobody")


def test_a_limit_takes_the_first_questions(workers_client, suite):
    host(workers_client, "parrot")
    evaluate("run", "--suite", suite, "--models", "parrot", "--limit", "1")
    run = EvaluationRun.objects.get()
    assert [row["question_id"] for row in run.suite.questions] == [1]
    assert run.answers_done == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--models", "parrot"], "--suite"),
        (["--suite", "nowhere.jsonl", "--models", "parrot"], "nowhere"),
        (["--suite", "{suite}"], "at least one chat model"),
        (["--suite", "{suite}", "--models", "parrot", "--fresh"], "--rejudge"),
        (["--suite", "{suite}", "--rejudge", "12345678"], "leave out --suite"),
        (["--rejudge", "12345678"], "There is no run"),
        (["--suite", "{suite}", "--models", "parrot", "--prompts", "no-prompts.jsonl"], "no-prompts"),
        (["--suite", "{suite}", "--models", "parrott"], "not a chat model of the catalog"),
        (["--suite", "{suite}", "--models", "offline"], "manage.py worker --model offline"),
        (
            ["--suite", "{suite}", "--models", "parrot", "--judge", "solomon"],
            "neither a judge nor a chat model",
        ),
        (["--suite", "{suite}", "--models", "parrot", "--judge", "gpt"], "CHATSITE_TEST_NO_SUCH_KEY"),
        (["--suite", "{suite}", "--models", "parrot", "--mode", "pairwise-baseline"], "--baseline"),
        (["--suite", "{suite}", "--models", "parrot", "--mode", "pairwise-all"], "two chat models"),
        (["--suite", "{suite}", "--models", "parrot", "--baseline", "parrot"], "pairwise-baseline"),
        (["--suite", "{suite}", "--models", "parrot", "--limit", "0"], "limit"),
        (["--suite", "{suite}", "--models", "parrot", "--temperature", "nan"], "temperature"),
        (["--suite", "{suite}", "--models", "parrot", "--concurrency", "-1"], "concurrency"),
        (["--resume", "12345678"], "no run"),
        (["--resume", "12345678", "--suite", "{suite}"], "leave out"),
    ],
)
def test_it_refuses_before_anything_is_spent(workers_client, suite, arguments, message):
    from tests.factories import make_chat_model

    host(workers_client, "parrot")
    make_chat_model("offline")
    Judge.objects.create(
        name="gpt", model="gpt", base_url="https://judge.example/v1", key_variable="CHATSITE_TEST_NO_SUCH_KEY"
    )
    with pytest.raises(CommandError, match=message):
        evaluate("run", *[argument.format(suite=suite) for argument in arguments])
    assert not EvaluationRun.objects.exists()
    assert not workers_client.requests


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([*QUESTIONS, QUESTIONS[0]], "4"),
        ([QUESTIONS[0], {"question_id": 9, "category": "x", "turns": []}], "2"),
        ([], "no questions"),
        ([QUESTIONS[0], {"question_id": "1", "category": "writing", "turns": ["Say one."]}], "twice"),
    ],
    ids=["the same id twice", "a question without a turn", "nothing in it", "1 and '1'"],
)
def test_it_refuses_a_bad_suite_naming_the_line(workers_client, tmp_path, rows, message):
    host(workers_client, "parrot")
    with pytest.raises(CommandError, match=rf"bad\.jsonl.*{message}"):
        evaluate("run", "--suite", write_suite(tmp_path, rows, "bad.jsonl"), "--models", "parrot")
    assert not workers_client.requests


def test_it_refuses_a_line_that_is_no_json(workers_client, tmp_path):
    host(workers_client, "parrot")
    path = tmp_path / "bad.jsonl"
    path.write_text(json.dumps(QUESTIONS[0]) + "\n{oops\n")
    with pytest.raises(CommandError, match=r"bad\.jsonl.*2"):
        evaluate("run", "--suite", str(path), "--models", "parrot")


def test_what_costs_money_is_not_begun_unasked(workers_client, suite, monkeypatch):
    host(workers_client, "parrot")
    Judge.objects.create(name="gpt", model="gpt", base_url="https://judge.example/v1", prompt_price=1000.0)
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    with pytest.raises(CommandError, match="--yes"):
        evaluate("run", "--suite", suite, "--models", "parrot", "--judge", "gpt")
    assert not EvaluationRun.objects.exists()


def test_it_resumes_by_the_first_characters_of_the_id(workers_client, suite):
    host(workers_client, "parrot")
    run = plan_run(suite, "parrot")
    assert "Finished: 5 answers" in evaluate("run", "--resume", str(run.pk)[:8])
    run.refresh_from_db()
    assert (run.status, run.answers_done) == ("finished", TURNS)


def test_a_finished_run_has_nothing_left_to_do(workers_client, suite):
    host(workers_client, "parrot")
    evaluate("run", "--suite", suite, "--models", "parrot")
    before = len(workers_client.requests)
    evaluate("run", "--resume", str(EvaluationRun.objects.get().pk))
    assert len(workers_client.requests) == before


def test_the_list_shows_how_far_each_has_come(workers_client, suite):
    host(workers_client, "parrot")
    evaluate("run", "--suite", suite, "--models", "parrot")
    assert "5/5 answers" in evaluate("list")
    assert "finished" in evaluate("list")


def test_an_empty_list_says_how_to_begin(db):
    assert "evaluate run" in evaluate("list")


def test_it_cancels_a_run_that_nobody_works_on_at_once(workers_client, suite):
    host(workers_client, "parrot")
    run = plan_run(suite, "parrot")
    evaluate("cancel", str(run.pk))
    run.refresh_from_db()
    assert run.status == "cancelled"
    with pytest.raises(CommandError, match="ended already"):
        evaluate("cancel", str(run.pk))


def test_it_adds_a_judge_and_says_what_it_lacks(db):
    said = evaluate(
        *("judges", "--add", "gpt", "--base-url", "https://judge.example/v1"),
        *("--key-variable", "CHATSITE_TEST_NO_SUCH_KEY", "--prompt-price", "2.5"),
    )
    assert "CHATSITE_TEST_NO_SUCH_KEY, which is empty" in said
    assert Judge.objects.get().prompt_price == 2.5


def test_it_refuses_a_key_in_the_place_of_its_variable(db):
    with pytest.raises(CommandError, match="key_variable: Name an environment variable"):
        evaluate(
            "judges", "--add", "gpt", "--base-url", "https://judge.example/v1", "--key-variable", "sk-123"
        )
    assert not StoredVerdict.objects.exists()
