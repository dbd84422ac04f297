import io
import json

import pytest
from django.core.management import call_command

from evaluation.formats import arena_hard
from evaluation.formats.jsonl import FormatError


def judged(*scores, uid="q1", **more):
    return {
        "uid": uid,
        "category": "hard_prompt",
        "judge": "gpt-4.1",
        "model": "child",
        "baseline": "parent",
        "games": [{"score": score, "judgment": f"[[{score}]]", "prompt": "…"} for score in scores],
        **more,
    }


def read(*rows):
    return arena_hard.read_pair_verdicts([json.dumps(row) for row in rows], "judged.jsonl")


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        (("B>>A", "A>B"), "model_2"),  # the chat model was B, then A, and won both
        (("A>B", "B>>A"), "model_1"),
        (("A>B", "A>B"), "tie"),  # whoever came first won
        (("A=B", "B=A"), "tie"),
        ((None, "A>B"), "error"),
    ],
)
def test_the_baseline_is_a_in_the_first_game_and_b_in_the_second(scores, expected):
    [verdict] = read(judged(*scores))
    assert (verdict.model_1, verdict.model_2, verdict.winner) == ("parent", "child", expected)


def test_a_row_comes_back_as_it_was():
    rows = [judged("B>>A", "A>B", more=1), judged(None, "A=B", uid="q2")]
    assert [arena_hard.row(verdict) for verdict in read(*rows)] == rows


def test_a_game_that_failed_is_an_error():
    assert read(judged("A>B", "A>B") | {"games": [None, {"score": "A>B"}]})[0].winner == "error"


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        (judged("A>B"), "games has 1 games"),
        (judged("A>B", "C"), "game 2 has the score 'C'"),
        (judged("A>B", "A>B", baseline="child"), "both 'child'"),
        (judged("A>B", "A>B") | {"games": ["A>B", "A>B"]}, "game 1 must be an object"),
    ],
)
def test_a_mistake_is_named_with_its_line(row, problem):
    with pytest.raises(FormatError) as caught:
        read(judged("A>B", "A>B"), row)
    assert "line 2" in str(caught.value)
    assert problem in str(caught.value)


def test_its_files_are_summarised_like_all_others(tmp_path):
    rows = [judged("B>>A", "A>B", uid=f"q{number}") for number in range(4)]
    path = tmp_path / "child.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in rows))
    out = io.StringIO()
    call_command(
        "evaluate",
        "show",
        *("--mode", "pairwise-baseline", "--baseline", "parent", "--json", "--judgments", str(path)),
        stdout=out,
    )
    [row] = json.loads(out.getvalue())["tables"][0]["rows"]
    assert (row["chat_model"], row["wins"]) == ("child", 4)
