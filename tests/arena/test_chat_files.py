"""Conversations from other programs' files."""

import io
import json
import zipfile

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from arena import chat_files, chat_trees, exporting
from arena.errors import InvalidValue
from arena.models import Conversation, Reply
from arena.selectors import conversations as selectors
from arena.services import conversations, importing_chats


def node(parent, role, *parts, **more) -> dict:
    message = {"author": {"role": role}, "content": {"content_type": "text", "parts": list(parts)}, **more}
    return {"parent": parent, "message": message}


CHATGPT = [
    {
        "id": "abc",
        "title": "Birds",
        "create_time": 1_700_000_000.5,
        "current_node": "d",
        "mapping": {
            "root": {"parent": None, "message": None},
            "a": node("root", "system", "", metadata={"is_visually_hidden_from_conversation": True}),
            "b": node("a", "user", "Do parrots talk?", {"asset_pointer": "file-service://x"}),
            "c": node("b", "assistant", "A branch that was left."),
            "tool": node("b", "assistant", "search(…)", recipient="browser"),
            "d": node("tool", "assistant", "They do.", metadata={"model_slug": "gpt-4"}),
        },
    }
]
SHAREGPT = [
    {
        "id": "x1",
        "conversations": [
            {"from": "system", "value": "Be brief."},
            {"from": "human", "value": "Hi"},
            {"from": "gpt", "value": "Hello"},
            {"from": "human", "value": "One"},
            {"from": "human", "value": "Two"},
        ],
    }
]
FASTCHAT = [
    {"type": "chat", "tstamp": 1.7e9, "state": {"conv_id": "c1", "model_name": "vicuna", "roles": ["USER", "BOT"],
     "offset": 0, "messages": [["USER", "Hi"], ["BOT", "Hello"]]}},
    {"type": "upvote", "tstamp": 1.7e9, "state": {"conv_id": "c1", "model_name": "vicuna", "roles": ["USER", "BOT"],
     "offset": 0, "messages": [["USER", "Hi"], ["BOT", "Hello"], ["USER", ["And?", ["image"]]], ["BOT", None]]}},
    {"type": "leftvote", "states": [
        {"conv_id": "l", "model_name": "a", "messages": [["A", "Q"], ["B", "left"]]},
        {"conv_id": "r", "model_name": "b", "messages": [["A", "Q"], ["B", "right"]]}]},
]  # fmt: skip


def read(rows) -> chat_files.Contents:
    return chat_files.read(json.dumps(rows).encode())


def lines(rows) -> bytes:
    return "\n".join(map(json.dumps, rows)).encode()


def test_it_reads_the_branch_of_chatgpt_that_was_shown():
    (chat,) = read(CHATGPT).chats
    assert chat.title == "Birds"
    assert chat_trees.shown(chat.turns) == [("Do parrots talk?", "They do.", "gpt-4")]
    assert chat.created_at
    assert chat.created_at.year == 2023


def test_it_keeps_the_answers_of_chatgpt_that_were_regenerated_with_the_shown_one_last():
    (turn,) = read(CHATGPT).chats[0].turns
    assert [answer.text for answer in turn.answers] == ["A branch that was left.", "They do."]


def test_it_takes_the_newest_branch_of_chatgpt_where_none_is_named():
    (chat,) = read([{**CHATGPT[0], "current_node": None}]).chats
    assert chat_trees.shown(chat.turns) == [("Do parrots talk?", "They do.", "gpt-4")]


def test_siblings_come_in_the_order_their_parent_lists_them():
    mapping = {
        "root": {"parent": None, "message": None, "children": ["old", "new"]},
        "new": node("root", "user", "Second wording"),
        "old": node("root", "user", "First wording"),
    }
    (chat,) = read([{"mapping": mapping, "current_node": "old"}]).chats
    assert [(turn.question, turn.shown) for turn in chat.turns] == [
        ("First wording", True),
        ("Second wording", False),
    ]


def test_it_reads_a_very_long_talk_of_chatgpt():
    mapping = {
        str(n): node(str(n - 1), "user" if n % 2 else "assistant", f"Piece {n}") for n in range(1, 20_001)
    }
    (chat,) = read([{"mapping": mapping, "current_node": "20000"}]).chats
    assert len(chat_trees.shown(chat.turns)) == 10_000


def test_it_reads_chatgpts_zip_file():
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("export/conversations.json", json.dumps(CHATGPT))
    assert chat_files.read(packed.getvalue()) == read(CHATGPT)


def test_it_reads_sharegpt_as_a_list_and_as_lines():
    (chat,) = read(SHAREGPT).chats
    assert chat.system_prompt == "Be brief."
    assert chat_trees.shown(chat.turns) == [("Hi", "Hello", ""), ("One\n\nTwo", "", "")]
    assert chat_files.read(lines(SHAREGPT)).chats == [chat]


def test_it_takes_the_last_state_of_each_conversation_in_fastchats_log():
    talks = [chat_trees.shown(chat.turns) for chat in chat_files.read(lines(FASTCHAT)).chats]
    assert talks == [
        [("Hi", "Hello", "vicuna"), ("And?", "", "")],
        [("Q", "left", "a")],
        [("Q", "right", "b")],
    ]


