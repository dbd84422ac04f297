"""People judge pairs without knowing whose they are."""

import re

import pytest
from django.core.exceptions import ValidationError
from django.urls import reverse

from evaluation.models import HumanVerdict, StoredAnswer
from evaluation.selectors import people
from evaluation.services import judging
from tests.evaluation.reading import HOSTILE, make_run, vote
from tests.factories import make_user

JUDGE = reverse("evaluation:judge")


@pytest.fixture
def staff(db):
    return make_user("sam", is_staff=True)


@pytest.fixture
def run(db):
    return make_run(amount=3)


def found(pattern: str, response) -> str:
    match = re.search(pattern, response.content.decode(), re.S)
    assert match
    return match[1]


def ticket(response) -> str:
    return found(r'name="ticket" value="([^"]+)"', response)


def next_pair(person) -> people.Pair:
    pair = people.next_pair(person)
    assert pair
    return pair


@pytest.mark.parametrize(
    ("side", "swapped", "winner"),
    [
        ("left", False, "model_1"),
        ("right", False, "model_2"),
        ("left", True, "model_2"),
        ("right", True, "model_1"),
        ("tie", False, "tie"),
        ("tie", True, "tie"),
    ],
)
def test_it_maps_sides_back_to_chat_models(side, swapped, winner):
    assert judging.winner(side, swapped=swapped) == winner


def test_it_never_writes_a_name_into_the_page(client, staff, run):
    client.force_login(staff)
    page = client.get(JUDGE).content.decode()
    assert "says 1 to" in page
    for name in run.chat_models:
        assert name not in page
    assert str(run.pk) not in page


def test_it_records_the_choice_for_the_model_that_was_on_that_side(client, staff, run):
    client.force_login(staff)
    response = client.get(JUDGE)
    left = found(r'<article class="answer">.*?<div class="written"[^>]*>(\w+) says', response)
    assert client.post(JUDGE, {"ticket": ticket(response), "side": "left"}).status_code == 302
    verdict = HumanVerdict.objects.get()
    assert getattr(verdict, verdict.winner) == left[::-1]
    assert verdict.person == staff
    assert verdict.seconds is not None


def test_it_shows_both_orders_sooner_or_later(client, staff):
    run = make_run(amount=12)
    client.force_login(staff)
    for _ in range(24):
        response = client.get(JUDGE)
        client.post(JUDGE, {"ticket": ticket(response), "side": "tie"})
    assert HumanVerdict.objects.filter(run=run).count() == 24
    # The odds that 24 fair coins fall alike are 2^-23.
    assert set(HumanVerdict.objects.values_list("swapped", flat=True)) == {True, False}


def test_it_shows_the_same_pair_the_same_way_round_after_a_reload(client, staff, run):
    client.force_login(staff)
    first, again = client.get(JUDGE), client.get(JUDGE)
    assert ticket(first) == ticket(again)


def test_it_counts_a_pair_once_per_person(client, staff, run):
    client.force_login(staff)
    old = ticket(client.get(JUDGE))
    client.post(JUDGE, {"ticket": old, "side": "left"})
    response = client.post(JUDGE, {"ticket": old, "side": "right"}, follow=True)
    assert "too old to count" in response.content.decode()
    assert HumanVerdict.objects.count() == 1


def test_it_keeps_the_first_of_two_verdicts_that_race(staff, run):
    pair = next_pair(staff)
    handed = judging.Handed("t", pair, False, 0.0)
    first = judging.record(person=staff, handed=handed, side="left")
    assert judging.record(person=staff, handed=handed, side="right") == first
    assert HumanVerdict.objects.get().winner == "model_1"


@pytest.mark.parametrize("side", ["", "middle", "model_1"])
def test_it_refuses_a_side_that_is_none(client, staff, run, side):
    client.force_login(staff)
    response = client.post(JUDGE, {"ticket": ticket(client.get(JUDGE)), "side": side}, follow=True)
    assert "Choose left, right or tie." in response.content.decode()
    assert not HumanVerdict.objects.exists()
    with pytest.raises(ValidationError):
        judging.record(person=staff, handed=judging.Handed("t", next_pair(staff), False, 0), side=side)


def test_it_does_not_take_another_persons_ticket(client, staff, run, bob):
    client.force_login(staff)
    stolen = ticket(client.get(JUDGE))
    bob.is_staff = True
    bob.save()
    client.logout()
    client.force_login(bob)
    client.post(JUDGE, {"ticket": stolen, "side": "left"})
    assert not HumanVerdict.objects.exists()


def test_it_wants_a_second_opinion_before_a_new_pair_and_a_third_last(staff, alice, bob, run):
    vote(run, alice, "2")
    vote(run, alice, "3")
    vote(run, bob, "3")
    order = [(pair.question_id, pair.turn) for pair in people.waiting(staff, run)]
    assert order[0] == ("2", 1)
    assert order[-1] == ("3", 1)


def test_it_ends_when_a_person_has_judged_everything(client, staff, run):
    for pair in people.waiting(staff, run):
        judging.record(person=staff, handed=judging.Handed("t", pair, False, 0), side="tie")
    client.force_login(staff)
    assert "Nothing left to judge" in client.get(JUDGE).content.decode()


def test_it_asks_only_about_answers_that_differ_and_are_complete(staff, run):
    StoredAnswer.objects.filter(question_id="1").update(turns=["same", "same"])
    StoredAnswer.objects.filter(question_id="2", chat_model="poet").update(complete=False)
    assert {pair.question_id for pair in people.judgeable(run)} == {"3"}


def test_it_compares_only_with_the_baseline_when_there_is_one(staff):
    run = make_run(amount=2, chat_models=("a", "b", "c"), mode="pairwise-baseline", baseline="b")
    assert {(pair.model_1, pair.model_2) for pair in people.judgeable(run)} == {("a", "b"), ("c", "b")}


def test_it_shows_hostile_answers_as_text(client, staff, run):
    StoredAnswer.objects.update(turns=[HOSTILE, HOSTILE])
    StoredAnswer.objects.filter(chat_model="poet").update(turns=[HOSTILE + "!", HOSTILE])
    client.force_login(staff)
    page = client.get(JUDGE).content.decode()
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert" in page


def test_it_is_closed_to_those_who_may_not_judge(client, charlie, run):
    assert client.get(JUDGE).status_code == 302
    client.force_login(charlie)
    assert client.get(JUDGE).status_code == 403
    assert client.post(JUDGE, {"side": "left"}).status_code == 403


@pytest.mark.parametrize("wanted", ["nonsense", "00000000-0000-0000-0000-000000000000"])
def test_it_answers_404_to_a_run_that_is_none(client, staff, run, wanted):
    client.force_login(staff)
    assert client.get(JUDGE, {"run": wanted}).status_code == 404
