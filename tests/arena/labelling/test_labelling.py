"""Labels move votes between slices; whoever is trusted more has the last word."""

import json
from datetime import timedelta
from typing import Any

import pytest
from celery import current_app
from django.contrib.auth.models import Permission
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from kombu.exceptions import OperationalError

from arena import tasks
from arena.errors import InvalidValue
from arena.labelling import judging
from arena.models import Battle, Category, PairCounter, Topic, Vote
from arena.models.battles import Labeller
from arena.selectors import leaderboard
from arena.selectors.leaderboard import Query
from arena.services import counting, labelling
from tests.arena.leaderboard.conftest import make_vote
from tests.factories import make_user
from tests.fakes import InProcessClient
from workers import client as workers
from workers.protocol import Constraint

pytestmark = pytest.mark.django_db
HAIKU = {"prompt": "Write a haiku about rain", "left": "Drip", "right": "Drop"}


@pytest.fixture(autouse=True)
def _nothing_solved_yet():
    for kept in (leaderboard._solved, leaderboard._slices, leaderboard._slice_votes, leaderboard._monthly):
        kept.cache_clear()


@pytest.fixture
def vote(settings, monkeypatch) -> Vote:
    """On an imported text, as the tests need no conversations for it."""
    settings.ARENA_CATEGORY_JUDGE = "judge"
    # Held to a schema, the scripted engine makes up its own JSON instead of saying its script.
    monkeypatch.setattr(labelling, "_keeps_to_schemas", lambda judge: False)
    vote = make_vote("a", "b", "left", language="en", categories=["creative", "own"])
    vote.battle.turns = [HAIKU]
    vote.battle.save()
    Vote.objects.filter(pk=vote.pk).update(created_at=timezone.now())
    counting.rebuild()
    return vote


def slices() -> set[str]:
    return {row.slice for row in PairCounter.objects.filter(period="") if row.left_wins}


def says(client: InProcessClient, *names: str) -> None:
    """The judge answers that these categories hold."""
    answer = json.dumps(dict.fromkeys(judging.ASKED, False) | dict.fromkeys(names, True))
    client.host_script("judge", f"reply={answer}")


def test_a_vote_moves_to_the_slices_of_its_new_labels(vote):
    before = leaderboard.board(Query()).standings
    assert labelling.relabel(
        battle=vote.battle,
        language="de",
        categories=["Maths", " long answers ", "maths", ""],
        labeller=Labeller.OPERATOR,
    )
    battle = Battle.objects.get()
    assert (battle.language, battle.categories, battle.labelled_by) == (
        "de",
        ["maths", "long_answers"],
        "operator",
    )
    assert slices() == {"all", "language:de", "category:maths", "category:long_answers"}
    assert leaderboard.board(Query()).standings == before
    kept = sorted(PairCounter.objects.filter(left_wins__gt=0).values_list("slice", "period", "left_wins"))
    counting.rebuild()
    assert sorted(PairCounter.objects.values_list("slice", "period", "left_wins")) == kept


def test_a_vote_that_does_not_count_moves_nothing(vote):
    Vote.objects.update(counted=False)
    counting.rebuild()
    labelling.relabel(battle=vote.battle, language="de", categories=["maths"], labeller=Labeller.OPERATOR)
    assert slices() == set()


def test_whoever_is_trusted_less_changes_nothing(vote):
    labelling.relabel(battle=vote.battle, language="en", categories=["maths"], labeller=Labeller.OPERATOR)
    for labeller in (Labeller.RULES, Labeller.JUDGE):
        assert not labelling.relabel(battle=vote.battle, language="xx", categories=[], labeller=labeller)
    assert Battle.objects.get().categories == ["maths"]
    assert labelling.relabel(battle=vote.battle, language="en", categories=[], labeller=Labeller.OPERATOR)


@pytest.mark.parametrize(("language", "names"), [("x" * 17, []), ("en", ["y" * 61])])
def test_labels_that_fit_no_slice_are_refused_whole(vote, language, names):
    before = slices()
    with pytest.raises(InvalidValue):
        labelling.relabel(battle=vote.battle, language=language, categories=names, labeller=Labeller.OPERATOR)
    assert slices() == before


