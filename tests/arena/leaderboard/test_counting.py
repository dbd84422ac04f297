"""The counters follow each vote, and counting anew gives the same."""

from datetime import UTC, datetime
from importlib import import_module
from types import SimpleNamespace

import pytest
from django.apps import apps
from django.core.management import CommandError, call_command
from django.db import connection, transaction

from arena.models import BattleStyle, CounterVersion, PairCounter, Vote
from arena.services import counting
from tests.arena.leaderboard.conftest import counters, make_vote

pytestmark = pytest.mark.django_db


def version() -> int:
    return CounterVersion.objects.get(pk=1).number


def test_it_counts_a_vote_in_every_slice_and_period():
    make_vote("a", "b", "left", language="de", categories=["coding"], weight=0.5)
    expected = (1, 0, 0, 0, 0.5, 0, 0, 0.25, 0, 0)
    assert counters() == {
        (name, period, "a", "b"): expected
        for name in ("all", "language:de", "category:coding")
        for period in ("", "2026-03", "2026-03-0x", "2026-03-05")
    }


def test_it_keeps_left_and_right_apart():
    make_vote("a", "b", "left")
    make_vote("b", "a", "right")
    found = counters()
    assert found["all", "", "a", "b"][:2] == (1, 0)
    assert found["all", "", "b", "a"][:2] == (0, 1)


def test_it_counts_a_tie_and_both_bad_apart_but_weighs_them_alike():
    make_vote("a", "b", "tie")
    make_vote("a", "b", "both_bad", weight=2.0)
    assert counters()["all", "", "a", "b"] == (0, 0, 1, 1, 0, 0, 3.0, 0, 0, 5.0)


def test_it_does_not_count_a_vote_that_was_left_out_from_the_start():
    make_vote("a", "b", "left", counted=False)
    assert counters() == {}


def test_it_takes_a_vote_out_and_lets_it_in_again():
    vote = make_vote("a", "b", "left", categories=["maths"])
    before = counters()
    vote.counted = False
    vote.save()
    counting.vote_changed(vote)
    assert counters() == {}
    vote.counted = True
    vote.save()
    counting.vote_changed(vote)
    assert counters() == before


def test_a_second_call_for_the_same_vote_changes_nothing():
    vote = make_vote("a", "b", "left")
    before, number = counters(), version()
    counting.vote_changed(vote)
    assert (counters(), version()) == (before, number)


def test_counting_anew_gives_what_the_votes_gave_one_by_one():
    make_vote("a", "b", "left", language="en", categories=["coding", "long"])
    make_vote("a", "b", "both_bad", weight=0.25)
    make_vote("b", "c", "tie", at=datetime(2026, 4, 1, tzinfo=UTC))
    make_vote("b", "c", "right", counted=False)
    step_by_step = counters()
    PairCounter.objects.all().delete()
    Vote.objects.update(entered=False)
    assert counting.rebuild() == 3
    assert counters() == step_by_step
    assert Vote.objects.filter(entered=True).count() == 3


def test_counting_anew_follows_new_labels():
    vote = make_vote("a", "b", "left", categories=["coding"])
    vote.battle.categories = ["maths"]
    vote.battle.save()
    counting.rebuild()
    assert {row[0] for row in counters()} == {"all", "category:maths"}


def test_counting_anew_puts_right_what_is_too_much_and_drops_what_counts_nothing():
    make_vote("a", "b", "left", weight=0.1)
    make_vote("a", "b", "left", weight=0.2)
    right = counters()
    PairCounter.objects.filter(period="").update(left_wins=7, tie_weight=0.5)
    PairCounter.objects.create(slice="category:gone", left="a", right="b", ties=3, tie_weight=3)
    counting.rebuild()
    assert counters() == right
    assert not PairCounter.objects.filter(slice="category:gone").exists()


