"""What is computed behind the leaderboard's back, and that no page waits for it."""

from datetime import date, timedelta
from typing import Any

import pytest
from celery import current_app
from django.test import Client
from django.utils import timezone
from kombu.exceptions import OperationalError

from arena import tasks
from arena.boards import keeping
from arena.models import BattleStyle, KeptBoard, Vote, VoterSpread
from arena.selectors import leaderboard, vote_arrays
from arena.selectors.leaderboard import Query
from arena.services import background
from tests.arena.leaderboard.conftest import make_vote

pytestmark = pytest.mark.django_db
STYLED = Query(style=True)


@pytest.fixture
def loyal(votes):
    """Ten people, each of whom always votes for the same of two: their votes hang together as far as can be."""
    for person in range(10):
        for number in range(8):
            sides = ("a", "b") if number % 2 else ("b", "a")
            wanted = "a" if person < 6 else "b"
            votes(
                *sides,
                "left" if sides[0] == wanted else "right",
                voter_key=f"p{person}",
                categories=["coding"],
            )


@pytest.fixture
def asked(monkeypatch) -> list[dict[str, Any]]:
    """The boards that were asked for."""
    found: list[dict[str, Any]] = []
    monkeypatch.setattr(
        current_app,
        "send_task",
        lambda name, kwargs, **options: found.append({"name": name, **kwargs}),
    )
    return found


@pytest.fixture
def many(monkeypatch, votes):
    """Three votes with style, which are more than are solved while a page waits."""
    monkeypatch.setattr(background, "AT_ONCE", 2)
    for number, choice in enumerate(("left", "right", "left")):
        battle = make_vote("a", "b", choice).battle
        counts = {
            f"{side}_{name}": number for side in ("left", "right") for name in ("headers", "lists", "bold")
        }
        BattleStyle.objects.create(battle=battle, left_length=90 - number, right_length=10, **counts)


def width(query: Query | None = None) -> float:
    standing = leaderboard.board(query or Query()).standings[0]
    return standing.high - standing.low


def test_intervals_widen_where_votes_of_one_person_hang_together(loyal):
    before = width()
    assert background.widen() == 2
    spread = VoterSpread.objects.get(slice="all")
    assert (spread.votes, spread.voters, spread.kinds) == (80, 10, ["voter"])
    assert spread.factors["a"] > 1.5
    assert width() == pytest.approx(before * spread.factors["a"])
    assert width(Query(slice="category:coding")) == pytest.approx(width())


def test_the_page_says_whether_it_allows_for_that(loyal, alice):
    client = Client()
    client.force_login(alice)
    assert "Votes are taken as independent" in client.get("/leaderboard/").content.decode()
    background.widen()
    assert "(10 voters)" in client.get("/leaderboard/").content.decode()


def test_votes_on_one_prompt_hang_together(votes, alice):
    """Ten prompts, on each of which one chat model always wins, whoever looks at it."""
    for number in range(80):
        sides = ("a", "b") if number // 10 % 2 else ("b", "a")
        wanted = "a" if number % 10 < 6 else "b"
        votes(*sides, "left" if sides[0] == wanted else "right", prompt_fingerprint=f"prompt {number % 10}")
    before = width()
    background.widen()
    spread = VoterSpread.objects.get(slice="all")
    assert (spread.kinds, spread.voters, spread.prompts) == (["voter", "prompt"], 80, 10)
    assert width() > 1.5 * before
    client = Client()
    client.force_login(alice)
    assert "(voters: 80, prompts: 10)" in client.get("/leaderboard/").content.decode()


def test_too_few_people_leave_a_reason_and_the_intervals_as_they_are(votes):
    votes("a", "b", "left", 5, voter_key="one")
    votes("b", "a", "left", 4, voter_key="other")
    before = width()
    background.widen()
    assert "2 different voters" in VoterSpread.objects.get().problem
    assert width() == before


def test_people_who_are_not_known_are_different_people(votes):
    votes("a", "b", "left", 5)
    votes("b", "a", "left", 4)
    background.widen()
    spread = VoterSpread.objects.get()
    assert spread.voters == 9
    assert all(1 <= factor < 1.2 for factor in spread.factors.values())


