"""What a page is told about a run, out of its events."""

import math

import pytest

from tests.factories import make_user
from training.models import Job
from training.selectors import runs
from training.services import jobs

pytestmark = pytest.mark.django_db


@pytest.fixture
def job() -> Job:
    return Job.objects.create(owner=make_user(), base_model="base", seed=1, training_file_name="file-1")


def step(job: Job, number: int, loss: float | None, **more) -> None:
    jobs.note(
        job=job,
        message=f"Step {number}",
        metrics={"step": number, "steps": 4, "train_loss": loss, "learning_rate": 0.1 / number, **more},
    )


def measured(job: Job, number: int, loss: float | None) -> None:
    jobs.note(job=job, message="Measured", metrics={"step": number, "valid_loss": loss})


def test_its_curves_are_the_points_that_it_told(job):
    measured(job, 0, 3.0)
    step(job, 1, 3.5)
    step(job, 2, 2.5, tokens_per_second=80.0, seconds_left=7.5)
    measured(job, 2, 2.0)

    course = runs.course(job)

    assert course.losses == [(1, 3.5), (2, 2.5)]
    assert course.rates == [(1, 0.1), (2, 0.05)]
    assert course.validation == [(0, 3.0), (2, 2.0)]
    assert (course.last["tokens_per_second"], course.last["seconds_left"]) == (80.0, 7.5)
    assert course.share == 0.5


def test_a_loss_that_is_no_number_is_no_point(job):
    step(job, 1, None)
    step(job, 2, None)

    course = runs.course(job)

    assert course.losses == []
    assert course.last["step"] == 2


def test_a_run_that_goes_on_at_a_checkpoint_does_not_run_backwards(job):
    for number, loss in ((1, 3.0), (2, 2.0), (3, 1.0), (2, 1.9), (3, 0.9)):
        step(job, number, loss)
    for number, loss in ((0, 3.0), (3, 1.0), (3, 0.8)):
        measured(job, number, loss)

    course = runs.course(job)

    assert course.losses == [(1, 3.0), (2, 1.9), (3, 0.9)]
    assert course.validation == [(0, 3.0), (3, 0.8)]


def test_the_parents_loss_is_the_one_before_the_first_step(job):
    assert runs.course(job).held_out is None
    measured(job, 0, math.log(20))
    assert runs.course(job).held_out is None, "one measurement compares nothing"
    measured(job, 4, math.log(5))

    held_out = runs.course(job).held_out

    assert held_out is not None
    assert held_out.perplexities == pytest.approx((20, 5))


def test_without_a_measurement_before_the_first_step_there_is_nothing_to_compare(job):
    measured(job, 2, 2.0)
    measured(job, 4, 1.0)
    assert runs.course(job).held_out is None


def test_samples_and_the_estimate_are_found(job):
    jobs.note(job=job, message="…", data={"step": 4, "prompt": "Who?", "text": "Me."})
    jobs.note(job=job, message="…", data={"needed": 100, "free": 200})

    course = runs.course(job)

    assert course.samples == [(4, "Who?", "Me.")]
    assert course.estimate["free"] == 200


def test_a_job_that_told_nothing_has_nothing_to_show(job):
    course = runs.course(job)
    assert (course.losses, course.share, course.held_out, course.samples) == ([], 0.0, None, [])


def test_the_end_of_a_long_log_begins_with_a_whole_line(tmp_path):
    log = tmp_path / "log.txt"
    assert runs.log_tail(log) == ""
    log.write_text("short\n")
    assert runs.log_tail(log) == "short\n"
    log.write_text("".join(f"line {number}\n" for number in range(5000)))
    tail = runs.log_tail(log)
    assert tail.endswith("line 4999\n")
    assert len(tail) <= runs.LOG_BYTES
    assert all(line.startswith("line ") for line in tail.splitlines())
