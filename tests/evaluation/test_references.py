"""`manage.py evaluate references`: a strong model's answers become the suite's references."""

import io
import json
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from evaluation import suites
from evaluation.models import Judge
from tests.evaluation.support import QUESTIONS, host, write_suite

pytestmark = pytest.mark.django_db

BARE = [{**row, "category": "maths"} for row in QUESTIONS if "reference" not in row] + [QUESTIONS[1]]


def references(*arguments: object) -> str:
    out = io.StringIO()
    call_command("evaluate", "references", *map(str, arguments), stdout=out)
    return out.getvalue()


def read(path: Path) -> dict[object, tuple[str, ...]]:
    return {question.id: question.reference for question in suites.load(str(path)).questions}


@pytest.fixture
def bare(tmp_path) -> str:
    return write_suite(tmp_path, BARE, "bare.jsonl")


def test_every_turn_gets_the_author_s_answer_and_what_was_there_stays(workers_client, bare, tmp_path):
    host(workers_client, "sage")
    said = references("--suite", bare, "--author", "sage", "--out", tmp_path / "full.jsonl")
    assert "2 questions in 3 turns" in said
    assert read(tmp_path / "full.jsonl") == {
        1: ("Say one.", "Say two."),
        "x3": ("Why is the sky blue?",),
        2: ("4", "5"),
    }
    second = next(r for r in workers_client.requests if r.messages[-1].content == "Say two.")
    assert [m.content for m in second.messages] == ["Say one.", "Say one.", "Say two."]
    assert second.sampling.temperature == 0.0


def test_only_categories_that_judges_see_references_in_are_asked(workers_client, suite, tmp_path):
    host(workers_client, "sage")
    with pytest.raises(CommandError, match="has its references already"):
        references("--suite", suite, "--author", "sage", "--out", tmp_path / "full.jsonl")
    said = references(
        "--suite", suite, "--author", "sage", "--out", tmp_path / "full.jsonl", "--categories", "stem"
    )
    assert "1 questions" in said
    assert read(tmp_path / "full.jsonl")[1] == ()


def test_existing_ones_are_replaced_when_somebody_wishes(workers_client, suite, tmp_path):
    host(workers_client, "sage", "reply=four")
    references("--suite", suite, "--author", "sage", "--out", tmp_path / "full.jsonl", "--replace")
    assert read(tmp_path / "full.jsonl")[2] == ("four", "four")


def test_a_second_start_asks_only_for_what_is_missing(workers_client, bare, tmp_path):
    host(workers_client, "sage", "reply=new")
    path = tmp_path / "full.jsonl"
    path.write_text(json.dumps({**BARE[0], "reference": ["old", "old"]}) + "\n")
    references("--suite", bare, "--author", "sage", "--out", path)
    assert read(path) == {1: ("old", "old"), "x3": ("new",), 2: ("4", "5")}
    assert [request.messages[-1].content for request in workers_client.requests] == ["Why is the sky blue?"]


def test_a_call_that_fails_leaves_the_question_for_the_next_start(
    workers_client, bare, tmp_path, monkeypatch
):
    monkeypatch.setattr("evaluation.services.references.ATTEMPTS", 1)
    host(workers_client, "sage", "tokens=9&fail_after=2")
    path = tmp_path / "full.jsonl"
    with pytest.raises(CommandError, match="No reference for"):
        references("--suite", bare, "--author", "sage", "--out", path)
    assert set(read(path)) == {2}
    workers_client.host_script("sage", "reply=mended")
    references("--suite", bare, "--author", "sage", "--out", path)
    assert read(path)[1] == ("mended", "mended")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--suite", "{bare}", "--author", "nobody", "--out", "{new}"], "neither a judge nor a chat model"),
        (["--suite", "{bare}", "--author", "sage", "--out", "{bare}"], "--out is the suite itself"),
        (["--suite", "{bare}", "--author", "sage", "--out", "{other}"], "holds other questions"),
        (["--suite", "{bare}", "--author", "sage", "--out", "{nonsense}"], "line 1"),
        (
            ["--suite", "{bare}", "--author", "sage", "--out", "{new}", "--categories", "music"],
            "'music' is no category",
        ),
        (["--suite", "{bare}", "--author", "sage", "--out", "{new}", "--max-tokens", "0"], "1 or more"),
        (["--suite", "{bare}", "--author", "dear", "--out", "{new}"], "costs money"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_asked(
    workers_client, bare, tmp_path, arguments, message
):
    host(workers_client, "sage")
    Judge.objects.create(name="dear", model="dear", base_url="https://j.example/v1", completion_price=9)
    (tmp_path / "nonsense.jsonl").write_text("nonsense")
    paths = {
        "bare": bare,
        "new": str(tmp_path / "new.jsonl"),
        "nonsense": str(tmp_path / "nonsense.jsonl"),
        "other": write_suite(tmp_path, [{**QUESTIONS[0], "turns": ["Another?"]}], "other.jsonl"),
    }
    with pytest.raises(CommandError, match=message):
        references(*(argument.format(**paths) for argument in arguments))
    assert not workers_client.requests
    assert not (tmp_path / "new.jsonl").exists()
