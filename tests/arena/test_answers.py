"""What one can do with an answer: replay it, rate it, flag it, look at its tokens. And presets and folders."""

import math
import uuid

import pytest

from arena.errors import Busy, InvalidValue, NotFound, UnknownChatModel
from arena.models import Conversation, Feedback, ModerationCase, Preset, Reply, TokenProbabilities
from arena.selectors import conversations as selectors
from arena.selectors import replies as reply_selectors
from arena.services import conversations, feedback, presets, replies
from tests.arena.conftest import make_conversation, make_reply, make_turn
from tests.arena.test_attachments import host_with
from workers import client as workers_door
from workers.protocol import (
    Ability,
    Delta,
    Entry,
    Finished,
    FinishReason,
    Report,
    TokenLogprob,
    TopLogprob,
)

pytestmark = pytest.mark.django_db


@pytest.fixture
def answer(alice, parrot) -> Reply:
    talk = make_conversation(alice, parrot)
    return make_reply(
        make_turn(talk, "Hi"),
        "Hello",
        chat_model=parrot,
        system_prompt="Be a bird.",
        sampling={"temperature": 0.7, "top_p": 0.9, "max_tokens": 20, "seed": 7},
    )


# --- replay ----------------------------------------------------------------------------------------------------


def test_a_replay_is_asked_for_with_the_same_values_whatever_the_settings_are_now(
    alice, answer, workers_client, commits
):
    talk = answer.message.conversation
    Conversation.objects.filter(pk=talk.pk).update(temperature=2.0, system_prompt="Be a fish.", seed=None)

    with commits():
        again = conversations.regenerate(owner=alice, message_id=answer.message_id, replays=answer.pk)

    (request,) = workers_client.requests
    assert (request.sampling.temperature, request.sampling.top_p) == (0.7, 0.9)
    assert (request.sampling.max_tokens, request.sampling.seed) == (20, 7)
    assert request.messages[0].content == "Be a bird."
    assert again.sampling["replays"] == str(answer.pk)
    talk.refresh_from_db()
    assert (talk.temperature, talk.system_prompt) == (2.0, "Be a fish.")


def test_a_seed_of_the_settings_reaches_the_engine_and_stays_with_the_answer(
    alice, parrot, workers_client, commits
):
    with commits():
        reply = conversations.send_message(owner=alice, text="Hi", settings={"seed": 11})

    assert workers_client.requests[0].sampling.seed == 11
    assert (reply.sampling["seed"], reply.repeatable) == (11, True)


@pytest.mark.parametrize(
    ("sampling", "repeatable"),
    [({"temperature": 0}, True), ({"temperature": 0.5}, False), ({"seed": 0}, True), ({}, False)],
)
def test_only_an_answer_without_chance_is_repeatable(answer, sampling, repeatable):
    answer.sampling = sampling
    assert answer.repeatable is repeatable


def test_it_refuses_to_replay_what_cannot_be(alice, answer, parrot, workers_client):
    def replay(reply_id):
        return conversations.regenerate(owner=alice, message_id=answer.message_id, replays=reply_id)

    other = make_turn(make_conversation(alice), "Hi", "Ho", sampling={"seed": 1}).replies.get()
    for unknown in (uuid.uuid4(), other.pk):
        with pytest.raises(NotFound):
            replay(unknown)
    Reply.objects.filter(pk=answer.pk).update(sampling={"temperature": 0.7})
    with pytest.raises(InvalidValue, match="Set a seed"):
        replay(answer.pk)
    Reply.objects.filter(pk=answer.pk).update(sampling={"seed": 1}, chat_model=None)
    with pytest.raises(UnknownChatModel):
        replay(answer.pk)


# --- token probabilities ---------------------------------------------------------------------------------------


@pytest.fixture
def telling(monkeypatch):
    """Every chat model's engine says log-probabilities."""
    monkeypatch.setattr(
        "arena.services.conversations.chat_models.can", lambda name, ability: ability == Ability.LOGPROBS
    )


def test_it_asks_for_probabilities_only_where_the_engine_has_them(
    alice, parrot, workers_client, commits, request
):
    host_with(workers_client, "parrot")
    first = conversations.send_message(owner=alice, text="Hi", settings={"probabilities": True})
    assert "logprobs" not in first.sampling

    request.getfixturevalue("telling")
    second = conversations.send_message(owner=alice, text="Hi", settings={"probabilities": True})
    assert (second.sampling["logprobs"], second.sampling["top_logprobs"]) == (True, 5)


