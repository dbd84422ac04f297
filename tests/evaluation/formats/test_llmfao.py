import pytest

from evaluation.formats import llmfao
from evaluation.formats.jsonl import FormatError
from evaluation.metrics.agreement import TIE, Ballot

HEAD = "id,prompt,worker,winner,left,right\n"


def read(text):
    return llmfao.read_ballots(text.splitlines(keepends=True), "votes.csv", "people")


def test_a_row_is_a_vote_for_a_name():
    assert read(HEAD + '0,8,58,left,"Zeta, 7B",Alpha\n1,8,,tie,Alpha,Beta\n') == [
        Ballot("8", 1, ("Alpha", "Zeta, 7B"), "58", "Zeta, 7B"),
        Ballot("8", 1, ("Alpha", "Beta"), "people", TIE),
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("id,prompt,winner,left\n", "line 1: the column right is missing"),
        (HEAD + "0,8,58,left,A,B\n1,8,58,A,A,B\n", "line 3: winner is 'A'"),
        (HEAD + "0,8,58,left,A,A\n", "line 2: left and right are both 'A'"),
        (HEAD + "0,8,58,left,A,\n", "line 2: right is empty"),
        ("", "line 1: the column prompt is missing"),
    ],
)
def test_a_mistake_is_named_with_its_line(text, problem):
    with pytest.raises(FormatError, match="votes") as caught:
        read(text)
    assert problem in str(caught.value)
