"""The suites that come with the product: complete, unchanged within a version, and right where that can be computed."""

import re
import sqlite3
from collections import Counter
from collections.abc import Iterator
from typing import Any, cast

import pytest
from _pytest.mark import ParameterSet

from evaluation import suites
from evaluation.records import Question
from evaluation.suites import SHIPPED

DIALOGUE = suites.load("dialogue").questions
BY_ID = {str(question.id): question for question in DIALOGUE}
REFERENCED = ("reasoning", "maths", "coding")
DIGESTS = {
    ("dialogue", "1"): "963f423ba795645d0f6a8b6f03e89d9b09433bfce205682ac7cbaad05e77eff5",
    ("identity", "1"): "d1b2b95db9599071b47ab5c91b3c50f1a420dfada391742cc284b55f32b8c662",
    ("sanity", "1"): "f9dcb4e5fa2db4bc6fcd9c3ca32dc4a04278945498ffb7d36db73b058bfc5234",
}


def checks_of(question: Question) -> list[Any]:
    found = question.extra.get("check", [])
    assert isinstance(found, list)
    return found


def checks() -> Iterator[ParameterSet]:
    """(question, turn from 0, check) for everything that can be computed."""
    for name in SHIPPED:
        for question in suites.load(name).questions:
            for turn, check in enumerate(checks_of(question)):
                if check is not None:
                    yield pytest.param(question, turn, check, id=f"{question.id}-{turn + 1}")


def of_kind(key: str) -> list[ParameterSet]:
    return [case for case in checks() if key in cast("dict[str, object]", case.values[2])]


@pytest.mark.parametrize("name", SHIPPED)
def test_it_stays_the_same_within_a_version(name):
    """Fails after every edit of a file: then raise its version in shipped.py and write the new digest here."""
    assert suites.load(name).digest == DIGESTS[name, SHIPPED[name].version]


def test_it_has_at_least_ten_questions_in_each_of_eight_categories():
    counts = Counter(question.category for question in DIALOGUE)
    assert len(counts) == 8
    assert min(counts.values()) >= 10
    assert len(DIALOGUE) >= 80


def test_each_question_of_the_dialogue_has_two_turns_a_level_and_a_language():
    for question in DIALOGUE:
        assert len(question.turns) == 2, question.id
        assert question.extra["level"] in (1, 2, 3), question.id
        assert question.extra["language"] in ("en", "zh"), question.id


def test_every_category_has_easy_and_hard_questions():
    for category in {question.category for question in DIALOGUE}:
        levels = {question.extra["level"] for question in DIALOGUE if question.category == category}
        assert {1, 3} <= levels, category


def test_nothing_is_asked_twice():
    turns = Counter(turn for question in DIALOGUE for turn in question.turns)
    assert [turn for turn, times in turns.items() if times > 1] == []


@pytest.mark.parametrize("category", REFERENCED)
def test_it_has_references_for_both_turns_where_judges_want_them(category):
    for question in DIALOGUE:
        if question.category == category:
            assert len(question.reference) == 2, question.id
            assert all(question.reference), question.id


def test_every_maths_question_can_be_computed():
    for question in DIALOGUE:
        if question.category == "maths":
            assert all(checks_of(question)), question.id


@pytest.mark.parametrize("name", SHIPPED)
def test_judges_need_no_remarks(name):
    assert suites.load(name).remarks == ()


@pytest.mark.parametrize(("question", "turn", "check"), of_kind("python"))
def test_a_reference_says_what_python_computes(question, turn, check):
    computed = str(eval(check["python"]))  # noqa: S307 - our own expressions, from our own file
    assert computed == check["answer"]
    assert says(question.reference[turn], check["answer"])


@pytest.mark.parametrize(("question", "turn", "check"), of_kind("true"))
def test_the_code_of_a_reference_does_what_was_asked(question, turn, check):
    names: dict[str, Any] = {}
    exec("\n".join(blocks(question.reference[turn], "python")), names)  # noqa: S102 - our own code, from our own file
    for truth in check["true"]:
        assert eval(truth, names), truth  # noqa: S307


@pytest.mark.parametrize(("question", "turn", "check"), of_kind("sql"))
def test_the_query_of_a_reference_finds_the_rows(question, turn, check):
    with sqlite3.connect(":memory:") as database:
        database.executescript(check["sql"])
        (query,) = blocks(question.reference[turn], "sql")
        assert [list(row) for row in database.execute(query)] == check["rows"]


@pytest.mark.parametrize(
    ("text", "message"), [("(1", "closing"), ("1)", "unexpected"), ("", "unexpected"), ("1+a", "unexpected")]
)
@pytest.mark.parametrize("turn", [0, 1])
def test_the_calculator_refuses_what_is_malformed(text, message, turn):
    names: dict[str, Any] = {}
    exec(blocks(BY_ID["coding-08"].reference[turn], "python")[0], names)  # noqa: S102
    with pytest.raises(ValueError, match=message):
        names["evaluate"](text)


def test_the_bridge_is_crossed_no_faster():
    """The shortest time by trying every crossing."""
    assert fastest((1, 2, 5, 10)) == 17
    assert fastest((4, 2, 5, 10)) == 23


def test_the_broken_function_of_the_bug_hunt_is_broken_as_the_reference_says():
    source = BY_ID["coding-04"].turns[0].split("\n\n", 1)[1]
    names: dict[str, Any] = {}
    exec(source, names)  # noqa: S102
    assert names["clean"]([-1, -2, 3]) == [-2, 3]
    assert "[-2, 3]" in BY_ID["coding-04"].reference[0]


def test_sanity_answers_are_words_of_the_references():
    for question in suites.load("sanity").questions:
        assert checks_of(question)[0]["answer"].lower() in question.reference[0].lower()


def says(text: str, answer: str) -> bool:
    if not re.fullmatch(r"[\d.,:/]+", answer):
        return answer in text
    # A number in words is looked for in the tests' own list, so that "1" is not found within "17".
    words = {"1": ("is a knave", "Red, green, blue", "苹果"), "2": ("Two", "two"), "3": ("3 种",)}
    found = re.search(rf"(?<![\d.,:/]){re.escape(answer)}(?!\d|[.,:/]\d)", text)
    return bool(found) or any(word in text for word in words.get(answer, ()))


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def fastest(paces: tuple[int, ...]) -> int:
    """Dijkstra by hand over (who is still here, where the lamp is); four people make it small."""
    everyone = frozenset(range(len(paces)))
    reached = {(everyone, True): 0}
    open_states = [(0, everyone, True)]
    while open_states:
        open_states.sort(key=lambda state: state[0])
        time, here, lamp_here = open_states.pop(0)
        if not here:
            return time
        side = here if lamp_here else everyone - here
        for crossing in {frozenset((one, other)) for one in side for other in side}:
            left = here - crossing if lamp_here else here | crossing
            then = time + max(paces[person] for person in crossing)
            if then < reached.get((left, not lamp_here), 10**6):
                reached[left, not lamp_here] = then
                open_states.append((then, left, not lamp_here))
    raise AssertionError("nobody crossed")
