"""What becomes of a job in a training worker. A small script stands for the recipe."""

import json
import threading
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import psutil
import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from tests.factories import make_chat_model, make_user
from training.management.commands import train
from training.models import Job
from training.services import device, jobs, recipes, running
from workers.models import ApiFile, ChatModel
from workers.services import hosting

STEP = {"event": "log", "step": 1, "steps": 2, "loss": 2.5, "learning_rate": 0.1, "seconds_left": 60}
ROW = b'{"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]}\n'


@pytest.fixture(autouse=True)
def _places(settings, tmp_path, monkeypatch):
    settings.DATA_DIR = tmp_path
    monkeypatch.setattr(running, "LOOK_SECONDS", 0.02)
    running.closing.clear()
    yield
    running.closing.clear()


@pytest.fixture
def recipe(monkeypatch):
    """Lets the next runs do what `plan` says."""
    whole = recipes.prepare

    def prepare(*, job, folder):
        python, _, _, *arguments = whole(job=job, folder=folder)
        return [python, "-m", "tests.training.services.fake_recipe", *arguments]

    monkeypatch.setattr(recipes, "prepare", prepare)

    def plan(**values):
        monkeypatch.setenv("FAKE_RECIPE", json.dumps(values))

    plan()
    return plan


def make_job(owner=None, *, base_model="base", **values):
    if not ChatModel.objects.filter(name="base").exists():
        make_chat_model("base", engine="llama_cpp", checkpoint="/srv/base.gguf", licence="MIT")
    owner = owner or make_user(f"owner{Job.objects.count()}")
    file = ApiFile.objects.create(owner=owner, filename="a.jsonl", purpose="fine-tune", size=len(ROW))
    file.path.parent.mkdir(parents=True, exist_ok=True)
    file.path.write_bytes(ROW)
    return jobs.create(owner=owner, base_model=base_model, training_file=file, seed=7, **values)


def ended(job: Job) -> Any:
    running.work_off(job_id=job.pk)
    job.refresh_from_db()
    return job


def messages(job: Job) -> list[str]:
    return list(job.events.values_list("message", flat=True))


@pytest.mark.django_db
def test_a_job_ends_as_a_hidden_chat_model_of_the_catalog(recipe):
    job = ended(make_job(suffix="poet"))

    assert job.status == "succeeded", job.error
    made = ChatModel.objects.get(name=job.fine_tuned_model)
    assert made.name.startswith("ft:base:poet:")
    assert (made.engine, made.published, made.licence) == ("transformers", False, "MIT")
    assert made.checkpoint == str(running.folder_of(job) / "output" / "merged")
    assert job.trained_tokens == 200


@pytest.mark.django_db
def test_what_the_recipe_tells_becomes_events_and_checkpoints(recipe):
    checkpoint = {"event": "checkpoint", "step": 2, "name": "checkpoint-2"}
    sample = {"event": "sample", "step": 2, "prompt": "Who?", "text": "Me."}
    evaluation = {"event": "evaluation", "step": 2, "eval_loss": None}
    recipe(events=[STEP, "this is not JSON\n", "[1]\n", evaluation, sample, checkpoint])
    job = ended(make_job())

    point = job.events.filter(kind="metrics")[0]
    assert point.message == "Step 1/2: training loss=2.5000"
    assert (point.data["train_loss"], point.data["learning_rate"]) == (2.5, 0.1)
    assert "Step 2: validation loss unknown" in messages(job)
    assert "“Who?” → “Me.”" in messages(job)
    assert job.checkpoints.get().path.endswith("output/checkpoint-2")
    assert running.log_of(job).read_text().startswith("the recipe begins")


@pytest.mark.django_db
def test_a_refusal_is_told_with_the_field_to_change(recipe):
    recipe(
        events=[{"event": "refused", "field": "data", "message": "No row is left."}], status=2, finish=False
    )
    job = ended(make_job())

    assert job.status == "failed"
    assert job.error == {"code": "refused", "message": "No row is left.", "param": "data"}


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("plan", "said"),
    [
        ({"status": 1, "die": True}, "broke down: the disk is on fire"),
        ({"finish": False}, "left no manifest"),
    ],
)
def test_a_run_that_breaks_fails_and_says_why(recipe, plan, said):
    recipe(**plan)
    job = ended(make_job())

    assert (job.status, job.error["code"]) == ("failed", "training_failed")
    assert said in job.error["message"]
    assert not ChatModel.objects.filter(engine="transformers").exists()


