import json
import uuid
from typing import Any

import pytest

from arena import frames
from arena.errors import Busy, InvalidValue

REPLY = "5f0c0c8e-1f9c-4f6e-9b9c-0a8f0b1c2d3e"
SEND = {"type": "send", "client_id": "wish-0001", "text": "Hi"}
REGENERATE = {"type": "regenerate", "client_id": "wish-0001", "message": 7}


def parse(data: dict[str, Any]) -> Any:
    return frames.parse(data)


def refused(**data) -> InvalidValue:
    with pytest.raises(InvalidValue) as caught:
        parse(data)
    return caught.value


def test_it_reads_a_send_with_nothing_but_its_text():
    assert parse(SEND) == {
        "type": "send",
        "client_id": "wish-0001",
        "text": "Hi",
        "conversation": None,
        "edits": None,
        "chat_model": None,
        "settings": None,
        "attachments": [],
    }


@pytest.mark.parametrize("value", ["x", [5], ["no uuid"], [REPLY] * 101, {}])
def test_it_refuses_attachments_that_are_no_ids(value):
    with pytest.raises(InvalidValue) as caught:
        parse({**SEND, "attachments": value})
    assert caught.value.field == "attachments"


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"seed": 1.5}, "settings.seed"),
        ({"seed": True}, "settings.seed"),
        ({"probabilities": 1}, "settings.probabilities"),
    ],
)
def test_it_names_a_seed_or_a_switch_that_is_none(settings, field):
    with pytest.raises(InvalidValue) as caught:
        parse({**SEND, "settings": settings})
    assert caught.value.field == field


def test_it_reads_a_send_with_everything():
    settings = {"system_prompt": "Be brief.", "temperature": 1, "top_p": 0.5, "max_tokens": 10}

    frame = parse({**SEND, "conversation": REPLY, "chat_model": "parrot", "settings": settings})

    assert frame["conversation"] == uuid.UUID(REPLY)
    assert frame["chat_model"] == "parrot"
    assert frame["settings"] == settings
    assert isinstance(frame["settings"]["temperature"], float)


def test_it_tells_an_absent_setting_from_null():
    frame = parse({**SEND, "settings": {"temperature": None}})

    assert frame["settings"] == {"temperature": None}


@pytest.mark.parametrize("message", [7, "7"])
def test_it_reads_a_message_id_as_a_number_or_its_digits(message):
    assert parse({**REGENERATE, "message": message})["message"] == 7


@pytest.mark.parametrize("after", ["", "1-5", "12-345678", "stored-1"])
def test_it_reads_a_watch(after):
    assert parse({"type": "watch", "reply": REPLY, "after": after})["after"] == after


def test_it_reads_a_watch_without_after_as_from_the_start():
    assert parse({"type": "watch", "reply": REPLY})["after"] == ""


def test_it_ignores_fields_of_a_newer_page():
    assert "extra" not in parse({**SEND, "extra": 1})


@pytest.mark.parametrize("kind", [None, "", "sned", 1, ["send"], {}, "finished"])
def test_it_refuses_an_unknown_type(kind):
    assert refused(type=kind).field == "type"


@pytest.mark.parametrize(
    "client_id", [None, "", "short", "x" * 65, 12345678, "with blank", "ünïcödé-1", ["x" * 8]]
)
@pytest.mark.parametrize("frame", [SEND, REGENERATE])
def test_it_refuses_a_client_id_that_is_no_name(frame, client_id):
    assert refused(**{**frame, "client_id": client_id}).field == "client_id"


@pytest.mark.parametrize("text", [None, 1, ["Hi"], {"a": 1}, True, "nul\x00", "half \ud83d", "x" * 32_001])
def test_it_refuses_a_text_that_is_none(text):
    assert refused(**{**SEND, "text": text}).field == "text"


def test_it_takes_a_text_of_exactly_the_limit():
    assert len(parse({**SEND, "text": "🦜" * 32_000})["text"]) == 32_000


@pytest.mark.parametrize("value", ["", "not-a-uuid", 1, True, ["x"], REPLY + "0", "x" * 10_000])
@pytest.mark.parametrize(
    ("frame", "field"),
    [(SEND, "conversation"), ({"type": "stop"}, "reply"), ({"type": "watch", "after": ""}, "reply")],
)
def test_it_refuses_an_id_that_is_no_uuid(frame, field, value):
    assert refused(**{**frame, field: value}).field == field


@pytest.mark.parametrize(
    "message", [None, 0, -1, 1.5, True, "", "x", "-1", "٣", 2**63, "9" * 19, "9" * 400, [1]]
)
def test_it_refuses_a_message_id_that_is_none(message):
    assert refused(**{**REGENERATE, "message": message}).field == "message"


