"""A suite from a name, a file, a folder or an address; every mistake is named with its place."""

import json
from pathlib import Path

import pytest

from evaluation import suites
from evaluation.records import Question
from evaluation.suites import SHIPPED, SuiteError
from evaluation.suites.references import REPORTED_WRONG

FASTCHAT = {"question_id": 81, "category": "writing", "turns": ["Write.", "Again."]}


def write(folder: Path, name: str, *rows: object) -> str:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return str(path)


def only(source: str) -> Question:
    (question,) = suites.load(source).questions
    return question


def test_it_finds_a_shipped_suite_by_name():
    suite = suites.load(" sanity ")
    assert (suite.name, suite.version) == ("sanity", SHIPPED["sanity"].version)


def test_it_reads_fastchats_questions_and_keeps_unknown_fields(tmp_path):
    question = only(write(tmp_path, "mine.jsonl", {**FASTCHAT, "colour": "blue"}))
    assert (question.id, question.category, question.turns) == (81, "writing", ("Write.", "Again."))
    assert question.extra == {"colour": "blue"}


def test_it_reads_arena_hards_first_version(tmp_path):
    row = {
        "question_id": "ab",
        "category": "arena-hard-v0.1",
        "cluster": "SQL",
        "turns": [{"content": "Join."}],
    }
    question = only(write(tmp_path, "a.jsonl", row))
    assert (question.id, question.category, question.turns) == ("ab", "arena-hard-v0.1", ("Join.",))
    assert question.extra == {"cluster": "SQL"}


def test_it_reads_arena_hards_second_version(tmp_path):
    row = {"uid": "u1", "category": "hard_prompt", "subcategory": "coding", "prompt": "Sort."}
    question = only(write(tmp_path, "a.jsonl", row))
    assert (question.id, question.category, question.turns) == ("u1", "hard_prompt", ("Sort.",))


def test_it_reads_alpaca_evals_list_and_keeps_the_baselines_output(tmp_path):
    rows = [
        {"dataset": "helpful_base", "instruction": f"Ask {n}", "output": "Said", "generator": "base"}
        for n in (1, 2)
    ]
    path = tmp_path / "alpaca_eval.json"
    path.write_text(json.dumps(rows, indent=2))
    first, second = suites.load(str(path)).questions
    assert (first.id, first.category, first.turns) == (1, "helpful_base", ("Ask 1",))
    assert second.id == 2
    assert second.extra == {"output": "Said", "generator": "base"}


def test_it_reads_a_list_in_one_line(tmp_path):
    path = tmp_path / "a.json"
    path.write_text(json.dumps([{"instruction": "One"}, {"instruction": "Two"}]))
    assert [question.turns for question in suites.load(str(path)).questions] == [("One",), ("Two",)]


def test_it_reads_bare_prompts(tmp_path):
    first, second = suites.load(
        write(tmp_path, "p.jsonl", {"prompt": "Why?"}, {"prompt": "How?", "id": "h", "reference": "So."})
    ).questions
    assert (first.id, first.turns, first.reference) == (1, ("Why?",), ())
    assert (second.id, second.reference) == ("h", ("So.",))


def test_a_line_separator_within_a_text_is_no_end_of_a_line(tmp_path):
    path = tmp_path / "p.jsonl"
    path.write_text(json.dumps({"prompt": "a\u2028b"}, ensure_ascii=False), "utf-8")
    assert only(str(path)).turns == ("a\u2028b",)


def test_a_byte_order_mark_does_no_harm(tmp_path):
    path = tmp_path / "p.jsonl"
    path.write_text('\ufeff{"prompt": "Why?"}', "utf-8")
    assert only(str(path)).turns == ("Why?",)


def answer(question_id: int, answer_id: str, text: str) -> dict[str, object]:
    choices = [{"index": 0, "turns": [text, text]}]
    return {"question_id": question_id, "answer_id": answer_id, "model_id": "gpt-4", "choices": choices}


def mt_bench(folder: Path, answers: list[dict[str, object]]) -> str:
    ids = [row["question_id"] for row in answers]
    rows = [{"question_id": n, "category": "math", "turns": ["a", f"{n}"]} for n in ids]
    write(folder, "mt_bench/question.jsonl", *rows)
    write(folder, "mt_bench/reference_answer/gpt-4.jsonl", *answers)
    return str(folder / "mt_bench")


def test_it_reads_the_reference_answers_beside_fastchats_questions(tmp_path):
    suite = suites.load(mt_bench(tmp_path, [answer(112, "x", "Twelve.")]))
    assert suite.name == "mt_bench"
    assert suite.questions[0].reference == ("Twelve.", "Twelve.")
    assert suite.referenced_categories == {"math"}


def test_it_leaves_out_the_references_that_are_reported_wrong_and_says_so(tmp_path):
    wrong = [answer(identifier, answer_id, "No.") for identifier, answer_id in REPORTED_WRONG.items()]
    suite = suites.load(mt_bench(tmp_path, [*wrong, answer(112, "x", "Yes.")]))
    assert [question.id for question in suite.questions if question.reference] == [112]
    assert len(REPORTED_WRONG) == 13
    assert any("104, 105, 109" in remark and "wrong" in remark for remark in suite.remarks)