def test_the_judge_decides_and_what_came_with_the_battle_stays(vote, workers_client):
    says(workers_client, "hard")
    tasks.judge_categories()
    battle = Battle.objects.get()
    assert (battle.categories, battle.labelled_by) == (["own", "hard"], "judge")
    assert slices() == {"all", "language:en", "category:own", "category:hard"}
    (request,) = workers_client.requests
    assert "Write a haiku about rain" in request.messages[0].content
    assert "Drip" not in request.messages[0].content
    assert request.sampling.temperature == 0
    assert labelling.judge_recent() == 0  # it is not asked twice


def test_the_judge_is_held_to_the_schema_where_its_worker_can_do_that(vote, workers_client, monkeypatch):
    says(workers_client)
    monkeypatch.setattr(labelling, "_keeps_to_schemas", lambda judge: True)
    sent: list[Any] = []
    monkeypatch.setattr(workers, "submit", sent.append)
    monkeypatch.setattr(workers, "follow", lambda request_id: iter(()))
    labelling.judge_recent()
    assert sent[0].constraint == Constraint("json_schema", json.dumps(judging.SCHEMA))


def test_an_answer_that_cannot_be_read_leaves_the_rules_labels_for_good(vote, workers_client):
    workers_client.host_script("judge", "reply=It is a poem.")
    assert labelling.judge_recent() == 1
    battle = Battle.objects.get()
    assert (battle.categories, battle.labelled_by) == (["own", "creative"], "judge")
    assert labelling.judge_recent() == 0


def test_a_judge_that_is_away_is_asked_another_time(vote, workers_client):
    assert labelling.judge_recent() == 0
    assert Battle.objects.get().labelled_by == "rules"
    says(workers_client, "creative")
    assert labelling.judge_recent() == 1


def test_without_a_judge_nobody_is_asked(vote, workers_client, settings):
    settings.ARENA_CATEGORY_JUDGE = ""
    says(workers_client, "hard")
    assert labelling.judge_recent() == 0
    assert workers_client.requests == []


def test_a_run_of_the_judge_ends(vote, workers_client, monkeypatch):
    """After so many battles, and after so much time."""
    for _ in range(4):
        other = make_vote("a", "b", "left", at=timezone.now())
        Battle.objects.filter(pk=other.battle.pk).update(turns=[HAIKU])
    says(workers_client, "creative")
    monkeypatch.setattr(labelling, "AT_ONCE", 2)
    assert labelling.judge_recent() == 2
    monkeypatch.setattr(labelling, "RUN_FOR", -1.0)
    assert labelling.judge_recent() == 0


def test_old_and_imported_battles_are_not_judged(vote, workers_client):
    says(workers_client, "hard")
    Vote.objects.update(created_at=timezone.now() - timedelta(days=30))
    assert labelling.judge_recent() == 0
    Vote.objects.update(created_at=timezone.now())
    Battle.objects.update(source="llmfao")
    assert labelling.judge_recent() == 0


def test_topics_replace_those_of_the_last_search():
    for number in range(12):
        words = ("planet orbit moon", "bread oven dough")[number % 2]
        turn = {
            "prompt": f"Tell {words} {'gravity' if number < 6 else 'yeast'} {number}",
            "left": "",
            "right": "",
        }
        Battle.objects.create(
            left_name="a", right_name="b", turns=[turn], source="file", external_id=str(number)
        )
    Topic.objects.create(words=["old"], prompts=1, share=1.0, examples=[], searched_at=timezone.now())
    tasks.find_topics()
    found = list(Topic.objects.all())
    assert 1 <= len(found) <= 4
    assert "old" not in str(found)
    assert sum(topic.prompts for topic in found) <= 12
    assert found[0].share == pytest.approx(found[0].prompts / 12)
    assert found[0].examples[0].startswith("Tell ")