def test_it_keeps_what_the_stream_tells_of_each_token(alice, charlie, answer, monkeypatch):
    token = TokenLogprob(
        "Hel", math.log(0.75), top=(TopLogprob("Hel", math.log(0.75)), TopLogprob("No", -9999.0))
    )
    stream = [
        Entry("1-0", Delta("Hel", logprobs=(token,))),
        Entry("2-0", Delta("lo", logprobs=(TokenLogprob("lo\x00", math.log(0.04)), TokenLogprob("", None)))),
        Entry("3-0", Finished(FinishReason.STOP)),
    ]
    monkeypatch.setattr(workers_door, "follow", lambda request_id, after="": iter(stream))
    Reply.objects.filter(pk=answer.pk).update(status="queued", sampling={"logprobs": True})

    replies.record(report=Report(answer.pk.hex, str(answer.pk), "Hello", "stop"))

    first, second, third = reply_selectors.token_probabilities(owner=alice, reply_id=answer.pk)
    assert (first.text, first.percent, first.step) == ("Hel", 75.0, 1)
    assert first.alternatives == [("Hel", 75.0), ("No", 0.0)]
    assert (second.text, second.percent, second.step) == ("lo\ufffd", 4.0, 4)
    assert third.percent is None
    with pytest.raises(NotFound):
        reply_selectors.token_probabilities(owner=charlie, reply_id=answer.pk)


def test_the_page_of_probabilities_is_the_owners(client, alice, charlie, answer):
    address = f"/chat/replies/{answer.pk}/probabilities/"
    client.force_login(alice)
    assert client.get(address).status_code == 404  # it has none
    TokenProbabilities.objects.create(
        reply=answer, tokens=[["<b>Hi", -0.1, [["<b>Hi", -0.1], ["Ho", -3.0]]], ["\n\n", -0.1, []]]
    )
    shown = client.get(address).content.decode()
    assert "&lt;b&gt;Hi" in shown
    assert "90.5" in shown
    assert ">↵↵</button><br><br>" in shown
    client.force_login(charlie)
    assert client.get(address).status_code == 404


def test_what_it_thought_is_kept_apart_from_what_it_said(answer):
    Reply.objects.filter(pk=answer.pk).update(status="queued")
    replies.record(report=Report(answer.pk.hex, str(answer.pk), "Hello", "stop", reasoning="Greet them."))
    answer.refresh_from_db()
    assert (answer.text, answer.reasoning) == ("Hello", "Greet them.")


# --- thumbs and flags ------------------------------------------------------------------------------------------


def test_a_thumb_is_given_changed_and_taken_back(client, alice, answer):
    client.force_login(alice)
    address = f"/chat/replies/{answer.pk}/rate/"

    sent = {"verdict": "bad", "reasons": ["incorrect", "too_long"], "comment": " Parrots\nfly. "}
    assert client.post(address, sent).json() == {"verdict": "bad"}
    kept = Feedback.objects.get()
    assert (kept.good, kept.reasons, kept.comment) == (False, ["incorrect", "too_long"], "Parrots fly.")

    client.post(address, {"verdict": "good"})
    assert Feedback.objects.get().good
    client.post(address, {"verdict": "none"})
    assert not Feedback.objects.exists()


def test_it_refuses_thumbs_that_are_none(client, alice, charlie, answer):
    address = f"/chat/replies/{answer.pk}/rate/"
    client.force_login(alice)
    assert client.post(address, {"verdict": "great"}).json()["error"]["field"] == "verdict"
    refused = client.post(address, {"verdict": "good", "reasons": "nice"})
    assert (refused.status_code, refused.json()["error"]["field"]) == (422, "reasons")
    client.force_login(charlie)
    assert client.post(address, {"verdict": "good"}).status_code == 404
    assert client.post(f"/chat/replies/{answer.pk}/flag/", {"reason": "x"}).status_code == 404
    Reply.objects.update(status="queued")
    with pytest.raises(Busy):
        feedback.rate(owner=alice, reply_id=answer.pk, good=True)


