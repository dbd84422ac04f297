"""The static folder: complete, safe, and readable from file:// in a true browser."""

import json
import re
from dataclasses import replace
from urllib.parse import urljoin

import pytest
from playwright.sync_api import expect

from evaluation.report import folder
from tests.browser.conftest import PHONE, browser, make_page, page  # noqa: F401 - fixtures
from tests.evaluation.reading import HOSTILE
from tests.evaluation.report.material import make_material

RAW = {"question.jsonl": '{"question_id": 81}\n', "model_judgment/strict_pair.jsonl": "{}\n"}


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    path = tmp_path_factory.mktemp("report") / "tides"
    folder.write(make_material(), path, raw=RAW)
    return path


def test_it_has_a_page_per_question_the_raw_data_and_the_numbers(report):
    assert len(list((report / "questions").iterdir())) == 24
    assert (report / "data/model_judgment/strict_pair.jsonl").read_text() == "{}\n"
    anchors = list(json.loads((report / "numbers.json").read_text())["sections"])
    assert anchors == ["scores", "wins", "differences", "people", "judges"]


def test_it_links_only_to_what_is_in_the_folder(report):
    pages = [report / "index.html", *(report / "questions").iterdir()]
    links = 0
    for found in pages:
        for target in re.findall(r'(?:href|src)="([^"]*)"', found.read_text()):
            path = urljoin(found.as_uri(), target).partition("#")[0].removeprefix("file://")
            assert path.startswith(str(report)), target
            assert (report / path).is_file(), target
            links += 1
    assert links > 200


def test_it_writes_the_same_numbers_each_time(tmp_path):
    first, again = (folder.write(make_material(), tmp_path / name, raw={}) for name in "ab")
    assert first.sections == again.sections


def test_it_replaces_its_own_report_but_no_other_folder(tmp_path):
    own = tmp_path / "own"
    folder.write(make_material(amount=8), own, raw=RAW)
    folder.write(make_material(amount=2), own, raw={})
    assert len(list((own / "questions").iterdir())) == 2
    assert not (own / "data").exists()
    other = tmp_path / "other"
    other.mkdir()
    (other / "thesis.txt").write_text("mine")
    with pytest.raises(folder.FolderInUse, match="Name a new folder with --out"):
        folder.write(make_material(amount=2), other, raw={})
    assert (other / "thesis.txt").read_text() == "mine"


def test_it_shows_everything_hostile_as_text(tmp_path):
    plain = make_material(amount=2)
    hostile = replace(
        plain,
        title=HOSTILE,
        questions=[replace(q, category=HOSTILE, turns=(HOSTILE, HOSTILE)) for q in plain.questions],
        answers=[replace(a, turns=(HOSTILE, HOSTILE)) for a in plain.answers],
        pairs=[replace(p, judge=HOSTILE, g1_judgment=HOSTILE) for p in plain.pairs],
    )
    folder.write(hostile, tmp_path / "report", raw={})
    for found in (tmp_path / "report").rglob("*.html"):
        written = found.read_text()
        assert "<script>" not in written
        assert "<img" not in written
        assert "&lt;script&gt;" in written


@pytest.mark.browser
def test_it_opens_from_a_file_and_can_be_filtered_and_walked_through(report, page):  # noqa: F811
    page.goto((report / "index.html").as_uri())
    expect(page.get_by_role("heading", level=1)).to_have_text("Tides: smol, gemma, llama")
    expect(page.get_by_role("img", name="Scores: Mean score by category")).to_be_visible()
    assert page.evaluate("getComputedStyle(document.querySelector('.card, .radar')).borderStyle") == "solid"

    page.select_option("#filter-category", "math")
    expect(page.locator("[data-filter-count]")).to_have_text("3 of 24")
    page.select_option("#filter-category", "")
    page.fill("#filter-text", "84")
    expect(page.locator("[data-filter-count]")).to_have_text("1 of 24")
    page.locator("[data-filtered] tbody tr:visible a").click()

    expect(page.get_by_role("heading", level=1)).to_have_text("Question 84")
    expect(page.locator(".answer:visible")).to_have_count(6)
    page.get_by_label("gemma").uncheck()
    expect(page.locator(".answer:visible")).to_have_count(4)
    expect(page.locator(".verdict:visible", has_text="gemma")).to_have_count(0)
    page.keyboard.press("Escape")
    page.locator("h1").click()
    page.keyboard.press("ArrowRight")
    page.wait_for_url("**/0005.html")


@pytest.mark.browser
def test_it_fits_a_phone(report, make_page):  # noqa: F811
    small = make_page(size=(360, 740), dark=True)
    for name in ("index.html", "questions/0001.html"):
        small.goto((report / name).as_uri())
        assert small.evaluate("document.documentElement.scrollWidth") <= 360
