"""The leaderboard's page with votes on it: what can be taken away, and how it fits a phone."""

import csv
import struct
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.arena.leaderboard.conftest import _nothing_solved_yet, votes  # noqa: F401 - fixtures
from tests.browser.conftest import PHONE
from tests.browser.test_chat_page import signed_in  # noqa: F401 - a fixture

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def voted(votes) -> None:  # noqa: F811
    votes("owl", "=parrot", "left", 7)
    votes("=parrot", "owl", "left", 3)
    votes("a chat model with a very long name indeed, from far away", "owl", "tie", 2)


def open_board(page: Page, live_server, signed_in) -> None:  # noqa: F811
    page.context.add_cookies(signed_in)
    page.route_web_socket("**/ws/**", lambda socket: None)
    page.goto(f"{live_server.url}/leaderboard/")
    # It is read after the rest of the page.
    expect(page.locator("#plot-over-time")).to_be_visible()


@pytest.mark.usefixtures("voted")
def test_each_plot_can_be_taken_away_as_a_picture_and_as_a_table(page, live_server, signed_in, tmp_path):  # noqa: F811
    open_board(page, live_server, signed_in)
    keys = [
        key.removeprefix("plot-")
        for key in page.locator("figure").evaluate_all("all => all.map((f) => f.id)")
    ]
    assert keys == ["intervals", "fractions", "counts", "win-rates", "over-time"]

    for key in keys:
        figure = page.locator(f"#plot-{key}")
        with page.expect_download() as picture:
            figure.get_by_role("button", name="Save as PNG").click()
        assert picture.value.suggested_filename == f"{key}.png"
        head = Path(picture.value.path()).read_bytes()[:24]
        assert head[:8] == b"\x89PNG\r\n\x1a\n"
        width, height = struct.unpack(">II", head[16:24])
        assert (width > 900, height > 100) == (True, True)

        with page.expect_download() as table:
            figure.get_by_role("button", name="Save as CSV").click()
        assert table.value.suggested_filename == f"{key}.csv"
        with Path(table.value.path()).open(newline="") as file:
            rows = list(csv.reader(file))
        assert {row[0] for row in rows[1:]} == {
            "owl", "'=parrot", "a chat model with a very long name indeed, from far away"
        }  # fmt: skip
        assert len({len(row) for row in rows}) == 1


@pytest.mark.usefixtures("voted")
def test_the_board_fits_a_phone(make_page, live_server, signed_in):  # noqa: F811
    page = make_page(size=PHONE, dark=True)
    open_board(page, live_server, signed_in)
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE[0]