def test_it_is_computed_again_only_when_something_changed(loyal, votes, django_assert_max_num_queries):
    background.widen()
    with django_assert_max_num_queries(5):
        assert background.widen() == 0
    votes("a", "b", "left", 1, voter_key="p1")
    assert background.widen() == 0  # one vote of eighty
    VoterSpread.objects.update(computed_at=timezone.now() - timedelta(days=2))
    assert background.widen() == 1  # a day later it counts
    votes("a", "b", "left", 8, voter_key="p1")
    assert background.widen() == 1


def test_a_slice_holds_its_own_chat_models(votes):
    votes("a", "b", "left", 2, categories=["coding"])
    votes("b", "c", "left", 3, language="de", weight=0.5)
    make_vote("a", "c", "left", counted=False)
    arrays = vote_arrays.read()
    assert sorted(arrays.rows) == ["category:coding", "language:de"]
    german = arrays.slice("language:de")
    assert german.models == ("b", "c")
    assert (german.left.tolist(), german.right.tolist(), german.weight.tolist()) == (
        [0] * 3,
        [1] * 3,
        [0.5] * 3,
    )
    assert len(arrays.slice("all")) == 5


def test_few_votes_with_style_are_solved_at_once(many, monkeypatch, asked):
    monkeypatch.setattr(background, "AT_ONCE", 3)
    answer = background.board(STYLED)
    assert answer.board == leaderboard.board(STYLED)
    assert asked == []


def test_many_votes_with_style_are_solved_in_the_background(many, asked):
    assert background.board(STYLED) == (None, None)
    assert background.board(STYLED) == (None, None)
    assert asked == [{"name": "arena.solve_board", "slice_name": "all", "since": None, "until": None}]
    tasks.solve_board("all", None, None)
    answer = background.board(STYLED)
    assert answer == (leaderboard.solved_now(STYLED), None)
    assert len(asked) == 1


def test_a_board_out_of_date_is_shown_while_the_next_one_is_solved(many, asked):
    tasks.solve_board("all", None, None)
    first = background.board(STYLED).board
    make_vote("b", "a", "left")
    answer = background.board(STYLED)
    assert answer.as_of is not None
    assert answer.board is not None
    assert first is not None
    assert answer.board.standings == first.standings
    assert len(asked) == 1


def test_not_too_many_boards_are_solved_at_the_same_time(many, asked):
    for day in range(1, 9):
        query = STYLED._replace(since=date(2026, 3, 5), until=date(2026, 4, day))
        assert background.board(query).board is None
    assert len(asked) == background.MOST_ASKED
    KeptBoard.objects.update(asked_at=timezone.now() - background.PATIENCE * 2)  # whoever had them is gone
    background.board(query)
    assert len(asked) == background.MOST_ASKED + 1


def test_a_broker_that_is_away_costs_the_page_nothing(many, monkeypatch):
    def refuse(*arguments, **options):
        raise OperationalError("away")

    monkeypatch.setattr(current_app, "send_task", refuse)
    assert background.board(STYLED).board is None


def test_the_page_waits_for_no_board(many, asked, alice):
    client = Client()
    client.force_login(alice)
    page = client.get("/leaderboard/?style=controlled")
    assert page.status_code == 200
    assert "This board is being solved" in page.content.decode()
    file = client.get("/leaderboard/board.csv?style=controlled")
    assert (file.status_code, file["Retry-After"]) == (503, "5")
    assert client.get("/leaderboard/pairs.csv?style=controlled").status_code == 503
    tasks.solve_board("all", None, None)
    assert "<strong>length</strong>" in client.get("/leaderboard/?style=controlled").content.decode()
    make_vote("b", "a", "left")
    assert "a newer board is being solved" in client.get("/leaderboard/?style=controlled").content.decode()


def test_old_boards_are_cleared_away(many, asked):
    tasks.solve_board("all", None, None)
    KeptBoard.objects.update(solved_at=timezone.now() - timedelta(days=8))
    tasks.widen_intervals()
    assert not KeptBoard.objects.exists()


def test_a_kept_board_is_what_it_was(loyal, votes):
    votes("x", "y", "left", 2)
    board = leaderboard.board(Query())
    kept = keeping.as_json(board)
    assert keeping.from_json(kept, leaderboard.meetings(Query())) == board
    assert Vote.objects.count() == 82
