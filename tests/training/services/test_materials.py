"""What is laid into a run's folder: a file, a part of it held out, or what people said in the arena."""

import json

import pytest

from arena.services import terms
from tests.factories import make_chat_model, make_user
from tests.training.test_from_arena import TURN, fought
from training.models import Job
from training.services import jobs, materials
from training.services.errors import Untrainable
from workers.models import ApiFile

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _places(settings, tmp_path):
    settings.DATA_DIR = tmp_path / "data"


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "run"
    path.mkdir()
    return path


def line(number: int, system: str = "") -> bytes:
    messages = [{"role": "system", "content": system}] if system else []
    messages += [
        {"role": "user", "content": f"What is {number}?"},
        {"role": "assistant", "content": f"It is {number}."},
    ]
    return json.dumps({"messages": messages}).encode() + b"\n"


def make_job(content: bytes | None = None, **values) -> Job:
    owner = make_user()
    make_chat_model("base", engine="llama_cpp", checkpoint="/srv/base.gguf")
    file = None
    if content is not None:
        file = ApiFile.objects.create(owner=owner, filename="a.jsonl", purpose="fine-tune", size=len(content))
        file.path.parent.mkdir(parents=True, exist_ok=True)
        file.path.write_bytes(content)
    return jobs.create(owner=owner, base_model="base", training_file=file, seed=7, **values)


def test_a_file_is_copied_and_outlives_its_deletion(folder):
    job = make_job(line(1))
    laid = materials.lay_out(job=job, folder=folder)
    assert job.training_file is not None
    job.training_file.path.unlink()

    assert laid == materials.Materials(folder / "train.jsonl", None)
    assert materials.lay_out(job=job, folder=folder) == laid
    assert laid.train.read_bytes() == line(1)


def test_what_is_held_out_is_not_learnt_and_nothing_is_lost(folder):
    lines = [line(number) for number in range(40)]
    train, validation = materials.lay_out(job=make_job(b"".join(lines), held_out=10), folder=folder)

    assert validation is not None
    learnt, held = train.read_bytes().splitlines(True), validation.read_bytes().splitlines(True)
    assert (len(learnt), len(held)) == (36, 4)
    assert sorted(learnt + held) == sorted(lines)
    assert {path.name for path in folder.iterdir()} == {"train.jsonl", "validation.jsonl"}


def test_the_same_rows_are_held_out_each_time(folder, tmp_path):
    job = make_job(b"".join(line(number) for number in range(40)), held_out=10)
    (tmp_path / "again").mkdir()
    first, second = (materials.lay_out(job=job, folder=place) for place in (folder, tmp_path / "again"))
    assert first.validation is not None
    assert second.validation is not None
    assert first.validation.read_bytes() == second.validation.read_bytes()


def test_a_last_line_without_an_end_stays_a_line_of_its_own(folder):
    content = b"".join(line(number) for number in range(6)).rstrip()
    train, validation = materials.lay_out(job=make_job(content, held_out=50), folder=folder)
    assert validation is not None
    rows = train.read_bytes().splitlines() + validation.read_bytes().splitlines()
    assert len([json.loads(row) for row in rows]) == 6


def test_too_few_rows_cannot_be_parted(folder):
    with pytest.raises(Untrainable, match="Of 2 rows none would be left") as refusal:
        materials.lay_out(job=make_job(line(1) + line(2), held_out=10), folder=folder)
    assert refusal.value.param == "held_out"


def test_what_people_preferred_is_learnt_and_gone_when_the_job_is_over(folder):
    player = make_user("zelda")
    terms.accept(user=player)
    fought(player, TURN, language="en")
    fought(player, ("Hello?", "Hi. Write to me@example.org", "No."), language="en")
    fought(make_user("stranger"), TURN, language="en")  # has not agreed to anything
    job = make_job(source={"languages": ["en"]})

    train, _ = materials.lay_out(job=job, folder=folder)

    rows = [json.loads(row) for row in train.read_text().splitlines()]
    assert rows[0]["messages"][-1]["content"] == TURN[1]
    assert len(rows) == 2
    assert "me@example.org" not in train.read_text()
    assert job.events.filter(message="2 of 2 votes are learnt from").exists()
    materials.clear(job=job, folder=folder)
    assert train.exists(), "it is needed until the job is over"
    jobs.fail(job=job, code="x", message="It broke.")
    materials.clear(job=job, folder=folder)
    assert list(folder.iterdir()) == []


def test_pairs_are_drawn_for_a_job_that_learns_preferences(folder):
    player = make_user("zelda")
    terms.accept(user=player)
    fought(player, TURN)
    train, _ = materials.lay_out(job=make_job(method="dpo"), folder=folder)
    assert set(json.loads(train.read_text())) >= {"prompt", "chosen", "rejected"}


def test_an_arena_without_votes_is_told(folder):
    with pytest.raises(Untrainable, match="nothing to learn from") as refusal:
        materials.lay_out(job=make_job(source={"since": "2026-01-01"}), folder=folder)
    assert refusal.value.param == "source"


def test_a_persons_own_file_stays_in_the_folder(folder):
    job = make_job(line(1))
    train, _ = materials.lay_out(job=job, folder=folder)
    jobs.fail(job=job, code="x", message="It broke.")
    materials.clear(job=job, folder=folder)
    assert train.exists()


@pytest.mark.parametrize(
    ("systems", "common"), [(("", ""), ""), (("Be brief.", "Be brief."), "Be brief."), (("A", ""), None)]
)
def test_a_common_system_prompt_is_found(tmp_path, systems, common):
    path = tmp_path / "train.jsonl"
    path.write_bytes(b"".join(line(number, system) for number, system in enumerate(systems)))
    assert materials.system_prompt(train=path) == common