def test_a_flag_opens_one_case_with_the_answer_in_it(client, alice, answer):
    client.force_login(alice)
    address = f"/chat/replies/{answer.pk}/flag/"
    assert client.post(address, {"reason": " "}).status_code == 422

    for reason in ("rude", "very rude"):
        assert client.post(address, {"reason": reason}).json() == {"flagged": True}

    case = ModerationCase.objects.get()
    assert (case.reply, case.reason, case.excerpt, case.reported_by) == (answer, "very rude", "Hello", alice)


# --- presets ---------------------------------------------------------------------------------------------------


def test_a_preset_is_saved_overwritten_and_deleted(client, alice, charlie):
    client.force_login(alice)
    sent = {"name": " My  bird ", "system_prompt": "Sing.", "temperature": "0.5", "default": "true"}
    saved = client.post("/chat/presets/", sent).json()
    assert (saved["name"], saved["temperature"], saved["top_p"], saved["default"]) == (
        "My bird",
        0.5,
        None,
        True,
    )

    client.post("/chat/presets/", sent | {"name": "My bird", "temperature": "", "max_tokens": "9"})
    kept = Preset.objects.get()
    assert (kept.temperature, kept.max_tokens) == (None, 9)

    client.force_login(charlie)
    assert client.post(f"/chat/presets/{kept.pk}/delete/").status_code == 404
    client.force_login(alice)
    assert client.post(f"/chat/presets/{kept.pk}/delete/").json() == {"deleted": True}


def test_only_one_preset_is_the_default_and_new_conversations_begin_with_it(
    client, alice, parrot, workers_client
):
    for name in ("one", "two"):
        presets.save(owner=alice, name=name, settings={"system_prompt": f"I am {name}."}, default=True)
    assert [preset.name for preset in Preset.objects.filter(default=True)] == ["two"]
    client.force_login(alice)

    assert "I am two.</textarea>" in client.get("/chat/").content.decode()
    talk = make_conversation(alice)
    assert "I am two.</textarea>" not in client.get(f"/chat/{talk.pk}/").content.decode()


@pytest.mark.parametrize(
    ("sent", "field"),
    [
        ({"name": " "}, "name"),
        ({"name": "x" * 61}, "name"),
        ({"name": "x", "temperature": "hot"}, "temperature"),
        ({"name": "x", "temperature": "nan"}, "temperature"),
        ({"name": "x", "temperature": "3"}, "temperature"),
        ({"name": "x", "max_tokens": "1.5"}, "max_tokens"),
        ({"name": "x", "system_prompt": "x" * 20_001}, "system_prompt"),
    ],
)
def test_it_names_the_wrong_field_of_a_preset(client, alice, sent, field):
    client.force_login(alice)
    refused = client.post("/chat/presets/", sent)
    assert (refused.status_code, refused.json()["error"]["field"]) == (422, field)
    assert not Preset.objects.exists()


def test_there_is_an_end_of_presets(alice, monkeypatch):
    monkeypatch.setattr(presets, "MOST", 1)
    presets.save(owner=alice, name="one", settings={}, default=False)
    presets.save(owner=alice, name="one", settings={}, default=False)
    with pytest.raises(InvalidValue, match="Delete one first"):
        presets.save(owner=alice, name="two", settings={}, default=False)


# --- folders ---------------------------------------------------------------------------------------------------


def test_the_list_shows_pinned_ones_then_folders_then_days(alice):
    make_conversation(alice, title="loose")
    make_conversation(alice, title="old work", folder="work")
    make_conversation(alice, title="pinned", pinned=True, folder="work")
    make_conversation(alice, title="home", folder="Home")

    groups = selectors.grouped_by_day(selectors.sidebar(alice))

    assert [(group.label, [one.title for one in group.conversations], group.folder) for group in groups] == [
        ("Pinned", ["pinned"], False),
        ("Home", ["home"], True),
        ("work", ["old work"], True),
        ("Today", ["loose"], False),
    ]
    assert selectors.folders(alice) == ["Home", "work"]


def test_a_conversation_is_put_into_a_folder_and_out_again(client, alice, charlie):
    talk = make_conversation(alice)
    address = f"/chat/{talk.pk}/folder/"
    client.force_login(alice)

    listed = client.post(address, {"folder": " My \n work "}).content.decode()
    assert 'data-folder="My work"' in listed
    assert client.post(address, {"folder": "x" * 61}).status_code == 422
    client.post(address, {"folder": ""})
    talk.refresh_from_db()
    assert talk.folder == ""
    client.force_login(charlie)
    assert client.post(address, {"folder": "mine"}).status_code == 404
