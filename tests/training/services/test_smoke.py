"""A new chat model beside its parent, with scripted ones for both and for the judge."""

import pytest
from django.core.management import CommandError, call_command

from evaluation.errors import CannotEvaluate
from evaluation.models import EvaluationRun
from evaluation.services import runner, runs
from tests.evaluation.support import host
from tests.factories import make_chat_model, make_user
from training.models import Job
from training.services import jobs, smoke

pytestmark = pytest.mark.django_db

CHILD, PARENT = "ft:base:1", "base"


@pytest.fixture
def job(db) -> Job:
    job = Job.objects.create(
        owner=make_user("owner"), base_model=PARENT, seed=1, training_file_name="file-1", status="running"
    )
    assert jobs.succeed(job=job, fine_tuned_model=CHILD)
    return job


def follow(job: Job) -> Job:
    smoke.follow()
    job.refresh_from_db()
    return job


def run_of(job: Job) -> EvaluationRun:
    assert job.smoke_run is not None
    return job.smoke_run


def test_a_site_without_judges_begins_nothing(job):
    smoke.plan(job=job)
    assert job.smoke == ""


def test_it_waits_for_workers_of_both_and_then_a_judge_decides(job, workers_client, settings):
    settings.SMOKE_JUDGES = ["judge"]
    make_chat_model("judge")
    host(workers_client, PARENT, "reply=Hello.")
    make_chat_model(CHILD, published=False)
    smoke.plan(job=job)

    assert follow(job).smoke == Job.Smoke.WAITING
    assert job.smoke_message == f"It waits for a worker that serves {CHILD} and judge."

    workers_client.host_script("judge", "reply=Both are alike. [[C]]")
    workers_client.host_script(CHILD, "reply=Hello.")
    assert follow(job).smoke == Job.Smoke.RUNNING
    run = run_of(job)
    assert (run.baseline, run.chat_models, run.judges) == (PARENT, [CHILD, PARENT], ["judge"])
    assert follow(job).smoke == Job.Smoke.RUNNING

    runner.execute(run_id=run.pk)
    assert follow(job).smoke == Job.Smoke.DONE
    assert job.smoke_passed is True
    assert job.smoke_message.startswith(f"Beside {PARENT}: +0.00 of the games")
    assert "12 questions, by judge" in job.smoke_message
    assert job.events.filter(message__startswith="Evaluation: Beside").count() == 1
    follow(job)
    assert job.events.filter(message__startswith="Evaluation: Beside").count() == 1


def test_without_a_judge_the_answers_stand_side_by_side(job, workers_client):
    host(workers_client, PARENT, "reply=Old.")
    host(workers_client, CHILD, "reply=New.", published=False)
    smoke.begin(job=job, judges=[])
    assert job.smoke == Job.Smoke.RUNNING

    runner.execute(run_id=run_of(job).pk)

    assert follow(job).smoke == Job.Smoke.DONE
    assert job.smoke_passed is None
    assert "No judge" in job.smoke_message
    assert run_of(job).answers.count() == 24


def test_a_judge_that_does_not_exist_is_refused_at_once(job, workers_client):
    host(workers_client, PARENT)
    host(workers_client, CHILD)
    with pytest.raises(CannotEvaluate, match="ghost"):
        smoke.begin(job=job, judges=["ghost"])
    assert follow(job).smoke == Job.Smoke.FAILED, "and what waits in the background fails with the sentence"
    assert "ghost" in job.smoke_message


def test_a_job_that_made_nothing_cannot_be_compared(db):
    job = Job.objects.create(owner=make_user(), base_model=PARENT, seed=1, training_file_name="file-1")
    with pytest.raises(smoke.NotMade, match="it is queued"):
        smoke.begin(job=job, judges=[])


def test_a_cancelled_evaluation_ends_it_too(job, workers_client):
    host(workers_client, PARENT)
    host(workers_client, CHILD)
    smoke.begin(job=job, judges=[])
    assert runs.cancel(run=run_of(job))

    assert follow(job).smoke == Job.Smoke.FAILED
    assert "cancelled" in job.smoke_message


def test_a_deleted_evaluation_ends_it_too(job, workers_client):
    host(workers_client, PARENT)
    host(workers_client, CHILD)
    smoke.begin(job=job, judges=[])
    run_of(job).delete()

    assert follow(job).smoke_message == "The evaluation was deleted."


def test_it_can_be_asked_for_by_command(job, workers_client, capsys):
    host(workers_client, PARENT)
    make_chat_model(CHILD)
    call_command("train", "evaluate", job.public_id)
    assert f"waits for a worker that serves {CHILD}" in capsys.readouterr().out
    with pytest.raises(CommandError, match="no job"):
        call_command("train", "evaluate", "ftjob-none")
