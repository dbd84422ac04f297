"""Training data out of the arena's votes: which answer people preferred, and what was said in it.

Nothing in a record says who asked or voted. Each is named after its vote, so that a set can be traced back here and
a vote that is taken back can be found in it.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import NamedTuple

from django.db.models import Q, QuerySet

from arena.models import Battle, Vote
from arena.models import Conversation as Talk
from arena.selectors import battles, consent
from training.data.records import Conversation, Message, Preference

LEFT, RIGHT = "left", "right"


class Wanted(NamedTuple):
    """Which votes."""

    since: datetime | None = None
    languages: tuple[str, ...] = ()
    chat_models: tuple[str, ...] = ()
    """Only battles that one of these won; () is all."""


def preferences(wanted: Wanted = Wanted()) -> Iterator[Preference]:  # noqa: B008 - a constant
    """A pair for each vote for one side: prompt, preferred and other answers. From the first message on, since later
    ones differ from side to side."""
    for vote, battle, sides in _decided(wanted):
        system, first, left, right = sides
        chosen, rejected = (left, right) if vote.choice == LEFT else (right, left)
        names = (battle.left_name, battle.right_name)
        winner, loser = names if vote.choice == LEFT else names[::-1]
        prompt = (*system, first)
        extra = {**_about(battle), "chosen_model": winner, "rejected_model": loser}
        yield Preference(f"vote-{vote.pk}", prompt, tuple(chosen), tuple(rejected), extra)


def conversations(wanted: Wanted = Wanted()) -> Iterator[Conversation]:  # noqa: B008 - a constant
    """The preferred side of each vote, as a conversation to learn from."""
    for vote, battle, sides in _decided(wanted):
        system, first, left, right = sides
        chosen = left if vote.choice == LEFT else right
        name = battle.left_name if vote.choice == LEFT else battle.right_name
        yield Conversation(f"vote-{vote.pk}", (*system, first, *chosen), {**_about(battle), "model": name})


def most(wanted: Wanted = Wanted()) -> int:  # noqa: B008 - a constant
    """How many records there can be, by one question to the database: those whose answers are not whole fall away
    when they are drawn."""
    return _votes(wanted).count()


Sides = tuple[list[Message], Message, list[Message], list[Message]]


def _decided(wanted: Wanted) -> Iterator[tuple[Vote, Battle, Sides]]:
    """Votes for one side, each with what was said, as long as both sides have answered throughout."""
    votes = _votes(wanted).select_related("battle")
    for vote in votes.order_by("created_at", "pk").iterator(chunk_size=200):
        battle = vote.battle
        turns = battles.turns(battle)
        if turns and all(turn.comparable and turn.left.text and turn.right.text for turn in turns):
            yield vote, battle, _sides(battle, turns)


def _votes(wanted: Wanted) -> QuerySet[Vote]:
    left, right = Q(choice=Vote.Choice.LEFT), Q(choice=Vote.Choice.RIGHT)
    if wanted.chat_models:
        left &= Q(battle__left_name__in=wanted.chat_models)
        right &= Q(battle__right_name__in=wanted.chat_models)
    votes = Vote.objects.filter(left | right, battle__in=consent.learnable().order_by(), counted=True)
    if wanted.since:
        votes = votes.filter(created_at__gte=wanted.since)
    if wanted.languages:
        votes = votes.filter(battle__language__in=wanted.languages)
    return votes


def _sides(battle: Battle, turns: Sequence[battles.Turn]) -> Sides:
    prompts = Talk.objects.filter(battle=battle).values_list("system_prompt", flat=True)
    system = next((text for text in prompts if text), "")
    answers: dict[str, list[Message]] = {LEFT: [], RIGHT: []}
    for number, turn in enumerate(turns):
        for side, said in ((LEFT, turn.left), (RIGHT, turn.right)):
            if number:
                answers[side].append(Message("user", turn.prompt))
            answers[side].append(Message("assistant", said.text))
    head = [Message("system", system)] if system else []
    return head, Message("user", turns[0].prompt), answers[LEFT], answers[RIGHT]


def _about(battle: Battle) -> dict[str, object]:
    known = {"language": battle.language, "categories": list(battle.categories or ())}
    return {name: value for name, value in known.items() if value}
