"""Published boards never change, and can be solved again from the votes they name."""

from io import StringIO

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from arena.boards import solving
from arena.models import Listing, ListingChange, Snapshot, Vote
from arena.models.leaderboard import Immutable
from arena.selectors import leaderboard
from arena.selectors.leaderboard import Query
from arena.services import publishing
from tests.arena.leaderboard.conftest import make_vote

pytestmark = pytest.mark.django_db


@pytest.fixture
def published(votes) -> Snapshot:
    votes("a", "b", "left", 5, weight=0.3)
    votes("b", "a", "left", 3)
    votes("b", "c", "tie", 2, categories=["coding"])
    make_vote("a", "c", "left", counted=False)
    return publishing.publish()


def test_it_keeps_the_board_of_the_moment(published):
    live = leaderboard.board(Query()).standings
    assert [row["name"] for row in published.rows] == [standing.name for standing in live]
    for row, standing in zip(published.rows, live, strict=True):
        assert row["rating"] == pytest.approx(standing.rating, abs=0.001)
    assert published.votes == 10


def test_it_holds_after_more_votes_and_exclusions(published, votes):
    votes("c", "a", "left", 20)
    vote = Vote.objects.get(pk=published.vote_ranges[0][0])
    vote.counted = False
    vote.save()
    assert publishing.verify(snapshot_id=published.pk).problems == []


def as_of_the_first_solver(snapshot: Snapshot) -> None:
    """What a board looks like that was published before the solvers had numbers."""
    rows = publishing._rows(publishing._of_ranges(snapshot.vote_ranges), 1)
    version = "chatsite 0.1.0, solver 0123456789ab, numpy 2.3.5"
    Snapshot.objects.filter(pk=snapshot.pk).update(
        rows=rows, rows_hash=publishing.rows_hash(rows), code_version=version
    )


def test_a_board_of_the_first_solver_still_holds(published):
    """It comes out otherwise today, and is solved by what solved it then."""
    today = published.rows
    as_of_the_first_solver(published)
    assert Snapshot.objects.get(pk=published.pk).rows != today
    assert publishing.verify(snapshot_id=published.pk).problems == []
    Vote.objects.filter(pk=published.vote_ranges[0][0]).update(choice="right")
    assert publishing.verify(snapshot_id=published.pk).problems == ["The votes are not the same any more."]


def test_a_board_of_a_solver_to_come_asks_for_an_update(published):
    Snapshot.objects.update(code_version="chatsite 9, solver 99 (0123456789ab), numpy 3")
    (problem,) = publishing.verify(snapshot_id=published.pk).problems
    assert "solved by solver 99" in problem
    assert "update" in problem


def test_the_code_version_names_the_solver(published):
    assert publishing.solver_of(published.code_version) == solving.SOLVER
    assert solving.SOLVER in publishing.SOLVERS


def test_it_notices_a_changed_vote(published):
    Vote.objects.filter(pk=published.vote_ranges[0][0]).update(choice="right")
    assert publishing.verify(snapshot_id=published.pk).problems == ["The votes are not the same any more."]


def test_it_notices_a_missing_vote(published):
    Vote.objects.get(pk=published.vote_ranges[0][0]).delete()
    assert "Of 10 votes, 9 are left." in publishing.verify(snapshot_id=published.pk).problems


def test_it_notices_changed_rows(published):
    rows = [{**row, "rating": row["rating"] + 1} for row in published.rows]
    Snapshot.objects.filter(pk=published.pk).update(rows=rows)
    assert len(publishing.verify(snapshot_id=published.pk).problems) == 2


def test_it_cannot_be_changed_or_deleted(published):
    with pytest.raises(Immutable):
        published.save()
    with pytest.raises(Immutable):
        published.delete()


def test_the_command_says_whether_it_holds(published):
    out = StringIO()
    call_command("arena", "verify", str(published.pk), stdout=out)
    assert "holds: 3 chat models from 10 votes" in out.getvalue()
    Vote.objects.all().update(choice="tie")
    with pytest.raises(CommandError, match="does not hold"):
        call_command("arena", "verify", str(published.pk))
    with pytest.raises(CommandError, match="no published board 99"):
        call_command("arena", "verify", "99")


def test_a_slice_can_be_published(published):
    snapshot = publishing.publish(slice_name="category:coding")
    assert snapshot.votes == 2
    assert publishing.verify(snapshot_id=snapshot.pk).problems == []
    with pytest.raises(CommandError, match="There is no slice"):
        call_command("arena", "publish", "--slice", "nonsense")
    with pytest.raises(CommandError, match="no votes to publish"):
        call_command("arena", "publish", "--slice", "language:xx")


def test_the_schedule_publishes_only_what_is_new(published):
    assert publishing.publish_if_changed() is None
    make_vote("a", "b", "left")
    assert publishing.publish_if_changed() is not None


def test_ranges_name_every_id():
    assert publishing.ranges([1, 2, 3, 7, 9, 10]) == [[1, 3], [7, 7], [9, 10]]
    assert publishing.ranges([]) == []


def test_its_page_shows_it_without_the_hidden(client, settings, published):
    settings.PUBLIC_LEADERBOARD = True
    address = f"/leaderboard/published/{published.pk}/"
    assert ">c<" in client.get(address).content.decode()
    Listing.objects.create(name="c", visibility="withdrawn")
    assert ">c<" not in client.get(address).content.decode()
    assert client.get("/leaderboard/published/99/").status_code == 404


def test_hiding_is_logged_for_everybody(client, settings, alice):
    settings.PUBLIC_LEADERBOARD = True
    listing = Listing.objects.create(name="a")
    publishing.change_visibility(
        listing=listing, visibility="withdrawn", operator=alice, reason="asked by its maker"
    )
    publishing.change_visibility(listing=listing, visibility="public", operator=alice)
    assert [change.visibility for change in ListingChange.objects.order_by("id")] == ["withdrawn", "public"]
    html = client.get("/leaderboard/log/").content.decode()
    assert "asked by its maker" in html
    assert "alice" not in html