def test_no_prompts_are_no_topics():
    assert labelling.find_topics() == 0


# --- the admin ---


@pytest.fixture
def operator() -> Client:
    client = Client()
    client.force_login(make_user("operator", is_staff=True, is_superuser=True))
    return client


def labels_of(battle: Battle) -> str:
    return reverse("admin:arena_battle_labels", args=[battle.pk])


def test_an_operator_labels_a_battle_on_its_page(operator, vote):
    page = operator.get(reverse("admin:arena_battle_change", args=[vote.battle_id])).content.decode()
    assert 'value="creative" checked' in page
    assert 'value="maths">' in page
    answer = operator.post(
        labels_of(vote.battle),
        {"language": "DE", "category": ["maths", "own"], "more": "law, tax law"},
        follow=True,
    )
    assert "Labelled." in answer.content.decode()
    battle = Battle.objects.get()
    assert (battle.language, battle.categories, battle.labelled_by) == (
        "de",
        ["maths", "own", "law", "tax_law"],
        "operator",
    )


def test_a_label_that_is_too_long_is_refused_in_a_sentence(operator, vote):
    answer = operator.post(labels_of(vote.battle), {"language": "en", "more": "x" * 70}, follow=True)
    assert "is longer than 60 characters" in answer.content.decode()


def test_staff_who_may_only_look_label_nothing(vote):
    viewer = make_user("viewer", is_staff=True)
    viewer.user_permissions.add(Permission.objects.get(codename="view_battle"))
    client = Client()
    client.force_login(viewer)
    page = client.get(reverse("admin:arena_battle_change", args=[vote.battle_id])).content.decode()
    assert 'class="labels"' not in page
    assert client.post(labels_of(vote.battle), {"language": "de"}).status_code == 403
    assert client.get(labels_of(vote.battle)).status_code == 403


def test_an_action_labels_again_by_the_rules(operator, vote):
    Battle.objects.update(categories=["coding"])
    action = {"action": "label_again", "_selected_action": [str(vote.battle_id)]}
    page = operator.post(reverse("admin:arena_battle_changelist"), action, follow=True).content.decode()
    assert "1 labelled." in page
    assert Battle.objects.get().categories == ["creative"]
    Battle.objects.update(labelled_by="operator")
    page = operator.post(reverse("admin:arena_battle_changelist"), action, follow=True).content.decode()
    assert "1 kept: labelled by a judge or an operator" in page


def test_operators_name_categories_and_take_them_off_the_board(operator, vote, settings):
    settings.PUBLIC_LEADERBOARD = True
    html = Client().get("/leaderboard/").content.decode()
    assert "Creative writing (1)" in html
    assert "own (1)" in html
    Category.objects.create(slug="creative", title="Poetry & prose")
    Category.objects.create(slug="own", title="Own", offered=False)
    html = Client().get("/leaderboard/").content.decode()
    assert "Poetry &amp; prose (1)" in html
    assert "Own (1)" not in html
    answer = operator.post("/admin/arena/category/add/", {"slug": "Not a slug!", "title": "x"})
    assert "Small letters, digits" in answer.content.decode()


def test_a_button_looks_for_topics(operator, monkeypatch):
    sent: list[str] = []
    monkeypatch.setattr(current_app, "send_task", lambda name, **options: sent.append(name))
    Topic.objects.create(
        words=["planet", "orbit"],
        prompts=3,
        share=0.5,
        examples=["<b>Which</b> planet?"],
        searched_at=timezone.now(),
    )
    page = operator.get("/admin/arena/topic/").content.decode()
    assert "planet · orbit" in page
    assert "&lt;b&gt;Which" in page
    assert "begun" in operator.post("/admin/arena/topic/search/", follow=True).content.decode()
    assert sent == ["arena.find_topics"]
    assert operator.get("/admin/arena/topic/search/").status_code == 405

    def away(name, **options):
        raise OperationalError("away")

    monkeypatch.setattr(current_app, "send_task", away)
    assert "broker is away" in operator.post("/admin/arena/topic/search/", follow=True).content.decode()
