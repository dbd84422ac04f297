"""Fine-tuning jobs over the API, and their states."""

from collections.abc import Iterator
from typing import Any
from unittest import mock

import pytest
from celery import current_app

from chatsite.accounts.services import api_keys
from tests.factories import make_chat_model
from tests.workers.api.conftest import Api, _fresh_threads, api, error_of, key  # noqa: F401 - fixtures
from tests.workers.api.test_files import jsonl, upload
from training.models import Job
from training.services import jobs, starting
from workers.models import ChatModel

EXAMPLE = {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]}
PATH = "/v1/fine_tuning/jobs"


@pytest.fixture
def sent() -> Iterator[list[tuple[str, int, str]]]:
    """What is sent to the training workers: (task, job, queue)."""
    found: list[tuple[str, int, str]] = []

    def send_task(name: str, kwargs: dict[str, Any], queue: str, **options: Any) -> None:
        found.append((name, kwargs["job_id"], queue))

    with mock.patch.object(current_app, "send_task", send_task):
        yield found


@pytest.fixture
def make(api, sent, django_capture_on_commit_callbacks):  # noqa: F811
    """Make a job; by default there is a training worker."""

    def create(*, worker: bool = True, **body: Any) -> Any:
        if worker:
            starting.alive(worker="train@here")
        file_id = upload(api, jsonl(EXAMPLE), purpose="fine-tune").json()["id"]
        with django_capture_on_commit_callbacks(execute=True):
            return api.post(PATH, {"model": "parrot", "training_file": file_id, **body})

    return create


def act(api: Api, public_id: str, verb: str, callbacks) -> Any:  # noqa: F811
    with callbacks(execute=True):
        return api.post(f"{PATH}/{public_id}/{verb}", {})


def events(api: Api, public_id: str) -> list[str]:  # noqa: F811
    data = api.get(f"{PATH}/{public_id}/events?order=asc").json()["data"]
    return [event["message"] for event in data]


def test_a_job_is_queued_for_the_training_workers(api, make, sent):  # noqa: F811
    made = make(suffix="poet", seed=7, hyperparameters={"n_epochs": 2}, metadata={"a": "b"})

    assert made.status_code == 200
    job = made.json()
    assert (job["object"], job["status"], job["model"]) == ("fine_tuning.job", "queued", "parrot")
    assert job["hyperparameters"] == {"n_epochs": 2, "batch_size": "auto", "learning_rate_multiplier": "auto"}
    assert (job["seed"], job["user_provided_suffix"], job["metadata"]) == (7, "poet", {"a": "b"})
    assert sent == [("training.run", Job.objects.get().pk, "train")]
    assert api.get(f"{PATH}/{job['id']}").json() == job
    assert [row["id"] for row in api.get(PATH).json()["data"]] == [job["id"]]


def test_without_a_training_worker_it_fails_and_says_so(api, make, sent):  # noqa: F811
    public_id = make(worker=False).json()["id"]

    job = api.get(f"{PATH}/{public_id}").json()

    assert job["status"] == "failed"
    assert job["error"]["code"] == "no_training_worker"
    assert "No training worker is running" in events(api, public_id)[-1]
    assert sent == []


def test_its_course_is_told_by_events_and_checkpoints(api, make):  # noqa: F811
    public_id = make(suffix="poet").json()["id"]
    job = Job.objects.get()
    assert jobs.begin(job=job)
    assert not jobs.begin(job=job), "two workers train it"
    jobs.note(job=job, message="Step 1/2: loss 2.5", metrics={"step": 1, "train_loss": 2.5})
    jobs.add_checkpoint(job=job, step=2, path="/srv/x", metrics={"train_loss": 2.0})
    jobs.add_checkpoint(job=job, step=2, path="/srv/y", metrics={"train_loss": 1.9})
    assert jobs.succeed(job=job, fine_tuned_model=job.result_name, trained_tokens=400)

    shown = api.get(f"{PATH}/{public_id}").json()
    assert (shown["status"], shown["trained_tokens"]) == ("succeeded", 400)
    assert shown["fine_tuned_model"].startswith("ft:parrot:poet:")
    assert shown["finished_at"] >= shown["created_at"]
    assert events(api, public_id)[2] == "Step 1/2: loss 2.5"
    page = api.get(f"{PATH}/{public_id}/events?limit=2").json()
    assert page["has_more"]
    assert page["data"][0]["message"] == "The job has successfully completed"
    checkpoints = api.get(f"{PATH}/{public_id}/checkpoints").json()["data"]
    assert [(c["step_number"], c["metrics"]["train_loss"]) for c in checkpoints] == [(2, 1.9)]
    assert checkpoints[0]["fine_tuned_model_checkpoint"].endswith(":ckpt-step-2")


def test_a_paused_job_is_resumed_from_the_queue(
    api,  # noqa: F811
    make,
    sent,
    django_capture_on_commit_callbacks,
):
    public_id = make().json()["id"]
    jobs.begin(job=Job.objects.get())

    assert act(api, public_id, "pause", django_capture_on_commit_callbacks).json()["status"] == "paused"
    assert not jobs.wanted(job=Job.objects.get())
    assert act(api, public_id, "pause", django_capture_on_commit_callbacks).status_code == 200
    assert act(api, public_id, "resume", django_capture_on_commit_callbacks).json()["status"] == "queued"

    assert [task for task, _, _ in sent] == ["training.run", "training.stop", "training.run"]
    assert jobs.begin(job=Job.objects.get())


