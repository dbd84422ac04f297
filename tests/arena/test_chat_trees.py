"""Conversations with branches, as questions with their answers."""

import pytest

from arena import chat_trees
from arena.chat_trees import MOST_COPIES, Said, Turn


def tree(*pieces: tuple[str, str, int | None], shown: set[int] | None = None) -> list[Turn]:
    """Pieces as (role's first letter, text, what it follows)."""
    said = [
        Said(
            "user" if role == "u" else "assistant",
            text,
            previous=previous,
            shown=shown is None or number in shown,
        )
        for number, (role, text, previous) in enumerate(pieces)
    ]
    return chat_trees.turns(said)


def words(turns: list[Turn]) -> list[tuple[str, list[str], int | None, bool]]:
    return [
        (turn.question, [answer.text for answer in turn.answers], turn.previous, turn.shown) for turn in turns
    ]


def test_what_one_side_says_in_several_pieces_becomes_one():
    turns = tree(("u", "a", None), ("u", "b", 0), ("a", "c", 1), ("a", "d", 2), ("u", "e", 3))
    assert words(turns) == [("a\n\nb", ["c\n\nd"], None, True), ("e", [], 0, True)]


def test_answers_to_one_question_are_its_versions_and_the_shown_one_is_the_last():
    turns = tree(("u", "q", None), ("a", "one", 0), ("a", "two", 0), ("a", "three", 0), shown={0, 2})
    assert words(turns) == [("q", ["one", "three", "two"], None, True)]


def test_a_question_stands_once_more_for_an_answer_that_was_gone_on_with_and_left():
    turns = tree(("u", "q", None), ("a", "one", 0), ("u", "more", 1), ("a", "two", 0), shown={0, 3})
    assert words(turns) == [("q", ["one"], None, False), ("q", ["two"], None, True), ("more", [], 0, False)]


def test_wordings_of_a_question_hang_under_the_same_turn():
    turns = tree(("u", "q", None), ("a", "x", 0), ("u", "so", 1), ("u", "or so", 1), shown={0, 1, 2})
    assert words(turns) == [("q", ["x"], None, True), ("so", [], 0, True), ("or so", [], 0, False)]


def test_a_branch_that_was_shown_half_goes_on_along_the_newest():
    turns = tree(("u", "q", None), ("a", "x", 0), ("u", "old", 1), ("u", "new", 1), ("a", "y", 3), shown={0})
    assert [exchange[:2] for exchange in chat_trees.shown(turns)] == [("q", "x"), ("new", "y")]


def test_without_any_branch_that_was_shown_the_newest_is():
    turns = tree(("u", "old", None), ("u", "new", None), ("a", "x", 1), shown=set())
    assert [exchange[:2] for exchange in chat_trees.shown(turns)] == [("new", "x")]


def test_pieces_of_one_side_that_fork_are_versions():
    turns = tree(
        ("u", "q", None), ("a", "begun", 0), ("a", "one end", 1), ("a", "other end", 1), shown={0, 1, 2}
    )
    assert words(turns) == [("q", ["begun", "other end", "one end"], None, True)]


def test_greetings_without_a_question_share_one():
    turns = tree(("a", "Hello", None), ("a", "Hi", None), ("u", "q", 1), shown={1, 2})
    assert words(turns) == [("…", ["Hello", "Hi"], None, True), ("q", [], 0, True)]


@pytest.mark.parametrize("answers", [MOST_COPIES + 1, MOST_COPIES + 30])
def test_a_question_is_not_repeated_without_end(answers):
    pieces: list[tuple[str, str, int | None]] = [("u", "q", None)]
    for number in range(answers):
        pieces += [("a", f"answer {number}", 0), ("u", f"more {number}", 2 * number + 1)]
    turns = tree(*pieces, shown={0, 1, 2})
    assert sum(turn.question == "q" for turn in turns) == MOST_COPIES + 1
    assert sum(len(turn.answers) for turn in turns) == answers


def test_exactly_one_turn_of_each_depth_is_shown():
    turns = tree(
        ("u", "a", None), ("a", "b", 0), ("u", "c", 1), ("u", "d", 1), ("a", "e", 2), ("a", "f", 3), ("u", "g", 5),
        ("u", "h", None), shown={0, 1, 3, 5, 6},
    )  # fmt: skip
    depths: list[int] = []
    for turn in turns:
        depths.append(0 if turn.previous is None else depths[turn.previous] + 1)
    shown = [depth for depth, turn in zip(depths, turns, strict=True) if turn.shown]
    assert shown == list(range(len(shown)))