def test_a_corrected_reference_counts(tmp_path):
    suite = suites.load(mt_bench(tmp_path, [answer(104, "corrected", "One brother.")]))
    assert suite.questions[0].reference == ("One brother.", "One brother.")


def test_it_does_not_guess_between_two_files_of_references(tmp_path):
    folder = mt_bench(tmp_path, [answer(112, "x", "Yes.")])
    write(tmp_path, "mt_bench/reference_answer/other.jsonl", answer(112, "y", "No."))
    with pytest.raises(SuiteError, match=r"gpt-4\.jsonl, other\.jsonl"):
        suites.load(folder)


def test_it_says_which_questions_lack_a_reference_and_which_are_double(tmp_path):
    rows = [{"question_id": n, "category": "math", "turns": ["1 + 1?"]} for n in (1, 2)]
    remarks = " ".join(suites.load(write(tmp_path, "m.jsonl", *rows)).remarks)
    assert "2 questions of categories" in remarks
    assert "1 questions ask the very same" in remarks


def test_the_digest_depends_on_what_is_asked_and_on_nothing_else(tmp_path):
    one = suites.load(write(tmp_path, "one.jsonl", FASTCHAT))
    same = suites.load(write(tmp_path, "two.jsonl", dict(reversed(FASTCHAT.items()))))
    other = suites.load(write(tmp_path, "three.jsonl", {**FASTCHAT, "turns": ["Write.", "Again!"]}))
    assert one.digest == same.digest != other.digest


def test_it_answers_maths_without_freedom_and_tales_with_some():
    suite = suites.load("dialogue")
    by_category = {question.category: suite.temperature(question) for question in suite.questions}
    assert by_category["maths"] == 0
    assert by_category["stem"] == 0.1
    assert by_category["writing"] == 0.7


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"prompt": "a"}\n{"prompt": ', r"line 2: this is not JSON"),
        ('{"prompt": "a"}\n\n["b"]', r"line 3: this is not a JSON object"),
        ('{"prompt": "a"}\n{"question": "b"}', r"line 2: the field prompt is missing"),
        ('{"question": "b"}', r"line 1: this is no question"),
        ('{"prompt": 3}', r"line 1: prompt is 3"),
        ('{"prompt": "a", "id": 1}\n{"prompt": "b", "id": "1"}', r"line 2: the id 1 is there twice"),
        (
            '{"question_id": 1, "turns": ["a"]}\n{"question_id": 1, "turns": ["b"]}',
            r"line 2: 1 is there twice",
        ),
        ('{"question_id": 1, "turns": ["a"]}\n{"question_id": "1", "turns": ["b"]}', "twice, as a number"),
        ('{"question_id": 1, "turns": ["a", " "]}', "question 1 has an empty turn"),
        ('{"question_id": 1, "turns": []}', "line 1: turns"),
        ('{"question_id": "x", "turns": [{"content": "a"}, {"text": "b"}]}', "line 1: each entry of turns"),
        ('[{"instruction": "a"},\n{"instruction": 7}]', "line 2: instruction is 7"),
        ('[{"instruction": "a"},\n{"instruction"', "line 2: this is not a JSON list"),
        ("[", "line 1: this is not a JSON list"),
        ("[]", "no questions"),
        ("\n\n", "no questions"),
    ],
)
def test_it_names_file_line_and_what_is_wrong(tmp_path, content, message):
    path = tmp_path / "bad.jsonl"
    path.write_text(content, "utf-8")
    with pytest.raises(SuiteError, match=rf"bad\.jsonl.*{message}"):
        suites.load(str(path))


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("dialog", "Did you mean dialogue"),
        ("nowhere.jsonl", "dialogue, identity, sanity"),
        ("", "Name a suite"),
        ("a\0b", "no such suite or file|no path of a file"),
        ("x" * 5000, "no path of a file"),
        ("http://example.org/a.jsonl", "not an https address"),
        ("file:///etc/passwd", "not an https address"),
    ],
)
def test_it_says_what_would_be_a_suite(source, message):
    with pytest.raises(SuiteError, match=message):
        suites.load(source)


def test_a_file_that_is_no_text_is_refused(tmp_path):
    path = tmp_path / "x.jsonl"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SuiteError, match="UTF-8"):
        suites.load(str(path))


def test_a_folder_without_questions_is_refused(tmp_path):
    with pytest.raises(SuiteError, match="no such suite"):
        suites.load(str(tmp_path))


def test_it_names_a_suite_from_an_address_after_its_file():
    suite = suites.load("https://example.org/sets/mine.jsonl?x=1", fetch=lambda url: '{"prompt": "Why?"}')
    assert suite.name == "mine"
    assert suite.questions[0].turns == ("Why?",)
