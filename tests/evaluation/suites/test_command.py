"""`manage.py evaluate suites`."""

import io
import json

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError


def said(*arguments: str) -> str:
    out = io.StringIO()
    call_command("evaluate", "suites", *arguments, stdout=out)
    return out.getvalue()


def test_it_lists_what_comes_with_it():
    assert "85 questions" in said()
    assert said() == said("list")


def test_it_shows_questions_with_their_references():
    shown = said("show", "sanity")
    assert "capital of France" in shown
    assert "Reference: The capital of France is Paris." in shown


def test_what_it_shows_as_json_can_be_read_again(tmp_path):
    path = tmp_path / "copy.jsonl"
    path.write_text(said("show", "identity", "--json"), "utf-8")
    digest = said("check", "identity").split("digest ")[1].split()[0]
    assert digest in said("check", str(path))
    assert json.loads(path.read_text("utf-8").splitlines()[0])["question_id"] == "identity-01"


def test_it_says_which_categories_are_graded_by_reference():
    shown = said("check", "dialogue")
    assert "maths: 11, graded by reference" in shown
    assert "writing: 11\n" in shown


@pytest.mark.parametrize(
    ("arguments", "message"), [(("show",), "Say which"), (("check", "dialog"), "dialogue")]
)
def test_it_refuses_with_a_sentence(arguments, message):
    with pytest.raises(CommandError, match=message):
        said(*arguments)