@pytest.mark.django_db
def test_a_chat_model_without_weights_here_cannot_be_taught(recipe):
    make_chat_model("parrot", engine="scripted", checkpoint="")
    job = ended(make_job(base_model="parrot"))

    assert (job.status, job.error["param"]) == ("failed", "model")
    assert "no weights here" in job.error["message"]


@pytest.mark.django_db
def test_a_file_that_is_gone_is_told(recipe):
    job = make_job()
    job.training_file.path.unlink()

    assert ended(job).error["param"] == "training_file"


def _while_it_hangs(job: Job, act) -> int:
    """Calls `act` once the recipe of `job` runs, from this thread; the recipe's process id."""
    pid_file = running.folder_of(job) / "pid"

    def wait() -> None:
        end = time.monotonic() + 90
        while not (pid_file.exists() and pid_file.read_text()) and time.monotonic() < end:
            time.sleep(0.02)
        act()

    watcher = threading.Thread(target=wait)
    watcher.start()
    try:
        running.train(job=job)
    finally:
        watcher.join()
    return int(pid_file.read_text())


@pytest.mark.django_db
@pytest.mark.parametrize("status", [Job.Status.CANCELLED, Job.Status.PAUSED])
def test_an_unwanted_run_loses_its_process(recipe, monkeypatch, status):
    recipe(hang=True)
    job = make_job()
    unwanted = threading.Event()

    def wanted(*, job):
        if unwanted.is_set():
            Job.objects.filter(pk=job.pk).update(status=status)
        return not unwanted.is_set()

    monkeypatch.setattr(jobs, "wanted", wanted)
    pid = _while_it_hangs(job, unwanted.set)

    job.refresh_from_db()
    assert job.status == status
    assert not psutil.pid_exists(pid)


@pytest.mark.django_db
def test_a_worker_that_ends_leaves_its_job_to_the_next(recipe):
    recipe(hang=True)
    job = make_job()
    pid = _while_it_hangs(job, running.closing.set)

    job.refresh_from_db()
    assert job.status == "queued"
    assert not psutil.pid_exists(pid)
    running.closing.clear()
    recipe()
    assert ended(job).status == "succeeded"


@pytest.mark.django_db
def test_jobs_of_a_dead_worker_are_taken_up_again(recipe):
    here, elsewhere = make_job(), make_job()
    for job in (here, elsewhere):
        jobs.begin(job=job)
    running.folder_of(here).mkdir(parents=True)

    assert running.take_up_again() == [here.pk]
    elsewhere.refresh_from_db()
    assert elsewhere.status == "running"


@pytest.mark.django_db
def test_all_that_is_queued_is_trained_and_the_oldest_first(recipe):
    first, second = make_job(), make_job()

    ended(second)

    first.refresh_from_db()
    assert (first.status, second.status) == ("succeeded", "succeeded")
    assert first.started_at < second.started_at


def test_the_device_is_for_one_at_a_time():
    with device.held() as first, device.held() as second:
        assert (first, second) == (True, False)
    with device.held() as again:
        assert again


@pytest.mark.django_db
def test_a_busy_device_lets_a_job_wait(recipe):
    job = make_job()
    with device.held():
        waiting = threading.Timer(0.2, running.closing.set)
        waiting.start()
        running.work_off(job_id=job.pk)
        waiting.join()
    job.refresh_from_db()
    assert job.status == "queued"


@pytest.mark.django_db
def test_the_command_says_what_was_asked_for(tmp_path):
    wishes = {"n_epochs": 2, "batch_size": 5, "learning_rate_multiplier": 2.5}
    job = make_job(hyperparameters=wishes)
    command = " ".join(recipes.prepare(job=job, folder=tmp_path / "run"))

    assert "-m training.recipes.sft --model /srv/base.gguf" in command
    assert "--num_train_epochs 2 --per_device_train_batch_size 5 --learning_rate 0.0005" in command
    assert "--seed 7" in command
    assert (tmp_path / "run" / "train.jsonl").read_bytes() == ROW


@pytest.mark.django_db
def test_the_command_measures_and_samples_on_the_way(tmp_path):
    job = make_job(sample_prompts=["Who are you?", "And now?"])
    job.validation_file, job.validation_file_name = job.training_file, job.training_file_name
    command = recipes.prepare(job=job, folder=tmp_path / "run")

    assert command[command.index("--sample_prompt") + 1 :][:2] == ["Who are you?", "And now?"]
    assert "--eval_strategy epoch --eval_on_start True" in " ".join(command)


