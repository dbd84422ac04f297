"""FastChat's files: read, written again, and refused with the place of the mistake."""

import json
from pathlib import Path

import pytest

from evaluation.formats import fastchat
from evaluation.formats.jsonl import FormatError, line

SHARED = Path(__file__).resolve().parents[4] / "shared" / "data"

QUESTION = {
    "question_id": 81,
    "category": "writing",
    "turns": ["Write.", "Again."],
    "required_temperature": 0.5,
}
ANSWER = {
    "question_id": 81,
    "answer_id": "xyz",
    "model_id": "parrot",
    "choices": [{"index": 0, "turns": ["One", "Two"]}, {"index": 1, "turns": ["Three", "Four"]}],
    "tstamp": 1.5,
}
SINGLE = {
    "question_id": 81,
    "model": "parrot",
    "judge": ["gpt-4", "single-v1"],
    "user_prompt": "[Question]…",
    "judgment": "Good. [[7]]",
    "score": 7,
    "turn": 1,
    "tstamp": 2.5,
}
PAIR = {
    "question_id": 81,
    "model_1": "parrot",
    "model_2": "lorem",
    "g1_winner": "model_1",
    "g2_winner": "tie",
    "judge": ["gpt-4", "pair-v2"],
    "g1_user_prompt": "…",
    "g1_judgment": "[[A]]",
    "g2_user_prompt": "…",
    "g2_judgment": "[[C]]",
    "turn": 2,
    "tstamp": 3.5,
}


def read(reader, *values):
    return reader([json.dumps(value) for value in values], "file.jsonl")


@pytest.mark.parametrize(
    ("reader", "writer", "row"),
    [
        (fastchat.read_questions, fastchat.question_row, QUESTION),
        (fastchat.read_questions, fastchat.question_row, {**QUESTION, "reference": ["r1", "r2"]}),
        (fastchat.read_answers, fastchat.answer_row, ANSWER),
        (fastchat.read_single_verdicts, fastchat.single_row, SINGLE),
        (fastchat.read_single_verdicts, fastchat.single_row, {**SINGLE, "score": -1}),
        (fastchat.read_pair_verdicts, fastchat.pair_row, PAIR),
    ],
)
def test_what_is_read_is_written_again_as_it_was(reader, writer, row):
    [record] = read(reader, row)
    assert writer(record) == row


@pytest.mark.skipif(not SHARED.is_dir(), reason="MT-bench's files are not on this machine")
@pytest.mark.parametrize(
    ("path", "reader", "writer", "count"),
    [
        ("mt_bench/question.jsonl", fastchat.read_questions, fastchat.question_row, 80),
        ("vicuna_bench/question.jsonl", fastchat.read_questions, fastchat.question_row, 80),
        ("mt_bench/reference_answer/gpt-4.jsonl", fastchat.read_answers, fastchat.answer_row, 30),
    ],
)
def test_the_true_files_come_out_byte_for_byte(path, reader, writer, count):
    lines = (SHARED / path).read_text().splitlines()
    records = reader(lines, path)
    assert len(records) == count
    assert [json.loads(line(writer(record))) for record in records] == [json.loads(each) for each in lines]


def test_a_score_of_minus_one_is_none():
    [verdict] = read(fastchat.read_single_verdicts, {**SINGLE, "score": -1})
    assert verdict.score is None


def test_the_newest_of_several_verdicts_counts():
    first, second = read(fastchat.read_single_verdicts, SINGLE, {**SINGLE, "score": 3})
    kept = fastchat.newest(
        [first, second], lambda verdict: (verdict.question_id, verdict.chat_model, verdict.turn)
    )
    assert [verdict.score for verdict in kept] == [3]


@pytest.mark.parametrize(
    ("reader", "row", "named"),
    [
        (fastchat.read_questions, {"category": "x", "turns": ["a"]}, "question_id"),
        (fastchat.read_questions, {**QUESTION, "turns": []}, "turns"),
        (fastchat.read_questions, {**QUESTION, "turns": ["a", 3]}, "turns"),
        (fastchat.read_questions, {**QUESTION, "question_id": True}, "question_id"),
        (fastchat.read_questions, {**QUESTION, "reference": "text"}, "reference"),
        (fastchat.read_answers, {**ANSWER, "choices": []}, "choices"),
        (fastchat.read_answers, {**ANSWER, "choices": [{"turns": "no list"}]}, "choices"),
        (fastchat.read_answers, {**ANSWER, "model_id": 4}, "model_id"),
        (fastchat.read_single_verdicts, {**SINGLE, "score": "7"}, "score"),
        (fastchat.read_single_verdicts, {**SINGLE, "turn": 0}, "turn"),
        (fastchat.read_single_verdicts, {**SINGLE, "judge": []}, "judge"),
        (fastchat.read_pair_verdicts, {**PAIR, "g2_winner": "both"}, "g2_winner"),
        (fastchat.read_pair_verdicts, {key: PAIR[key] for key in PAIR if key != "model_2"}, "model_2"),
    ],
)
def test_a_bad_field_is_named_with_its_line(reader, row, named):
    with pytest.raises(FormatError) as refused:
        reader(["", json.dumps(row)], "judgments.jsonl")
    assert str(refused.value).startswith("judgments.jsonl, line 2: ")
    assert named in str(refused.value)


@pytest.mark.parametrize("text", ["{", "[1, 2]", "null", '"text"'])
def test_a_line_that_is_no_object_is_named(text):
    with pytest.raises(FormatError, match=r"q.jsonl, line 1: this is not"):
        fastchat.read_questions([text], "q.jsonl")


@pytest.mark.parametrize(
    ("reader", "row"), [(fastchat.read_questions, QUESTION), (fastchat.read_answers, ANSWER)]
)
def test_an_id_that_came_before_is_refused(reader, row):
    with pytest.raises(FormatError, match=r"line 2: 81.* is there twice"):
        read(reader, row, row)