@pytest.mark.parametrize(
    # The last two are ids that Redis refuses: they would break the reader all pages share.
    "after",
    [
        0,
        True,
        "x",
        "1",
        "1-",
        "-1",
        "1-2-3",
        "٣-٣",
        " 1-2",
        "1-2\n",
        ["1-2"],
        "9" * 20 + "-1",
        "1-" + "9" * 21,
    ],
)
def test_it_refuses_an_after_that_is_no_seq(after):
    assert refused(type="watch", reply=REPLY, after=after).field == "after"


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ("x", "settings"),
        ([], "settings"),
        (1, "settings"),
        ({"temprature": 1}, "settings"),
        ({"temperature": "1"}, "settings.temperature"),
        ({"temperature": True}, "settings.temperature"),
        ({"temperature": float("nan")}, "settings.temperature"),
        ({"temperature": float("inf")}, "settings.temperature"),
        ({"temperature": 10**400}, "settings.temperature"),
        ({"top_p": [1]}, "settings.top_p"),
        ({"top_p": float("-inf")}, "settings.top_p"),
        ({"max_tokens": 1.0}, "settings.max_tokens"),
        ({"max_tokens": "5"}, "settings.max_tokens"),
        ({"max_tokens": False}, "settings.max_tokens"),
        ({"system_prompt": 5}, "settings.system_prompt"),
        ({"system_prompt": "nul\x00"}, "settings.system_prompt"),
        ({"system_prompt": "x" * 20_001}, "settings.system_prompt"),
    ],
)
@pytest.mark.parametrize("frame", [SEND, REGENERATE])
def test_it_names_the_setting_that_is_wrong(frame, settings, field):
    assert refused(**{**frame, "settings": settings}).field == field


@pytest.mark.parametrize("chat_model", [1, "", ["parrot"], "x" * 201, "\x00"])
def test_it_refuses_a_chat_model_that_is_no_name_or_leaves_it_to_the_catalog(chat_model):
    if chat_model == "":
        assert parse({**SEND, "chat_model": chat_model})["chat_model"] == ""
    else:
        assert refused(**{**SEND, "chat_model": chat_model}).field == "chat_model"


@pytest.mark.parametrize(
    "text",
    ["", " ", "{", "null", "[]", '"send"', "1", "NaN", "{'type': 'send'}", "[" * 100_000, '{"a":' * 100_000],
)
def test_it_does_not_decode_what_is_no_json_object(text):
    with pytest.raises(frames.NotAFrame):
        frames.decode(text)


def test_it_does_not_decode_numbers_of_thousands_of_digits():
    with pytest.raises(frames.NotAFrame):
        frames.decode('{"message": ' + "9" * 5000 + "}")


@pytest.mark.parametrize("letter", ["x", "é", "🦜"])
def test_it_counts_a_frames_bytes(letter):
    fits = (frames.MAX_FRAME_BYTES - len('{"text":""}')) // len(letter.encode())

    assert len(
        frames.decode(json.dumps({"text": letter * fits}, ensure_ascii=False, separators=(",", ":")))["text"]
    )
    with pytest.raises(frames.NotAFrame):
        frames.decode(json.dumps({"text": letter * (fits + 1)}, ensure_ascii=False, separators=(",", ":")))


def test_it_answers_an_error_with_the_wish_it_is_about():
    frame = frames.error(Busy("Wait."), {"client_id": "wish-0001", "reply": REPLY})

    assert frame == {
        "type": "error",
        "client_id": "wish-0001",
        "reply": REPLY,
        "code": "busy",
        "field": None,
        "message": "Wait.",
    }


@pytest.mark.parametrize("value", [None, 1, ["x"], {"a": 1}, "x" * 1000, "<script>"])
def test_it_does_not_echo_what_is_no_id(value):
    frame = frames.error(Busy("Wait."), {"client_id": value, "reply": [value]})

    assert (frame["client_id"], frame["reply"]) == (None, None)


def test_it_encodes_half_a_surrogate_pair_so_that_a_socket_can_carry_it():
    event = {"type": "delta", "text": "\ud83d"}
    frame: frames.EventFrame = {"type": "event", "reply": REPLY, "seq": "1-1", "event": event}

    assert frames.encode(frame).encode("ascii")


def test_it_reads_which_message_a_send_edits():
    frame = parse({**SEND, "edits": "7"})

    assert frame["type"] == "send"
    assert frame["edits"] == 7


@pytest.mark.parametrize("edits", ["one", 0, True, 2**63, [7]])
def test_it_names_a_wrong_edits(edits):
    with pytest.raises(InvalidValue) as refusal:
        parse({**SEND, "edits": edits})

    assert refusal.value.field == "edits"
