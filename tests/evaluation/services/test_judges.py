"""Knocking at the doors of remote judges before a run begins."""

import pytest

from evaluation.calls import CallFailed
from evaluation.errors import CannotEvaluate
from evaluation.models import Judge
from evaluation.services import judges

REMOTE = Judge(name="gpt", model="gpt-x", base_url="https://judge.example/v1", key_variable="JUDGE_TEST_KEY")


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv("JUDGE_TEST_KEY", "sk-geheim")


def answers(monkeypatch, listed):
    """What the server lists, or the exception; and how it was asked."""
    asked = []

    def models_at(**values):
        asked.append(values)
        if isinstance(listed, Exception):
            raise listed
        return listed

    monkeypatch.setattr(judges, "models_at", models_at)
    return asked


def test_a_judge_of_the_catalog_is_not_asked(monkeypatch):
    asked = answers(monkeypatch, [])
    assert judges.knock(judges=[Judge(name="parrot", model="parrot")]) == []
    assert not asked


@pytest.mark.parametrize("listed", [[], ["gpt-w", "gpt-x"]], ids=["lists none", "lists it"])
def test_there_is_nothing_to_say_of_a_server_that_is_as_it_should(monkeypatch, listed):
    asked = answers(monkeypatch, listed)
    assert judges.knock(judges=[REMOTE]) == []
    assert asked == [{"base_url": "https://judge.example/v1", "key": "sk-geheim"}]


def test_a_model_that_the_server_does_not_list_is_a_note_with_the_first_that_it_does(monkeypatch):
    answers(monkeypatch, [f"m{number}" for number in range(20)])
    [note] = judges.knock(judges=[REMOTE])
    assert "does not list 'gpt-x' (m0, m1, m2, m3, m4, m5, m6, m7, …)" in note


def test_a_refusal_names_judge_address_and_reason_but_no_key(monkeypatch):
    answers(monkeypatch, CallFailed("The server answered 401. Check the API key."))
    with pytest.raises(
        CannotEvaluate, match=r"'gpt' \(https://judge\.example/v1\): The server answered 401"
    ) as raised:
        judges.knock(judges=[REMOTE])
    assert raised.value.field == "judge"
    assert "geheim" not in str(raised.value)
