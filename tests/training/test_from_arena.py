"""`manage.py data from-arena`: only what people let us use, and nothing that says who they are."""

import pytest
from django.core.management.base import CommandError

from arena.models import Battle, Conversation, ModerationCase, Reply, Vote
from arena.services import terms
from tests.factories import make_chat_model, make_user
from tests.training.test_data_command import rows, run

pytestmark = pytest.mark.django_db


@pytest.fixture
def player():
    person = make_user("zelda")
    terms.accept(user=person)
    return person


def fought(owner, *turns, choice=Vote.Choice.LEFT, system="", status=Reply.Status.FINISHED, **values):
    """A battle; each turn is (prompt, left answer, right answer)."""
    counted = values.pop("counted", True)
    made = Battle.objects.create(owner=owner, left_name="zanzibar", right_name="quokka", **values)
    model = make_chat_model()
    for index, side in enumerate((Conversation.Side.LEFT, Conversation.Side.RIGHT), start=1):
        talk = Conversation.objects.create(
            owner=owner or make_user(), battle=made, side=side, chat_model=model, system_prompt=system
        )
        for position, turn in enumerate(turns, start=1):
            message = talk.messages.create(position=position, text=turn[0])
            message.replies.create(
                chat_model=model, chat_model_name=model.name, status=status, text=turn[index]
            )
    return Vote.objects.create(battle=made, voter=owner, voter_key="key", choice=choice, counted=counted)


TURN = ("Why is the sky blue?", "Because of Rayleigh scattering.", "It is not.")


@pytest.fixture
def drawn(tmp_path):
    def draw(*arguments):
        run("from-arena", "--out", tmp_path / "out.jsonl", *arguments)
        return rows(tmp_path / "out.jsonl")

    return draw


def test_a_vote_becomes_a_pair(player, drawn):
    vote = fought(player, TURN, choice=Vote.Choice.RIGHT, language="en", system="Be brief.")
    assert drawn() == [
        {
            "id": f"vote-{vote.pk}",
            "prompt": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": TURN[0]}],
            "chosen": [{"role": "assistant", "content": TURN[2]}],
            "rejected": [{"role": "assistant", "content": TURN[1]}],
            "language": "en",
            "chosen_model": "quokka",
            "rejected_model": "zanzibar",
        }
    ]


def test_each_side_of_a_long_battle_keeps_its_own_answers(player, drawn):
    fought(player, TURN, ("And at night?", "Then it is black.", "Green."))
    (pair,) = drawn()
    assert [message["content"] for message in pair["chosen"]] == [
        TURN[1],
        "And at night?",
        "Then it is black.",
    ]
    assert [message["content"] for message in pair["rejected"]] == [TURN[2], "And at night?", "Green."]


def test_the_preferred_side_becomes_a_conversation(player, drawn):
    fought(player, TURN)
    (row,) = drawn("--kind", "conversations")
    assert [message["content"] for message in row["messages"]] == [TURN[0], TURN[1]]
    assert row["model"] == "zanzibar"


def test_nothing_says_who_asked(player, drawn):
    vote = fought(player, TURN)
    said = str(drawn())
    for secret in (player.username, str(vote.battle_id), "key"):
        assert secret not in said


def test_ties_and_votes_that_do_not_count_teach_nothing(player, drawn):
    fought(player, TURN, choice=Vote.Choice.TIE)
    fought(player, TURN, choice=Vote.Choice.BOTH_BAD)
    fought(player, TURN, counted=False)
    fought(player, TURN, status=Reply.Status.FAILED)
    assert drawn() == []


def test_without_consent_nothing_is_drawn(drawn):
    fought(make_user(), TURN)
    assert drawn() == []


def test_a_deleted_account_takes_its_words_along(player, drawn):
    fought(player, TURN)
    assert len(drawn()) == 1
    player.delete()
    assert drawn() == []


def test_what_is_flagged_stays_out_until_it_is_dismissed(player, drawn):
    vote = fought(player, TURN)
    case = ModerationCase.objects.create(battle=vote.battle, origin=ModerationCase.Origin.FLAG)
    assert drawn() == []
    case.status = ModerationCase.Status.DISMISSED
    case.save()
    assert len(drawn()) == 1


def test_imported_battles_stay_out(player, drawn):
    fought(player, TURN, source="llmfao", external_id="1")
    assert drawn() == []


def test_personal_data_is_hidden_unless_told_otherwise(player, drawn):
    fought(player, ("I am ann@example.org. Who are you?", "A model called zanzibar.", "I will not say it."))
    assert drawn()[0]["prompt"][0]["content"] == "I am [EMAIL]. Who are you?"
    assert "ann@example.org" in drawn("--personal", "keep")[0]["prompt"][0]["content"]
    assert drawn("--personal", "drop") == []


def test_it_draws_by_day_language_and_winner(player, drawn):
    fought(player, TURN, language="en")
    assert len(drawn("--lang", "en", "--winner", "zanzibar", "--since", "2020-01-01")) == 1
    assert drawn("--lang", "de") == drawn("--winner", "quokka") == drawn("--since", "2999-01-01") == []
    with pytest.raises(CommandError, match="not a day"):
        drawn("--since", "yesterday")