def test_it_reads_what_this_site_exports_and_openais_parts():
    said: list[exporting.Said] = [
        {"role": "user", "content": "Hi", "chat_model": "", "created_at": "2026-01-02T03:04:05+00:00"},
        {
            "role": "assistant",
            "content": "Ho",
            "chat_model": "parrot",
            "created_at": "2026-01-02T03:04:06+00:00",
        },
    ]
    (chat,) = chat_files.read(exporting.as_json("A talk", said).encode()).chats
    assert (chat.title, chat_trees.shown(chat.turns)) == ("A talk", [("Hi", "Ho", "parrot")])
    assert chat.created_at
    assert chat.created_at.isoformat() == "2026-01-02T03:04:05+00:00"

    parts = [{"type": "text", "text": "Look"}, {"type": "image_url", "image_url": {"url": "x"}}]
    (chat,) = read({"messages": [{"role": "user", "content": parts}]}).chats
    assert chat_trees.shown(chat.turns) == [("Look", "", "")]


def test_it_counts_what_holds_nothing_and_keeps_an_answer_without_a_question():
    contents = read([{"messages": []}, {"messages": [{"role": "assistant", "content": "Hello!"}]}])
    assert contents.left_out == 1
    assert chat_trees.shown(contents.chats[0].turns) == [("…", "Hello!", "")]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "no conversations in"),
        (b"[]", "no conversations in"),
        (b'{"a": 1}', "no conversations in"),
        (b"17", "no conversations in"),
        (b"\xff\xfe\x00", "no text in UTF-8"),
        (b'{"messages": []}\nnonsense', "line 2"),
        (b"[" * 100_000, "line 1"),
        (b"PK\x03\x04nonsense", "damaged"),
    ],
)
def test_it_says_what_is_wrong_with_a_file(content, sentence):
    with pytest.raises(InvalidValue, match=sentence):
        chat_files.read(content)


@pytest.mark.parametrize(
    "row",
    [
        {"mapping": {"a": 1, "b": {"message": {"content": 5, "author": []}}}, "current_node": "b"},
        {"mapping": {"a": {"parent": "a", "message": None}}, "current_node": "a"},
        {"conversations": [None, 5, {"from": 3, "value": []}]},
        {"messages": [None, {"role": [], "content": {}}], "title": 5},
        {"state": {"messages": [[], [1], None, ["a", 5]], "offset": -3, "roles": 7}, "tstamp": 1e300},
        {"mapping": {}, "create_time": float("nan"), "current_node": []},
    ],
)
def test_odd_rows_do_no_harm(row):
    assert read([row]).chats == []


def test_a_file_comes_once_however_often_it_is_sent(alice, parrot):
    content = json.dumps([*CHATGPT, *SHAREGPT]).encode()

    assert importing_chats.import_chats(owner=alice, content=content) == (2, 0, 0)
    assert importing_chats.import_chats(owner=alice, content=content) == (0, 2, 0)

    birds = Conversation.objects.get(title="Birds")
    (turn,) = selectors.turns(birds)
    assert turn.shown
    assert (turn.message.text, turn.shown.text, turn.shown.chat_model_name) == (
        "Do parrots talk?",
        "They do.",
        "gpt-4",
    )
    assert birds.updated_at.year == 2023
    assert Conversation.objects.exclude(pk=birds.pk).get().system_prompt == "Be brief."
    assert set(Reply.objects.values_list("status", flat=True)) == {"finished"}


def said(*turns: selectors.Turn) -> list[tuple[str, str]]:
    return [(turn.message.text, turn.shown.text if turn.shown else "") for turn in turns]


def test_branches_of_chatgpt_become_versions_that_the_arrows_lead_to(alice, parrot):
    mapping = {
        "root": {"parent": None, "message": None},
        "q": node("root", "user", "Do parrots talk?"),
        "a1": node("q", "assistant", "No."),
        "f1": node("a1", "user", "Really?"),
        "a2": node("q", "assistant", "They do."),
        "f2": node("a2", "user", "Which ones?"),
        "f3": node("a2", "user", "Since when?"),
        "a3": node("f3", "assistant", "Long ago."),
    }
    content = json.dumps([{"id": "x", "mapping": mapping, "current_node": "a3"}]).encode()
    importing_chats.import_chats(owner=alice, content=content)

    talk = Conversation.objects.get()
    first, second = selectors.turns(talk)
    assert said(first, second) == [("Do parrots talk?", "They do."), ("Since when?", "Long ago.")]
    assert (first.version, len(first.versions), second.version, len(second.versions)) == (2, 2, 2, 2)

    assert first.earlier
    conversations.show_version(owner=alice, message_id=first.earlier)
    assert said(*selectors.turns(talk)) == [("Do parrots talk?", "No."), ("Really?", "")]

    assert importing_chats.import_chats(owner=alice, content=content).known == 1


def test_the_page_imports_a_file_and_says_how_much(client, alice, parrot):
    client.force_login(alice)
    sent = {"file": SimpleUploadedFile("conversations.json", json.dumps(CHATGPT).encode())}

    page = client.post("/chat/import/", sent, follow=True)

    assert "1 conversation was imported." in page.content.decode()
    assert "Birds" in page.content.decode()
    refused = client.post("/chat/import/", {"file": SimpleUploadedFile("x.json", b"{")})
    assert refused.status_code == 422
    assert "cannot be read" in refused.content.decode()
    assert client.post("/chat/import/").status_code == 422
    assert client.get("/chat/import/").status_code == 200
