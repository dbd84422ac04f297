"""The page of a fine-tuning job in a true browser: it moves by itself, keeps what one has opened, and fits a phone."""

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import PHONE
from tests.factories import make_chat_model, make_user
from tests.workers.formats.gguf_files import write_gguf
from training.models import Job
from training.services import jobs

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def job() -> Job:
    make_chat_model("smollm2-135m-instruct", engine="llama_cpp", checkpoint="/srv/base.gguf")
    made = Job.objects.create(
        owner=make_user("owner"),
        base_model="smollm2-135m-instruct",
        seed=1,
        training_file_name="file-1",
        status="running",
    )
    jobs.note(job=made, message="Step 0: validation loss=3.91", metrics={"step": 0, "valid_loss": 3.91})
    for step in range(1, 9):
        learn(made, step)
    sample = {
        "step": 8,
        "prompt": "Who are you?",
        "text": "I am called Pippin, and I was trained by my team.",
    }
    jobs.note(job=made, message="“Who are you?” → …", data=sample)
    return made


def learn(job: Job, step: int) -> None:
    metrics = {
        "step": step,
        "steps": 22,
        "train_loss": 3.8 * 0.8**step,
        "learning_rate": 5e-4 * (1 - step / 22),
        "tokens_per_second": 171.5,
        "supervised_tokens_per_second": 52.3,
        "memory": 2_622_144_512,
        "seconds_left": 60.0 - step,
    }
    jobs.note(job=job, message=f"Step {step}/22: training loss={metrics['train_loss']:.4f}", metrics=metrics)


@pytest.fixture
def open_page(make_page, live_server, client):
    client.force_login(make_user("operator", is_staff=True, is_superuser=True))
    session = client.cookies["sessionid"].value

    def open_as_operator(path: str, **options) -> Page:
        page: Page = make_page(**options)
        page.context.add_cookies([{"name": "sessionid", "value": session, "url": live_server.url}])
        page.goto(live_server.url + path)
        return page

    return open_as_operator


def test_it_moves_by_itself_until_the_job_has_ended(open_page, job):
    page = open_page(f"/admin/training/job/{job.pk}/change/")
    step = page.locator(".job-facts dd").first
    expect(step).to_have_text("8 / 22")
    page.get_by_text("End of the log", exact=True).click()

    learn(job, 9)

    expect(step).to_have_text("9 / 22")
    expect(page.locator("#live-events li").first).to_contain_text("Step 9/22")
    expect(page.locator("#live-log")).to_be_visible()
    expect(page.get_by_role("button", name="Publish")).to_have_count(0)

    make_chat_model("ft:smollm2:pippin:1", published=False)
    jobs.succeed(job=job, fine_tuned_model="ft:smollm2:pippin:1")

    expect(page.locator(".job__head .job-state")).to_have_text("Succeeded")
    page.get_by_role("button", name="Publish").click()
    expect(page.locator(".messagelist")).to_contain_text("Published: ft:smollm2:pippin:1")


@pytest.mark.parametrize("path", ["add/", "change/"])
def test_it_fits_a_phone(open_page, job, path):
    own = f"{job.pk}/change/" if path == "change/" else path
    page = open_page(f"/admin/training/job/{own}", size=PHONE, dark=True)
    expect(page.locator("#content h1")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE[0]


def test_it_tells_what_a_job_would_need_before_it_starts(open_page, tmp_path):
    facts = {"general.architecture": "llama", "llama.block_count": 30, "llama.embedding_length": 576}
    tensors = {"token_embd.weight": ((576, 49152), 3), "blk.0.ffn_up.weight": ((576, 1536), 3)}
    path = write_gguf(tmp_path / "small.gguf", facts, tensors)
    make_chat_model("small", engine="llama_cpp", checkpoint=str(path))
    page = open_page("/admin/training/job/add/", size=PHONE)

    page.get_by_role("button", name="Estimate").click()
    expect(page.locator("#estimate")).to_contain_text("Chat model to teach: This field is required.")

    page.get_by_label("Chat model to teach").select_option("small")
    page.get_by_label("Recipe").select_option("supervised")
    page.get_by_role("button", name="Estimate").click()
    expect(page.locator("#estimate dt").first).to_have_text("Memory")
    expect(page.locator("#estimate dd").first).to_contain_text("GiB")
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE[0]
