"""The leaderboard's pages: what they show, to whom, and what they refuse."""

import csv
from datetime import UTC, date, datetime

import pytest
from channels.testing import WebsocketCommunicator
from django.test import Client

from arena.models import BattleStyle, Listing
from arena.selectors import leaderboard
from arena.selectors.leaderboard import Query
from chatsite.asgi import application
from tests.arena.leaderboard.conftest import make_vote
from tests.factories import make_chat_model

pytestmark = pytest.mark.django_db
APRIL = datetime(2026, 4, 20, 12, tzinfo=UTC)


@pytest.fixture
def page(alice):
    client = Client()
    client.force_login(alice)
    return client


@pytest.fixture
def some(votes):
    """Three chat models, of which c is the worst; in German c wins."""
    votes("a", "b", "left", 12)
    votes("b", "a", "left", 10)
    votes("a", "c", "left", 30, categories=["coding"])
    votes("c", "b", "right", 30)
    votes("c", "a", "left", 9, language="de", at=APRIL)
    votes("a", "b", "both_bad", 2)


def names(query: Query) -> list[str]:
    return [line.name for line in leaderboard.shown(leaderboard.board(query))]


def test_it_shows_ratings_ranks_and_votes(page, some):
    html = page.get("/leaderboard/").content.decode()
    assert "93 votes" in html
    assert html.count('class="number board__rank"') == 3
    assert "Ratings with 95 % intervals" in html


def test_it_says_that_there_are_no_votes(page):
    answer = page.get("/leaderboard/")
    assert answer.status_code == 200
    assert "The first vote in the arena starts the board." in answer.content.decode()


def test_it_says_that_a_slice_is_empty(page, some):
    assert "No votes here yet" in page.get("/leaderboard/?category=poetry").content.decode()


def test_it_solves_a_slice(some):
    assert names(Query())[-1] == "c"
    assert names(Query(slice="language:de")) == ["c", "a"]
    assert names(Query(slice="category:coding")) == ["a", "c"]


def test_it_solves_a_range_of_days(some):
    assert names(Query(since=date(2026, 4, 1))) == ["c", "a"]
    assert names(Query(since=date(2026, 4, 20), until=date(2026, 4, 20))) == ["c", "a"]
    assert names(Query(until=date(2026, 3, 31)))[-1] == "c"
    assert names(Query(since=date(2026, 5, 1))) == []
    whole = leaderboard.board(Query(since=date(2020, 1, 1), until=date(2030, 1, 1)))
    assert whole.standings == leaderboard.board(Query()).standings


@pytest.mark.parametrize(
    ("first", "last", "expected"),
    [
        (date(2026, 3, 1), date(2026, 4, 30), ["2026-03", "2026-04"]),
        (date(2026, 2, 27), date(2026, 4, 1), ["2026-02-27", "2026-02-28", "2026-03", "2026-04-01"]),
        (date(2025, 12, 1), date(2026, 1, 1), ["2025-12", "2026-01-01"]),
        (
            date(2026, 1, 19),
            date(2026, 2, 20),
            ["2026-01-19", "2026-01-20", "2026-01-2x", "2026-02-0x", "2026-02-1x"],
        ),
        (date(2026, 2, 21), date(2026, 3, 9), ["2026-02-2x", *(f"2026-03-{day:02}" for day in range(1, 10))]),
        (date(2026, 3, 5), date(2026, 3, 5), ["2026-03-05"]),
    ],
)
def test_a_range_is_put_together_of_months_and_days(first, last, expected):
    assert leaderboard.spans(first, last) == expected


def test_a_vote_changes_the_board_at_once(votes):
    votes("a", "b", "left", 3)
    assert names(Query()) == ["a", "b"]
    votes("a", "b", "right", 9)
    assert names(Query()) == ["b", "a"]


def test_it_is_solved_once_while_nobody_votes(some, django_assert_num_queries):
    leaderboard.board(Query())
    with django_assert_num_queries(1):
        leaderboard.board(Query())


def test_the_page_asks_few_questions_of_the_database(page, some, django_assert_max_num_queries):
    with django_assert_max_num_queries(13):
        page.get("/leaderboard/")


def test_htmx_gets_the_board_without_the_page(page, some):
    html = page.get("/leaderboard/?category=coding", headers={"HX-Request": "true"}).content.decode()
    assert "<html" not in html
    assert "30 votes" in html


@pytest.mark.parametrize(
    ("wish", "sentence"),
    [
        ("since=yesterday", "since must be a day such as 2026-11-24."),
        ("until=2026-02-30", "until must be a day such as 2026-11-24."),
        ("since=2026-03-02&until=2026-03-01", "The first day comes after the last one."),
        ("category=coding&language=de", "Choose a language or a category, not both."),
        ("style=baroque", "style must be"),
        (f"category={'x' * 200}", "There is no such slice."),
    ],
)
def test_it_refuses_a_wish_in_a_sentence(page, some, wish, sentence):
    answer = page.get(f"/leaderboard/?{wish}")
    assert answer.status_code == 400
    assert sentence in answer.content.decode()
    assert page.get(f"/leaderboard/?{wish}", headers={"HX-Request": "true"}).status_code == 422
    for file in ("board.csv", "pairs.csv"):
        assert page.get(f"/leaderboard/{file}?{wish}").status_code == 400
    assert page.get(f"/leaderboard/over-time/?{wish}").status_code == 400