@pytest.mark.django_db
def test_a_parent_that_takes_adapters_needs_no_merging(recipe):
    make_chat_model(
        "safe", engine="transformers", checkpoint="/srv/safe", template="chatml",
        engine_options={"load_8bit": True, "adapters": {"x": "/srv/x"}},
    )  # fmt: skip
    recipe(adapter=True)
    job = make_job(base_model="safe")
    command = recipes.prepare(job=job, folder=running.folder_of(job))
    assert "--merge" not in command

    job = ended(job)

    assert job.status == "succeeded", job.error
    made = ChatModel.objects.get(name=job.fine_tuned_model)
    assert (made.engine, made.checkpoint, made.template) == ("transformers", "/srv/safe", "chatml")
    adapter = str(running.folder_of(job) / "output")
    assert made.engine_options == {"load_8bit": True, "adapter": adapter}


@pytest.mark.django_db
@pytest.mark.parametrize("hosted", [True, False])
def test_a_worker_that_hosts_the_parent_is_told_to_take_the_adapter(
    recipe, workers_client, monkeypatch, django_capture_on_commit_callbacks, hosted
):
    make_chat_model("safe", engine="transformers", checkpoint="/srv/safe")
    if hosted:
        workers_client.host_script("safe")
    told: list[tuple[str, str]] = []
    monkeypatch.setattr(hosting, "load", lambda name, *, worker: told.append((name, worker)))
    recipe(adapter=True)
    job = make_job(base_model="safe")
    with django_capture_on_commit_callbacks(execute=True):
        running.train(job=job)

    job.refresh_from_db()
    assert told == ([(job.fine_tuned_model, "in-process")] if hosted else [])


@pytest.mark.django_db
def test_a_run_without_its_adapter_is_not_finished(recipe):
    make_chat_model("safe", engine="transformers", checkpoint="/srv/safe")
    assert ended(make_job(base_model="safe")).error["message"] == "The run left no adapter."


@pytest.mark.django_db
def test_it_is_served_with_the_system_prompt_it_has_learnt_with(recipe):
    make_chat_model("base", engine="llama_cpp", checkpoint="/srv/base.gguf", system_prompt="Be slow.")
    job = ended(make_job())
    assert ChatModel.objects.get(name=job.fine_tuned_model).system_prompt == ""


@pytest.mark.django_db
def test_what_it_will_need_is_told(recipe):
    recipe(events=[{"event": "estimate", "needed": 3 * 2**30, "free": 8 * 2**30, "fits": True}])
    job = ended(make_job())
    assert "It needs about 3.0 GiB, and 8.0 GiB are free" in messages(job)


@pytest.mark.django_db
def test_how_long_it_will_take_is_told_and_expected(recipe, monkeypatch):
    expected = []
    monkeypatch.setattr(jobs, "expect", lambda *, job, finish: expected.append(finish))
    recipe(events=[{"event": "duration", "steps": 22, "seconds": 300.0, "words": "about 5 minutes"}])
    before = timezone.now()
    job = ended(make_job())
    assert "It will take about 5 minutes: 22 steps" in messages(job)
    assert before + timedelta(seconds=300) <= expected[0] <= timezone.now() + timedelta(seconds=300)


@pytest.mark.django_db
def test_preferences_have_their_own_recipe(tmp_path):
    job = make_job(method="dpo", hyperparameters={"beta": 0.3})
    command = " ".join(recipes.prepare(job=job, folder=tmp_path / "run"))

    assert "-m training.recipes.preference" in command
    assert "--loss dpo --beta 0.3" in command


@pytest.mark.django_db
def test_every_argument_is_one_that_the_recipes_know(tmp_path):
    pytest.importorskip("torch")
    common = pytest.importorskip("training.recipes.common")
    job = make_job()
    job.validation_file, job.validation_file_name = job.training_file, job.training_file_name
    _, _, _, *arguments = recipes.prepare(job=job, folder=tmp_path / "run")

    told = common.parse([*arguments, "--use_cpu", "True"])

    assert (told.model.method, told.adapter.merge, told.training.seed) == ("lora", True, 7)
    assert told.data.eval_data == [str(tmp_path / "run" / "validation.jsonl")]


# The command.


def call(*arguments: str) -> str:
    from io import StringIO

    out = StringIO()
    call_command("train", *arguments, stdout=out)
    return out.getvalue()


@pytest.fixture
def data(tmp_path):
    path = tmp_path / "mine.jsonl"
    path.write_bytes(ROW)
    return path