def test_a_cancelled_job_is_over(api, make, django_capture_on_commit_callbacks):  # noqa: F811
    public_id = make().json()["id"]
    job = Job.objects.get()
    jobs.begin(job=job)

    assert act(api, public_id, "cancel", django_capture_on_commit_callbacks).json()["status"] == "cancelled"

    assert not jobs.succeed(job=job, fine_tuned_model="x")
    assert not jobs.fail(job=job, code="x", message="x")
    assert act(api, public_id, "cancel", django_capture_on_commit_callbacks).status_code == 200
    for verb in ("pause", "resume"):
        refused = act(api, public_id, verb, django_capture_on_commit_callbacks)
        assert error_of(refused)["code"] == "wrong_job_state"
        assert "cancelled" in error_of(refused)["message"]


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"model": "nobody"}, "model"),
        ({"training_file": "file-none"}, "training_file"),
        ({"validation_file": "file-none"}, "validation_file"),
        ({"hyperparameters": {"n_epochs": 0}}, "hyperparameters.n_epochs"),
        ({"hyperparameters": {"epochs": 1}}, "hyperparameters.epochs"),
        ({"method": {"type": "magic"}}, "method.type"),
        (
            {"method": {"type": "dpo", "dpo": {"hyperparameters": {"beta": 9}}}},
            "method.dpo.hyperparameters.beta",
        ),
        ({"method": {"type": "dpo"}, "hyperparameters": {"n_epochs": 1}}, "hyperparameters"),
        ({"suffix": "a b"}, "suffix"),
        ({"suffix": "x" * 65}, "suffix"),
        ({"seed": -1}, "seed"),
        ({"integrations": [{"type": "wandb"}]}, "integrations"),
        ({"modell": "x"}, "modell"),
    ],
)
def test_a_bad_parameter_is_refused_by_name(make, sent, change, param):
    refused = make(**change)

    assert refused.status_code in (400, 404)
    assert error_of(refused)["param"] == param
    assert not Job.objects.exists()
    assert sent == []


def test_preferences_are_learnt_with_their_own_settings(make):
    job = make(method={"type": "dpo", "dpo": {"hyperparameters": {"beta": 0.1}}}).json()

    assert job["method"]["type"] == "dpo"
    assert job["method"]["dpo"]["hyperparameters"]["beta"] == 0.1


def test_a_file_of_another_purpose_is_refused(api, make):  # noqa: F811
    refused = make(training_file=upload(api).json()["id"])

    assert error_of(refused)["param"] == "training_file"


def test_its_file_cannot_be_deleted_while_it_is_open(api, make):  # noqa: F811
    job = make().json()
    delete = f"/v1/files/{job['training_file']}"

    assert error_of(api._client.delete(delete, headers=api.headers))["code"] == "file_in_use"
    jobs.fail(job=Job.objects.get(), code="x", message="It broke.")
    assert api._client.delete(delete, headers=api.headers).status_code == 200


@pytest.mark.parametrize("path", ["", "/events", "/checkpoints", "/cancel", "/pause", "/resume"])
def test_somebody_elses_job_does_not_exist(make, bob, path):
    other = Api(api_keys.create(owner=bob, name="tests")[1])
    public_id = make().json()["id"]
    method = other.post if path in ("/cancel", "/pause", "/resume") else other.get

    refused = method(f"{PATH}/{public_id}{path}", *([{}] if method == other.post else []))

    assert error_of(refused)["code"] == "job_not_found"
    assert other.get(PATH).json()["data"] == []
    assert Job.objects.get().status == "queued"


def test_a_training_worker_that_falls_silent_counts_as_gone(valkey):
    starting.alive(worker="train@here")

    assert starting.workers() == ["train@here"]
    assert 0 < valkey.ttl(f"{starting.ALIVE_PREFIX}train@here") <= starting.ALIVE_SECONDS


# --- the models that come of it ----------------------------------------------------------------------------


def delete_model(api: Api, name: str) -> Any:  # noqa: F811
    return api._client.delete(f"/v1/models/{name}", headers=api.headers)


@pytest.mark.parametrize("published", [True, False])
@pytest.mark.parametrize("served", [True, False])
def test_ones_own_fine_tuned_model_can_be_deleted(api, make, workers_client, served, published):  # noqa: F811
    make(suffix="poet")
    job = Job.objects.get()
    jobs.begin(job=job)
    jobs.succeed(job=job, fine_tuned_model=job.result_name)
    make_chat_model(job.result_name, published=published)
    if served:
        workers_client.host_script(job.result_name)

    assert delete_model(api, job.result_name).json() == {
        "id": job.result_name,
        "object": "model",
        "deleted": True,
    }

    assert api.get(f"/v1/models/{job.result_name}").status_code == 404
    assert ChatModel.objects.filter(name=job.result_name).exists() == served


def test_no_other_model_can_be_deleted(api, bob, make):  # noqa: F811
    make()
    job = Job.objects.get()
    job.owner, job.fine_tuned_model = bob, "bobs"
    job.save()
    bobs = make_chat_model("bobs")

    for name in ("parrot", "bobs"):
        assert error_of(delete_model(api, name))["code"] == "permission_denied"
    assert error_of(delete_model(api, "nobody"))["code"] == "model_not_found"
    bobs.published = False
    bobs.save()
    assert error_of(delete_model(api, "bobs"))["code"] == "model_not_found", "a hidden one was betrayed"
    assert ChatModel.objects.count() == 2
