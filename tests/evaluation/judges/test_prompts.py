import json
from pathlib import Path

import pytest

from evaluation.formats.jsonl import FormatError, Row, rows
from evaluation.judges import prompts, temperatures
from evaluation.records import Answer, Question

SHARED = Path(__file__).resolve().parents[4] / "shared" / "data" / "judge_prompts.jsonl"
SUM = Question(1, "maths", ("What is 2 + 2?", "And twice that?"), ("4", "8"))
POEM = Question(2, "writing", ("Write a poem.", "Shorter."))


def answer(name, *turns, question=SUM):
    return Answer(question.id, name, turns)


def test_a_judge_of_maths_sees_the_reference_up_to_the_turn():
    prompt = prompts.choose("single", SUM, 1)
    system, user = prompts.render(prompt, SUM, [answer("parrot", "five", "ten")])
    assert "[[score]]" in system
    assert "reference" in system
    assert "five" in user
    assert "ten" not in user
    assert "# Turn 1, reference\n4" in user
    assert "8" not in user


def test_a_second_turn_is_judged_with_the_first_as_context():
    system, user = prompts.render(
        prompts.choose("pair", POEM, 2),
        POEM,
        [answer("a", "first", "second"), answer("b", "erste", "zweite")],
    )
    assert "last answer only" in system
    assert user.index("first") < user.index("second") < user.index("erste") < user.index("zweite")
    assert "reference" not in user


def test_the_names_of_the_chat_models_are_not_shown():
    both = prompts.render(
        prompts.choose("pair", POEM, 1), POEM, [answer("secretname", "x"), answer("other", "y")]
    )
    assert "secretname" not in "".join(both)


def test_placeholders_and_braces_of_an_answer_stay_as_they_are():
    _, user = prompts.render(prompts.choose("single", POEM, 1), POEM, [answer("a", "{question_1} {0} {{x}}")])
    assert "{question_1} {0} {{x}}" in user


def test_another_wording_has_another_digest():
    one, other = prompts.own("single", 1, referenced=False), prompts.own("single", 1, referenced=True)
    assert one.digest != other.digest
    assert one.digest == prompts.own("single", 1, referenced=False).digest


def test_a_missing_turn_is_an_error_that_names_it():
    with pytest.raises(ValueError, match="parrot has no answer to turn 2 of question 1"):
        prompts.render(prompts.choose("single", SUM, 2), SUM, [answer("parrot", "only one")])


def test_two_answers_are_needed_for_a_pair():
    with pytest.raises(ValueError, match="shows 2 answers"):
        prompts.render(prompts.choose("pair", SUM, 1), SUM, [answer("a", "x")])


@pytest.mark.skipif(not SHARED.is_file(), reason="FastChat's judge prompts are not on this machine")
def test_fastchat_s_records_are_filled_as_fastchat_fills_them():
    read = {
        each.name: each
        for each in map(prompts.of_record, rows(SHARED.read_text().splitlines(), "judge_prompts.jsonl"))
    }
    assert len(read) == 8
    prompt = prompts.choose("single", SUM, 2, read)
    assert prompt.name == "single-math-v1-multi-turn"
    _, user = prompts.render(prompt, SUM, [answer("a", "four", "eight")])
    record = next(
        json.loads(each)
        for each in SHARED.read_text().splitlines()
        if json.loads(each)["name"] == prompt.name
    )
    assert user == record["prompt_template"].format(
        question_1=SUM.turns[0],
        question_2=SUM.turns[1],
        ref_answer_1="4",
        ref_answer_2="8",
        answer_1="four",
        answer_2="eight",
    )
    pair = prompts.choose("pair", POEM, 1, read)
    assert pair.name == "pair-v2"
    assert "{" not in prompts.render(pair, POEM, [answer("a", "x"), answer("b", "y")])[1]


def test_a_record_of_another_type_is_refused():
    values = {"name": "x", "type": "ranking", "system_prompt": "", "prompt_template": ""}
    with pytest.raises(FormatError, match="type is 'ranking'"):
        prompts.of_record(Row("prompts.jsonl", 1, values))


def test_a_file_without_a_fitting_prompt_says_so():
    with pytest.raises(ValueError, match="none for pair verdicts on turn 2"):
        prompts.choose("pair", POEM, 2, {"x": prompts.own("pair", 1, referenced=False)})


@pytest.mark.parametrize(
    ("question", "temperature"),
    [
        (Question(1, "coding", ("x",)), 0.0),
        (Question(1, "STEM", ("x",)), 0.1),
        (Question(1, "something else", ("x",)), 0.7),
        (Question(1, "coding", ("x",), extra={"required_temperature": 0.9}), 0.9),
    ],
)
def test_the_temperature_is_the_question_s_or_its_category_s(question, temperature):
    assert temperatures.of(question) == temperature