@pytest.mark.django_db
def test_a_job_goes_from_command_to_catalog(recipe, data):
    make_chat_model("base", engine="llama_cpp", checkpoint="/srv/base.gguf")
    make_user("boss", is_superuser=True)
    public_id = call("start", "--model", "base", "--data", str(data), "--epochs", "2").strip()
    job = Job.objects.get(public_id=public_id)
    assert (job.owner.username, job.hyperparameters["n_epochs"]) == ("boss", 2)
    with pytest.raises(CommandError, match="no chat model"):
        call("publish", public_id)

    ended(job)

    assert f"succeeded  base → {job.fine_tuned_model}" in call("list")
    assert json.loads(call("list", "--json"))["status"] == "succeeded"
    assert "successfully completed" in call("show", public_id)
    assert "the recipe begins" in call("logs", public_id)
    assert "Published" in call("publish", public_id)
    assert ChatModel.objects.get(name=job.fine_tuned_model).published
    with pytest.raises(CommandError, match="too late to cancel"):
        call("cancel", public_id)


class Meanwhile:
    """In place of the module `time` of the command: what a worker does while the command waits, one part a nap."""

    monotonic = staticmethod(time.monotonic)

    def __init__(self, *parts):
        self._parts = list(parts)

    def sleep(self, seconds: float) -> None:
        assert self._parts, "it waits longer than for the first step"
        self._parts.pop(0)(Job.objects.latest("pk"))


def watched(monkeypatch, data, *parts) -> str:
    if not ChatModel.objects.filter(name="base").exists():
        make_chat_model("base", engine="llama_cpp", checkpoint="/srv/base.gguf")
    make_user("boss", is_superuser=True)
    monkeypatch.setattr(train, "time", Meanwhile(*parts))
    return call("start", "--model", "base", "--data", str(data), "--watch")


def begins(job):
    assert jobs.begin(job=job)


def tells(event):
    return lambda job: running._tell(job, event, Path("/nowhere"))


@pytest.mark.django_db
def test_the_command_waits_for_the_estimate_of_memory_and_time(monkeypatch, data):
    text = watched(
        monkeypatch,
        data,
        begins,
        tells({"event": "estimate", "needed": 3 * 2**30, "free": 8 * 2**30}),
        tells({"event": "duration", "steps": 22, "seconds": 300.0, "words": "about 5 minutes"}),
        tells(STEP),
    )
    assert text.index("about 3.0 GiB") < text.index("It will take about 5 minutes") < text.index("Step 1/2")


@pytest.mark.django_db
def test_the_command_tells_the_remedy_of_a_refusal(monkeypatch, data):
    refused = {
        "event": "refused",
        "field": "per_device_train_batch_size",
        "message": "A smaller batch helps.",
    }
    with pytest.raises(CommandError, match=r"A smaller batch helps\."):
        watched(monkeypatch, data, begins, tells(refused))


@pytest.mark.django_db
def test_the_command_does_not_wait_for_a_busy_device(monkeypatch, data, recipe):
    begins(make_job(make_user("other")))
    assert "until the device is free" in watched(monkeypatch, data)


@pytest.mark.django_db
def test_a_job_is_paused_resumed_and_cancelled_by_command(recipe):
    job = make_job()
    assert "paused" in call("pause", job.public_id)
    assert "queued" in call("resume", job.public_id)
    assert "cancelled" in call("cancel", job.public_id)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("start", "--model", "nobody", "--data", "x"), "no chat model 'nobody'"),
        (("start", "--model", "base", "--data", "/nowhere/x"), "cannot be read"),
        (("start", "--model", "base", "--data", "x", "--owner", "ghost"), "no user 'ghost'"),
        (("start", "--model", "base", "--data", "x", "--epochs", "0"), "epochs"),
        (("show", "ftjob-none"), "no job 'ftjob-none'"),
    ],
)
def test_what_cannot_be_done_is_said(arguments, said):
    make_chat_model("base", engine="llama_cpp", checkpoint="/srv/base.gguf")
    make_user("boss", is_superuser=True)
    with pytest.raises(CommandError, match=said):
        call(*arguments)


@pytest.mark.django_db
def test_a_line_that_is_no_example_is_named(tmp_path):
    make_chat_model("base", engine="llama_cpp", checkpoint="/srv/base.gguf")
    make_user("boss", is_superuser=True)
    path = tmp_path / "bad.jsonl"
    path.write_text("nonsense\n")
    with pytest.raises(CommandError, match="Line 1"):
        call("start", "--model", "base", "--data", str(path))
    assert not list((tmp_path / "files" / "incoming").iterdir())
