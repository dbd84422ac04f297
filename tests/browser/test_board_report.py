"""The report of a board solves itself in Chromium, without a server, to the numbers that Python finds."""

import csv
import gzip
from collections import defaultdict
from pathlib import Path

import pytest

from arena.boards import solving
from arena.boards.report import page as report
from arena.boards.report.page import Content
from arena.boards.solving import Counter
from tests.browser.conftest import PHONE, MakePage

LLMFAO = Path(__file__).parents[1] / "data/llmfao/crowd-comparisons.csv.gz"
pytestmark = pytest.mark.browser


def real_votes() -> list[Counter]:
    counts: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0, 0])
    with gzip.open(LLMFAO, "rt", encoding="utf-8") as file:
        for vote in csv.DictReader(file):
            counts[vote["left"], vote["right"]][["left", "right", "tie"].index(vote["winner"])] += 1
    return [Counter(*pair, n[0], n[1], n[2], 0, *map(float, n), *map(float, n)) for pair, n in counts.items()]


# Undefeated, weighted, and two groups that never met.
ODD = [
    Counter("a", "b", 20, 0, 1, 0, 5.0, 0, 0.3, 1.25, 0, 0.09),
    Counter("b", "c", 3, 4, 0, 2, 3, 4, 2, 3, 4, 2),
    Counter("c", "a", 0, 9, 0, 0, 0, 9, 0, 0, 9, 0),
    Counter("x", "y", 1, 2, 0, 0, 1, 2, 0, 1, 2, 0),
]


# As after votes that hang together: factors differ, and one chat model has none yet.
WIDENED = solving.Widening({"a": 1.5, "b": 1.1, "c": 2.0, "gone": 3.0}, ("voter", "prompt"), "")


@pytest.fixture
def opened(make_page: MakePage, tmp_path: Path):
    """(the page, the votes of both slices), opened from the disk."""
    real = real_votes()
    content = Content(
        "The board", "real votes", "today",
        {"all": {"2026-01": real[::2], "2026-02": real[1::2]}, "category:odd": {"2026-02": ODD}},
        widenings={"category:odd": WIDENED},
    )  # fmt: skip
    path = tmp_path / "board.html"
    path.write_text(report.render(content), encoding="utf-8")
    page = make_page(size=PHONE, dark=True)
    page.goto(path.as_uri())
    return page, real


def test_it_finds_what_python_finds(opened):
    page, real = opened
    for index, rows, widened in ((0, real, {}), (1, ODD, WIDENED.factors)):
        board = solving.solve(rows, widened=widened)
        found = page.evaluate(f"boardOf({index})")
        by_name = {line["name"]: line for line in found["standings"]}
        assert found["votes"] == board.votes
        assert found["groups"] == len(board.groups)
        assert found["gradient"] < 1e-8
        assert found["position"]["points"] == pytest.approx(board.effects[0].points, abs=1e-6)
        for standing in board.standings:
            line = by_name[standing.name]
            assert (line["rating"], line["low"], line["high"], line["winRate"]) == pytest.approx(
                (standing.rating, standing.low, standing.high, standing.win_rate), abs=1e-6
            )
            assert line["votes"] == standing.votes
            assert line["unbounded"] == (standing.name in board.unbounded)
    # Its draws are others than Python's, so a pair on the border may fall on the other side.
    ranks = {standing.name: standing.rank for standing in solving.solve(real).standings}
    apart = [abs(line["rank"] - ranks[line["name"]]) for line in page.evaluate("boardOf(0)")["standings"]]
    assert max(apart) <= 3
    assert sum(apart) <= 25


def test_it_solves_the_votes_and_months_that_are_chosen(opened):
    page, _ = opened
    assert page.locator("#sum").inner_text() == "8931 votes · 59 chat models"
    page.select_option("#until", label="2026-01")
    first = page.locator("#sum").inner_text()
    assert first != "8931 votes · 59 chat models"
    page.select_option("#from", label="2026-02")
    assert "Swap them" in page.locator("#notice").inner_text()
    page.select_option("#slice", label="category: odd")
    page.select_option("#until", label="2026-02")
    assert page.locator("#sum").inner_text() == "42 votes · 5 chat models"
    assert "never met" in page.locator("#notice").inner_text()
    assert "one person's votes and the votes on one prompt" in page.locator("#spread").inner_text()
    page.select_option("#slice", label="All votes")
    assert "independent" in page.locator("#spread").inner_text()
    page.select_option("#slice", label="category: odd")
    assert page.locator("#board th[scope=row]").count() == 5


def test_it_fits_a_phone_and_saves_its_table(opened):
    page, _ = opened
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE[0]
    with page.expect_download() as download:
        page.click("#table-csv")
    rows = list(csv.DictReader(download.value.path().read_text(encoding="utf-8").splitlines()))
    assert len(rows) == 59
    assert rows[0]["model"] == "GPT 4"
