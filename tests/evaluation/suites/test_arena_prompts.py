"""Questions from the arena: only what people let us use, and nothing that says who they are."""

import pytest

from arena.models import Battle, Conversation, ModerationCase, Vote
from arena.services import terms
from chatsite.accounts.models import User
from evaluation.errors import CannotEvaluate
from evaluation.records import Question
from evaluation.selectors import arena_prompts
from evaluation.services import suites
from tests.factories import make_chat_model, make_user
from workers.models import ChatModel

pytestmark = pytest.mark.django_db


@pytest.fixture
def player(alice: User) -> User:
    terms.accept(user=alice)
    return alice


def battle(
    owner: User | None, *texts: str, counted: bool = True, voted: bool = True, **values: object
) -> Battle:
    made = Battle.objects.create(owner=owner, left_name="zanzibar", right_name="quokka", **values)
    chat_model = ChatModel.objects.filter(name="zanzibar").first() or make_chat_model("zanzibar")
    for side in Conversation.Side.values:
        talk = Conversation.objects.create(
            owner=owner or make_user(), battle=made, side=side, chat_model=chat_model
        )
        for position, text in enumerate(texts, start=1):
            talk.messages.create(position=position, text=text)
    if voted:
        Vote.objects.create(battle=made, voter=owner, choice=Vote.Choice.LEFT, counted=counted)
    return made


def asked(size: int = 100) -> list[tuple[str, ...]]:
    return [question.turns for question in arena_prompts.draw(size=size).questions]


def test_it_takes_all_messages_of_a_battle_as_turns(player):
    battle(player, "Why is the sky blue?", "And at night?", language="en", categories=["science", "short"])
    (question,) = arena_prompts.draw().questions
    assert question.turns == ("Why is the sky blue?", "And at night?")
    assert question.category == "science"
    assert question.extra == {"language": "en"}


def test_it_says_neither_who_asked_nor_who_answered(player):
    made = battle(player, "Why is the sky blue?")
    said = str(arena_prompts.draw())
    for secret in (player.username, str(made.pk), "zanzibar", "quokka"):
        assert secret not in said


def test_it_takes_nothing_from_someone_who_has_not_accepted_the_terms(alice):
    battle(alice, "Why is the sky blue?")
    assert asked() == []


def test_it_takes_nothing_without_a_vote_that_counts(player):
    battle(player, "No vote", voted=False)
    battle(player, "Not counted", counted=False)
    assert asked() == []


def test_it_takes_nothing_from_a_deleted_account_or_an_import(player):
    battle(None, "Orphan")
    battle(player, "Imported", source="elsewhere", external_id="1")
    assert asked() == []


def test_a_flag_keeps_a_battle_out_until_it_is_dismissed(player):
    made = battle(player, "Flagged")
    case = ModerationCase.objects.create(battle=made, origin=ModerationCase.Origin.FLAG, reason="Rude")
    assert asked() == []
    case.status = ModerationCase.Status.DISMISSED
    case.save()
    assert asked() == [("Flagged",)]


@pytest.mark.parametrize(
    "text",
    [
        "Write to kim@post.example",
        "Call +49 (170) 123 45-67",
        "My card is 4111 1111 1111 1111",
        " ",
        "x" * 9000,
    ],
)
def test_it_leaves_out_what_may_be_personal_and_what_is_no_question(player, text):
    battle(player, text)
    battle(player, "Fine", text)
    assert asked() == []


@pytest.mark.parametrize("text", ["What happened in 1984, 1989 and 1991?", "Meet @ noon", "12345 + 678"])
def test_ordinary_numbers_and_signs_are_no_reason(player, text):
    battle(player, text)
    assert asked() == [(text,)]


def test_the_same_message_counts_once_whatever_its_case_and_blanks(player):
    battle(player, "Why is the sky blue?")
    battle(player, "why  is the SKY blue? ")
    assert asked() == [("Why is the sky blue?",)]


def test_it_takes_equally_many_of_each_category(player):
    for number in range(6):
        battle(player, f"Code {number}", categories=["coding"])
    battle(player, "Poem", categories=["writing"])
    battle(player, "Something")
    categories = [question.category for question in arena_prompts.draw(size=4).questions]
    assert categories == ["arena", "coding", "coding", "writing"]


def test_the_same_battles_give_the_same_suite(player):
    for number in range(5):
        battle(player, f"Question {number}")
    assert arena_prompts.draw(size=3) == arena_prompts.draw(size=3)


def test_its_number_of_queries_does_not_grow(player, django_assert_num_queries):
    for number in range(4):
        battle(player, f"Question {number}")
    with django_assert_num_queries(2):
        arena_prompts.draw()


def test_a_run_takes_it_by_name_and_size(player):
    for number in range(3):
        battle(player, f"Question {number}")
    assert [len(suites.load(source).questions) for source in ("arena", "arena:2")] == [3, 2]
    assert all(isinstance(question, Question) for question in suites.load("arena").questions)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("arena", "no messages to draw from"),
        ("arena:0", "no size"),
        ("arena:9999", "2000"),
        ("arena:x", "no size"),
    ],
)
def test_it_refuses_with_a_remedy(source, message):
    with pytest.raises(CannotEvaluate, match=message):
        suites.load(source)
