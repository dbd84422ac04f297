"""What the database itself guarantees about battles and votes."""

import pytest
from django.db import IntegrityError, transaction

from arena.models import Battle, Vote
from arena.models.battles import fingerprint
from arena.selectors import battles

pytestmark = pytest.mark.django_db


def make_vote(choice: str = "left", **values: object) -> Vote:
    battle = Battle.objects.create(left_name="ada", right_name="bob", propensity=0.5)
    return Vote.objects.create(battle=battle, choice=choice, **values)


def test_it_keeps_a_second_vote_on_a_battle_out() -> None:
    vote = make_vote()
    with pytest.raises(IntegrityError), transaction.atomic():
        Vote.objects.create(battle=vote.battle, choice="right")
    assert Vote.objects.count() == 1


def test_it_imports_a_battle_once_but_lets_two_sources_use_the_same_id() -> None:
    def imported(source: str) -> None:
        Battle.objects.create(left_name="a", right_name="b", source=source, external_id="1")

    imported("llmfao")
    imported("lmsys")
    with pytest.raises(IntegrityError), transaction.atomic():
        imported("llmfao")


def test_it_reads_only_votes_that_count_in_the_order_they_were_cast() -> None:
    make_vote("left", voter_key="u1", weight=0.5)
    make_vote("right", counted=False)
    make_vote("tie")
    outcomes = list(battles.outcomes())
    assert [outcome.choice for outcome in outcomes] == ["left", "tie"]
    assert outcomes[0].left == "ada"
    assert (outcomes[0].voter, outcomes[0].weight, outcomes[0].propensity) == ("u1", 0.5, 0.5)


def test_it_gives_prompts_that_differ_in_case_and_blanks_one_fingerprint() -> None:
    assert fingerprint(" Hello  THERE\n") == fingerprint("hello there") != fingerprint("hello where")
