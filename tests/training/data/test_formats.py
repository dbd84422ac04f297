import pytest

from training.data import formats
from training.data.records import BadRow, Conversation, Message, Preference

QUESTION, ANSWER = Message("user", "Hello?"), Message("assistant", "Hello!")


def read(row):
    return formats.read(row, number=3)


@pytest.mark.parametrize(
    "row",
    [
        {"conversations": [{"from": "human", "value": "Hello?"}, {"from": "gpt", "value": "Hello!"}]},
        {
            "messages": [
                {"role": "user", "content": "Hello?"},
                {"role": "assistant", "content": "Hello!", "name": None},
            ]
        },
        {
            "messages": [
                {"role": "user", "content": [{"type": "text", "text": "Hello?"}]},
                {"role": "assistant", "content": "Hello!"},
            ]
        },
        {"instruction": "Hello?", "input": "", "output": "Hello!"},
    ],
)
def test_it_reads_the_same_conversation_from_each_format(row):
    assert read(row) == Conversation("row-3", (QUESTION, ANSWER))


def test_it_keeps_what_it_does_not_know():
    row = {
        "id": 7,
        "model": "gpt4",
        "messages": [
            {"role": "user", "content": "Hello?"},
            {"role": "assistant", "content": "Hello!", "weight": 0},
        ],
    }
    conversation = read(row)
    assert conversation.id == "7"
    assert conversation.extra == {"model": "gpt4"}
    assert not conversation.messages[1].trained
    assert formats.write(conversation, "messages") == {**row, "id": "7"}


def test_alpaca_puts_the_input_behind_the_instruction_as_fastchat_does():
    row = {
        "instruction": "Add.",
        "input": "1 and 2",
        "output": "3",
        "system": "Be brief.",
        "history": [["a", "b"]],
    }
    roles = [(message.role, message.text) for message in read(row).messages]
    assert roles == [
        ("system", "Be brief."),
        ("user", "a"),
        ("assistant", "b"),
        ("user", "Add.\nInput:\n1 and 2"),
        ("assistant", "3"),
    ]


def test_sharegpts_system_field_becomes_a_message_and_back():
    row = {
        "id": "x",
        "system": "Be brief.",
        "conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}],
    }
    assert [message.role for message in read(row).messages] == ["system", "user", "assistant"]
    assert formats.write(read(row), "sharegpt") == row


@pytest.mark.parametrize("name", ["sharegpt", "messages", "alpaca"])
def test_what_is_written_is_read_again(name):
    messages = (
        Message("system", "s"),
        QUESTION,
        ANSWER,
        Message("user", "more"),
        Message("assistant", "done"),
    )
    conversation = Conversation("x", messages, {"model": "m"})
    assert read(formats.write(conversation, name)) == conversation


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "Hello?", "chosen": "Hello!", "rejected": "No."},
        {
            "chosen": [{"role": "user", "content": "Hello?"}, {"role": "assistant", "content": "Hello!"}],
            "rejected": [{"role": "user", "content": "Hello?"}, {"role": "assistant", "content": "No."}],
        },
        {
            "input": {"messages": [{"role": "user", "content": "Hello?"}]},
            "preferred_output": [{"role": "assistant", "content": "Hello!"}],
            "non_preferred_output": [{"role": "assistant", "content": "No."}],
        },
    ],
)
def test_it_reads_preference_pairs(row):
    pair = read(row)
    assert pair == Preference("row-3", (QUESTION,), (ANSWER,), (Message("assistant", "No."),))
    assert read(formats.write(pair, "preference")) == pair


@pytest.mark.parametrize(
    ("row", "reason", "words"),
    [
        ([], "not_an_object", "not a JSON object"),
        ({"text": "x"}, "unknown_format", "text"),
        ({"messages": "x"}, "wrong_type", "messages is str"),
        ({"messages": [3]}, "wrong_type", "messages[0]"),
        ({"messages": [{"role": "robot", "content": ""}]}, "unknown_role", "'robot'"),
        ({"messages": [{"role": "user"}]}, "missing_field", "messages[0] has no content"),
        ({"messages": [{"role": "user", "content": 3}]}, "wrong_type", "messages[0].content is int"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "not_text", "messages[0]"),
        ({"instruction": "a", "output": "b", "history": [[1]]}, "wrong_type", "history[0]"),
        ({"chosen": 1, "rejected": 2}, "wrong_type", "chosen is int"),
    ],
)
def test_it_says_what_is_wrong_with_a_row_and_where(row, reason, words):
    with pytest.raises(BadRow) as caught:
        read(row)
    assert caught.value.reason == reason
    assert words in caught.value.detail


def test_alpaca_refuses_a_conversation_it_cannot_hold():
    with pytest.raises(BadRow, match="one answer each"):
        formats.write(Conversation("x", (ANSWER,)), "alpaca")


def test_a_format_of_conversations_refuses_pairs():
    with pytest.raises(BadRow, match="cannot hold preference pairs"):
        formats.write(Preference("x", (QUESTION,), (ANSWER,), (ANSWER,)), "sharegpt")