def test_a_recount_leaves_alone_what_is_right(django_assert_max_num_queries):
    for choice in ("left", "right", "tie"):
        make_vote("a", "b", choice, language="en", categories=["coding", "long"], weight=0.1)
    with django_assert_max_num_queries(12) as asked:
        counting.rebuild()
    assert not [query for query in asked if "ON CONFLICT" in query["sql"]]


def test_an_earlier_recount_gives_way_to_a_later_one(monkeypatch):
    make_vote("a", "b", "left")
    right = counters()
    PairCounter.objects.all().delete()
    counted = counting._count

    def count_while_another_begins() -> tuple[counting.Totals, int]:
        found = counted()
        monkeypatch.setattr(counting, "_count", counted)
        counting.rebuild()
        return found

    monkeypatch.setattr(counting, "_count", count_while_another_begins)
    # The first one reads the counters before the second one has put them right.
    monkeypatch.setattr(counting, "_subtract_counters", lambda totals: None)
    with pytest.raises(CommandError, match="Another recount has begun"):
        call_command("arena", "recount")
    assert counters() == right


def test_a_vote_that_is_rolled_back_leaves_no_trace():
    make_vote("a", "b", "left")
    before, number = counters(), version()

    def cast_and_fail() -> None:
        with transaction.atomic():
            make_vote("a", "b", "right")
            raise RuntimeError("after the vote")

    with pytest.raises(RuntimeError, match="after the vote"):
        cast_and_fail()
    assert (counters(), version()) == (before, number)


def test_the_day_is_that_of_utc():
    assert counting.day_of(datetime.fromisoformat("2026-03-05T23:30:00-05:00")) == "2026-03-06"


def test_a_vote_costs_few_queries(django_assert_max_num_queries):
    make_vote("a", "b", "left", language="en", categories=["coding", "long", "hard"])
    vote = make_vote("a", "b", "left", counted=False, language="en", categories=["coding", "long", "hard"])
    vote.counted = True
    vote.save()
    with django_assert_max_num_queries(7):
        counting.vote_changed(vote)


def test_a_vote_counts_while_the_broker_is_away(settings, django_capture_on_commit_callbacks):
    away = {"hosts": ["redis://127.0.0.1:1"]}
    settings.CHANNEL_LAYERS = {
        "default": {"BACKEND": "channels_redis.core.RedisChannelLayer", "CONFIG": away}
    }
    with django_capture_on_commit_callbacks(execute=True):
        make_vote("a", "b", "left")
    assert counters()


def test_a_vote_notes_the_style_of_the_answers():
    vote = make_vote("a", "b", "left", counted=False)
    vote.battle.turns = [{"prompt": "Why?", "left": "- x\n- y", "right": "**z**"}]
    vote.battle.save()
    vote.counted = True
    vote.save()
    counting.vote_changed(vote)
    style = BattleStyle.objects.get()
    assert (style.left_lists, style.right_bold, style.left_length) == (2, 1, 4)


def test_counters_of_before_get_their_thirds_of_months():
    """What the migration makes of the days is what counting anew makes of the votes."""
    migration = import_module("arena.migrations.0014_thirds_of_months")
    for day in (1, 10, 11, 20, 21, 31):
        make_vote("a", "b", "left", at=datetime(2026, 3, day, 12, tzinfo=UTC), weight=day, language="de")
        make_vote("b", "a", "tie", at=datetime(2026, 2, min(day, 28), 12, tzinfo=UTC))
    before = counters()
    with connection.cursor() as cursor:
        # SQLite's own editor does not work inside a test's transaction.
        editor = SimpleNamespace(
            quote_name=connection.ops.quote_name,
            execute=lambda statement, params: cursor.execute(statement, params),
        )
        migration.remove_thirds(apps, editor)
        assert not [key for key in counters() if key[1].endswith("x")]
        migration.add_thirds(apps, editor)
    assert counters() == before
    counting.rebuild()
    assert counters() == before
    assert {key[1][7:] for key in before if key[1].endswith("x")} == {"-0x", "-1x", "-2x"}
