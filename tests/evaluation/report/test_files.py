"""FastChat's files become a report's material, and the material becomes the same files."""

import json
from pathlib import Path

import pytest

from evaluation.formats.jsonl import FormatError
from evaluation.report import files, folder, verifying
from tests.evaluation.report.material import make_material


def put(folder: Path, name: str, *rows: dict) -> Path:
    path: Path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


QUESTION = {
    "question_id": 81,
    "category": "writing",
    "turns": ["Hello?", "And again?"],
    "required_temperature": 0.3,
}
ANSWER = {
    "question_id": 81,
    "answer_id": "x1",
    "model_id": "org/a",
    "choices": [{"index": 0, "turns": ["Hi.", "Hi \u2028 again."]}],
    "tstamp": 1.5,
}
SINGLE = {
    "question_id": 81,
    "model": "org/a",
    "judge": ["gpt-4", "single-v1"],
    "user_prompt": "Judge!",
    "judgment": "[[7]]",
    "score": 7,
    "turn": 1,
    "tstamp": 2.5,
}
PAIR = {
    "question_id": 81,
    "model_1": "org/a",
    "model_2": "b",
    "g1_winner": "model_1",
    "g2_winner": "error",
    "judge": ["gpt-4", "pair-v2"],
    "g1_user_prompt": "p",
    "g1_judgment": "A",
    "g2_user_prompt": "q",
    "g2_judgment": "?",
    "turn": 2,
    "tstamp": 3.5,
}


@pytest.fixture
def fastchat(tmp_path: Path) -> Path:
    """A folder as FastChat leaves it."""
    put(tmp_path, "mt/question.jsonl", QUESTION)
    put(tmp_path, "mt/model_answer/org_a.jsonl", ANSWER)
    put(tmp_path, "mt/model_answer/b.jsonl", {**ANSWER, "model_id": "b"})
    put(tmp_path, "mt/reference_answer/gpt-4.jsonl", {**ANSWER, "model_id": "gpt-4"})
    put(tmp_path, "mt/model_judgment/gpt-4_single.jsonl", SINGLE, {**SINGLE, "turn": 2, "score": -1})
    put(tmp_path, "mt/model_judgment/gpt-4_pair.jsonl", PAIR)
    return tmp_path / "mt"


def rows(folder: Path) -> dict[str, list]:
    return {
        str(path.relative_to(folder)): [json.loads(line) for line in path.read_text().split("\n") if line]
        for path in folder.rglob("*.jsonl")
    }


def test_it_reads_a_folder_of_fastchats(fastchat):
    material = files.read([fastchat])
    assert material.title == "mt"
    assert material.chat_models == ["b", "org/a"]
    assert [verdict.score for verdict in material.singles] == [7, None]
    assert material.pairs[0].winner == "error"
    assert material.references[0].turns[0] == "Hi."


def test_it_writes_the_same_files_again(fastchat, tmp_path):
    for name, text in files.raw(files.read([fastchat])).items():
        path = tmp_path / "again" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert rows(tmp_path / "again") == rows(fastchat)


def test_it_reads_what_json_may_hold_within_a_line(tmp_path):
    path = tmp_path / "question.jsonl"
    path.write_text(json.dumps({**QUESTION, "turns": ["one\u2028line", "b"]}, ensure_ascii=False), "utf-8")
    put(tmp_path, "a.jsonl", ANSWER)
    assert files.read([tmp_path]).questions[0].turns[0] == "one\u2028line"


def test_it_takes_the_newest_of_verdicts_that_were_appended(fastchat):
    put(fastchat, "model_judgment/gpt-4_single.jsonl", SINGLE, {**SINGLE, "score": 3})
    assert [verdict.score for verdict in files.read([fastchat]).singles] == [3]


def test_it_reports_judgments_without_their_questions(tmp_path):
    material = files.read([put(tmp_path, "gpt-4_single.jsonl", SINGLE, {**SINGLE, "turn": 2})])
    assert [(question.id, len(question.turns)) for question in material.questions] == [(81, 2)]
    folder.write(material, tmp_path / "report", raw={})
    assert "org/a" in (tmp_path / "report/index.html").read_text()


def test_it_names_file_and_line_of_what_it_cannot_read(tmp_path):
    path = put(tmp_path, "gpt-4_single.jsonl", SINGLE, {**SINGLE, "score": "seven"})
    with pytest.raises(FormatError, match=r"gpt-4_single.jsonl, line 2: score is"):
        files.read([path])
    path.write_text("nonsense\n")
    with pytest.raises(FormatError, match="line 1"):
        files.read([path])


def test_it_refuses_the_same_answer_from_two_files(fastchat):
    put(fastchat, "model_answer/copy.jsonl", ANSWER)
    with pytest.raises(ValueError, match="answer 81 of org/a is in two of the files"):
        files.read([fastchat])


@pytest.mark.parametrize("name", ["", "missing.jsonl"])
def test_it_says_when_there_is_nothing(tmp_path, name):
    with pytest.raises(FileNotFoundError, match=r"no such file|no \.jsonl file"):
        files.read([tmp_path / name])


def test_it_keeps_names_apart_that_make_the_same_file_name():
    material = make_material(amount=1, chat_models=("org/a", "org_a", "../x", "ORG_A"))
    names = [name for name in files.raw(material) if name.startswith("model_answer/")]
    assert len({name.lower() for name in names}) == 4
    assert not any(".." in name.split("/") for name in names)


def test_it_computes_every_number_again_from_the_data_of_a_report(tmp_path):
    material = make_material(baseline="gemma")
    folder.write(material, tmp_path / "report", raw=files.raw(material))
    assert verifying.differences(tmp_path / "report") == []


def test_it_finds_a_verdict_that_was_changed_afterwards(tmp_path):
    material = make_material()
    folder.write(material, tmp_path / "report", raw=files.raw(material))
    path = tmp_path / "report/data/model_judgment/strict_single.jsonl"
    first, rest = path.read_text().split("\n", 1)
    path.write_text(json.dumps({**json.loads(first), "score": 9.5}) + "\n" + rest)
    found = verifying.differences(tmp_path / "report")
    assert found
    assert found[0].startswith("sections/scores/1/rows/")