ADDRESSES = ["", "board.csv", "pairs.csv", "over-time/", "log/"]


@pytest.mark.parametrize("address", ADDRESSES)
def test_a_visitor_is_asked_to_log_in(client, some, address):
    answer = client.get(f"/leaderboard/{address}")
    assert answer.status_code == 302
    assert answer["Location"].startswith("/login/")


@pytest.mark.parametrize("address", ADDRESSES)
def test_a_visitor_reads_a_public_board(client, some, settings, address):
    settings.PUBLIC_LEADERBOARD = True
    assert client.get(f"/leaderboard/{address}").status_code == 200


def test_a_hidden_chat_model_is_nowhere_on_the_page(page, some):
    before = {line.name: line.standing.rating for line in leaderboard.shown(leaderboard.board(Query()))}
    Listing.objects.create(name="c", visibility="private")
    after = {line.name: line.standing.rating for line in leaderboard.shown(leaderboard.board(Query()))}
    assert after == {name: rating for name, rating in before.items() if name != "c"}
    for address in ("board.csv", "pairs.csv"):
        rows = list(csv.reader(page.get(f"/leaderboard/{address}").content.decode().splitlines()))
        assert not any("c" in row for row in rows)
    assert ">c<" not in page.get("/leaderboard/").content.decode()
    assert ">c<" not in page.get("/leaderboard/over-time/").content.decode()


def test_organisation_and_licence_are_shown(page, some):
    Listing.objects.create(name="a", organisation="Aviary", link="https://example.org/a")
    make_chat_model("b", licence="Apache-2.0")
    html = page.get("/leaderboard/").content.decode()
    assert "Aviary" in html
    assert "Apache-2.0" in html
    assert 'href="https://example.org/a"' in html


def test_the_files_say_what_the_page_says(page, some):
    rows = list(csv.DictReader(page.get("/leaderboard/board.csv").content.decode().splitlines()))
    assert [row["model"] for row in rows] == names(Query())
    pairs = list(csv.DictReader(page.get("/leaderboard/pairs.csv").content.decode().splitlines()))
    a_b = next(row for row in pairs if (row["model"], row["opponent"]) == ("a", "b"))
    assert (a_b["wins"], a_b["losses"], a_b["ties"]) == ("12", "10", "2")


def test_a_name_is_no_formula_in_a_spreadsheet(page, votes):
    votes("=1+1", "b", "left")
    assert "'=1+1" in page.get("/leaderboard/board.csv").content.decode()


def test_a_name_is_no_markup(page, votes):
    votes("<script>alert(1)</script>", "b", "left")
    assert "<script>alert" not in page.get("/leaderboard/").content.decode()
    assert "<script>alert" not in page.get("/leaderboard/over-time/").content.decode()


def test_the_rating_over_time_has_a_gap_before_the_first_vote(some, votes):
    votes("d", "a", "left", at=APRIL)
    months, ratings = leaderboard.over_time(Query())
    assert months == ["2026-03", "2026-04"]
    assert ratings["d"][0] is None
    assert ratings["a"][1] == pytest.approx(
        next(s.rating for s in leaderboard.board(Query()).standings if s.name == "a"), abs=1e-6
    )


@pytest.mark.django_db(transaction=True)
async def test_an_open_page_hears_of_a_vote(settings):
    from asgiref.sync import sync_to_async

    from tests.arena.leaderboard.conftest import make_vote

    settings.PUBLIC_LEADERBOARD = True
    socket = WebsocketCommunicator(
        application, "/ws/leaderboard/", headers=[(b"host", b"localhost"), (b"origin", b"http://localhost")]
    )
    assert (await socket.connect(timeout=120))[0]
    await sync_to_async(make_vote)("a", "b", "left")
    assert await socket.receive_json_from(timeout=120) == {"type": "changed"}
    await socket.disconnect(timeout=120)


@pytest.mark.django_db(transaction=True)
async def test_a_visitor_hears_nothing_of_a_board_that_is_not_public():
    socket = WebsocketCommunicator(
        application, "/ws/leaderboard/", headers=[(b"host", b"localhost"), (b"origin", b"http://localhost")]
    )
    await socket.connect(timeout=120)
    assert (await socket.receive_output(120))["code"] == 4401


def test_style_can_be_taken_out(page, votes):
    for _ in range(6):
        for choice, lengths in (
            ("left", (90, 10)),
            ("right", (10, 90)),
            ("left", (50, 50)),
            ("right", (50, 60)),
        ):
            battle = make_vote("a", "b", choice, categories=["coding"]).battle
            sides = {"left": lengths[0], "right": lengths[1]}
            counts = {f"{side}_{name}": 0 for side in sides for name in ("headers", "lists", "bold")}
            BattleStyle.objects.create(
                battle=battle, left_length=lengths[0], right_length=lengths[1], **counts
            )
    html = page.get("/leaderboard/?style=controlled").content.decode()
    assert "<strong>length</strong>" in html
    assert "<strong>length</strong>" not in page.get("/leaderboard/").content.decode()
    coding = leaderboard.board(Query(slice="category:coding", style=True))
    assert coding.standings == leaderboard.board(Query(style=True)).standings


def test_style_that_is_not_known_is_said(page, some):
    assert "their style is not known" in page.get("/leaderboard/?style=controlled").content.decode()
