from arena.prompts import PastTurn, build
from workers.protocol import ChatMessage


def test_it_asks_with_the_message_alone():
    assert build(system_prompt="", past=[], message="Hi") == (ChatMessage("user", "Hi"),)


def test_it_puts_the_system_prompt_first():
    messages = build(system_prompt="Be brief.", past=[PastTurn("Hi", "Ho")], message="And?")

    assert [(message.role, message.content) for message in messages] == [
        ("system", "Be brief."),
        ("user", "Hi"),
        ("assistant", "Ho"),
        ("user", "And?"),
    ]


def test_it_leaves_a_blank_system_prompt_out():
    assert build(system_prompt=" \n", past=[], message="Hi")[0].role == "user"


def test_it_leaves_a_turn_without_an_answer_out():
    past = [PastTurn("one", "1"), PastTurn("two", ""), PastTurn("three", " \n"), PastTurn("four", "4")]

    roles = [message.role for message in build(system_prompt="", past=past, message="five")]

    assert roles == ["user", "assistant", "user", "assistant", "user"]


def test_it_keeps_texts_as_they_were_written():
    messages = build(system_prompt="", past=[PastTurn("  a\n", "\tb ")], message=" c\n")

    assert [message.content for message in messages] == ["  a\n", "\tb ", " c\n"]
