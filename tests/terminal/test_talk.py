"""A talk and its file form, without a screen."""

import json

import pytest

from workers.protocol import ChatMessage
from workers.terminal.talk import NotATalk, Talk


def a_talk(*texts: str, system: str = "") -> Talk:
    talk = Talk(system)
    for number, text in enumerate(texts):
        (talk.answer if number % 2 else talk.say)(text)
    return talk


def test_it_puts_the_system_prompt_first():
    assert a_talk("Hi", system="Be brief.").prompt() == (
        ChatMessage("system", "Be brief."),
        ChatMessage("user", "Hi"),
    )


def test_it_leaves_an_empty_system_prompt_out():
    assert a_talk("Hi", system="  ").prompt() == (ChatMessage("user", "Hi"),)


def test_it_keeps_the_system_prompt_when_reset():
    talk = a_talk("Hi", "Hello", system="Be brief.")
    talk.reset()
    assert talk.prompt() == (ChatMessage("system", "Be brief."),)


def test_it_takes_back_the_last_message_with_its_answer():
    talk = a_talk("one", "1", "two", "2")
    assert talk.take_back()
    assert talk == a_talk("one", "1")


def test_it_takes_back_a_message_without_an_answer():
    talk = a_talk("one", "1", "two")
    assert talk.take_back()
    assert talk == a_talk("one", "1")


def test_it_has_nothing_to_take_back_at_the_start():
    assert not Talk().take_back()
    assert not Talk().forget_answer()


def test_it_forgets_only_the_answer():
    talk = a_talk("one", "1")
    assert talk.forget_answer()
    assert talk == a_talk("one")


@pytest.mark.parametrize("system", ["", "Sé breve. 请简短。"])
def test_it_reads_what_it_has_written(system):
    talk = a_talk("你好", "Hallo\n\n“quoted” \U0001f99c", "more", system=system)
    assert Talk.from_json(talk.to_json(chat_model="parrot")) == talk


def test_it_writes_text_that_people_can_read():
    assert "你好" in a_talk("你好").to_json(chat_model="parrot")
    assert json.loads(a_talk("x").to_json(chat_model="parrot"))["chat_model"] == "parrot"


def test_it_reads_what_fastchat_saved():
    saved = {
        "template_name": "one_shot",
        "system_message": "A chat.",
        "roles": ["Human", "Assistant"],
        "messages": [
            ["Human", "an example"],
            ["Assistant", "of the template"],
            ["Human", "Hi"],
            ["Assistant", None],
        ],
        "offset": 2,
    }
    assert Talk.from_json(json.dumps(saved)) == a_talk("Hi", system="A chat.")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("[]", "no list of messages"),
        ('{"messages": 1}', "no list of messages"),
        ('{"messages": ["Hi"]}', "not an object with a role"),
        ('{"messages": [{"role": "user"}]}', "not an object with a role"),
        ('{"messages": [{"role": "tool", "content": "x"}]}', "not an object with a role"),
        ('{"messages": [{"role": "user", "content": 1}]}', "not an object with a role"),
        ('{"messages": [{"role": "assistant", "content": "x"}]}', "message 1 is by assistant"),
        (
            '{"messages": [{"role": "user", "content": "x"}, {"role": "user", "content": "y"}]}',
            "message 2 is by user",
        ),
        ('{"messages": [], "roles": 3}', "not two names"),
        ('{"messages": [["C", "x"]], "roles": ["A", "B"]}', "not a pair"),
        ('{"messages": [["A", "x", 1]], "roles": ["A", "B"]}', "not a pair"),
    ],
)
def test_it_says_why_a_text_is_no_talk(text, reason):
    with pytest.raises(NotATalk, match=reason):
        Talk.from_json(text)
