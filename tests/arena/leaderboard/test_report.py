"""The report of a board: what its file holds, and what it leaves out."""

import json
import re
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from arena.boards import solving
from arena.boards.report import page
from arena.boards.report.page import Content
from arena.boards.solving import Counter
from arena.models import Listing, VoterSpread
from arena.ratings.pairs import Outcomes
from tests.arena.leaderboard.conftest import NOON


def counter(left: str, right: str, wins: int, losses: int, weight: float = 1.0) -> Counter:
    sums = [weight * wins, weight * losses, 0.0]
    return Counter(left, right, wins, losses, 0, 0, *sums, *(weight * value for value in sums))


def content(**changes) -> Content:
    slices = {
        "language:de": {"2026-02": [counter("a", "b", 1, 2)]},
        "all": {"2026-01": [counter("b", "a", 3, 4)], "2026-02": [counter("a", "c", 5, 6, weight=0.5)]},
        "category:empty": {"2026-01": [counter("a", "b", 0, 0)]},
    }
    return Content(**{"title": "Board", "source": "test", "made": "today", "slices": slices, **changes})


def manage(*arguments: object) -> str:
    out = StringIO()
    call_command("arena", *map(str, arguments), stdout=out)
    return out.getvalue()


def held(text: str) -> dict:
    """The counters in a page."""
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    assert found
    data: dict = json.loads(found.group(1))
    return data


def test_it_holds_counters_by_slice_and_month_and_no_ratings():
    data = page.data(content())
    assert (data["models"], data["months"]) == (["a", "b", "c"], ["2026-01", "2026-02"])
    assert data["slices"] == [
        {
            "name": "all",
            "rows": [[0, 1, 0, 3, 4, 0, 0], [1, 0, 2, 5, 6, 0, 0, 2.5, 3.0, 0.0, 1.25, 1.5, 0.0]],
        },
        {"name": "language:de", "rows": [[1, 0, 1, 1, 2, 0, 0]]},
    ]


def test_a_hidden_chat_model_is_rated_without_its_name():
    text = page.render(content(hidden={"b"}, organisations={"a": "Aviary", "b": "Secret Ltd"}))
    data = held(text)
    assert data["models"] == ["a", "hidden 2", "c"]
    assert data["hidden"] == [1]
    assert data["organisations"] == ["Aviary", "", ""]
    assert "Secret Ltd" not in text


def test_it_loads_and_runs_nothing_else():
    text = page.render(content())
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', text)
    assert policy
    assert "default-src &#x27;none&#x27;" in policy.group(1)
    assert policy.group(1).count("sha256-") == 2
    assert "unsafe" not in policy.group(1)
    assert not re.search(r"""(?:src|href)=["']https?:|style=["']""", text)


def test_a_name_ends_no_script_and_is_no_template():
    name = "</script><script>alert(1)</script>@script@"
    slices = {"all": {"": [counter(name, "b", 1, 2)]}}
    text = page.render(content(title="<b>Board</b>", slices=slices))
    assert text.count("<script") == 2
    assert held(text)["models"] == [name, "b"]
    assert "<b>Board" not in text


def test_the_largest_slices_come_first_and_not_too_many():
    slices = {f"category:{n}": {"": [counter("a", "b", n + 1, 0)]} for n in range(page.MOST_SLICES + 5)}
    data = page.data(content(slices={**slices, "all": {"": [counter("a", "b", 1, 0)]}}))
    names = [one["name"] for one in data["slices"]]  # type: ignore[attr-defined]
    assert len(names) == page.MOST_SLICES
    assert names[:2] == ["all", f"category:{page.MOST_SLICES + 4}"]


def test_a_file_of_votes_makes_a_report_without_the_database(tmp_path: Path):
    votes = tmp_path / "votes.csv"
    votes.write_text(
        "left,right,winner,category,timestamp\na,b,left,maths,1700000000\nb,a,tie,,\na,b,right,maths,\n"
    )
    output = tmp_path / "board.html"
    assert "2 slices" in manage("report", output, "--votes", votes, "--title", "Ours")
    data = held(output.read_text(encoding="utf-8"))
    assert data["months"] == ["", "2023-11"]
    assert [one["name"] for one in data["slices"]] == ["all", "category:maths"]
    with pytest.raises(CommandError, match="not overwritten"):
        manage("report", output, "--votes", votes)
    with pytest.raises(CommandError, match="no such file"):
        manage("report", tmp_path / "other.html", "--votes", tmp_path / "none.csv")
    with pytest.raises(CommandError, match="No such file or directory"):
        manage("report", tmp_path / "nowhere" / "board.html", "--votes", votes)


def test_a_files_votes_of_one_person_and_on_one_prompt_widen_the_intervals(tmp_path: Path):
    """Every person and every prompt votes for the same side each time: ten votes say as much as one."""
    rows = [
        f"{left},{right},{'left' if (person + prompt) % 2 else 'right'},{person},p{prompt},coding"
        for person in range(8)
        for prompt in range(8)
        for left, right in ("ab", "bc")
        for _ in range(3)
    ]
    votes = tmp_path / "votes.csv"
    votes.write_text("\n".join(["left,right,winner,voter,prompt,category", *rows]))
    manage("report", tmp_path / "board.html", "--votes", votes)
    everything, coding = held((tmp_path / "board.html").read_text(encoding="utf-8"))["slices"]
    assert everything["by"] == ["voter", "prompt"]
    assert [model for model, _ in everything["widened"]] == [0, 1, 2]
    assert everything["widened"] == coding["widened"]


def test_a_files_factors_are_those_of_the_board(tmp_path: Path):
    kept = [
        ("a", "b", person, "left" if person % 3 else "right") for person in range(9) for _ in range(5)
    ] + [("b", "c", person, "tie" if person % 2 else "left") for person in range(9) for _ in range(5)]
    votes = tmp_path / "votes.csv"
    lines = [f"{left},{right},{winner},v{person}" for left, right, person, winner in kept]
    votes.write_text("\n".join(["left,right,winner,voter", *lines]))
    manage("report", tmp_path / "board.html", "--votes", votes)
    (found,) = held((tmp_path / "board.html").read_text(encoding="utf-8"))["slices"]
    left, right, people, winners = zip(*kept, strict=True)
    scores = [{"left": 1.0, "right": 0.0, "tie": 0.5}[winner] for winner in winners]
    expected = solving.widening(Outcomes.of(left, right, scores, voter=[str(one) for one in people]))
    assert found["by"] == ["voter"]
    assert dict(found["widened"]) == pytest.approx(
        {index: expected.factors[name] for index, name in enumerate("abc")}
    )
    assert max(expected.factors.values()) > 1.5


def test_votes_of_unknown_people_are_independent(tmp_path: Path):
    votes = tmp_path / "votes.csv"
    votes.write_text("left,right,winner\n" + "a,b,left\nb,a,left\na,b,tie\n" * 5)
    manage("report", tmp_path / "board.html", "--votes", votes)
    (found,) = held((tmp_path / "board.html").read_text(encoding="utf-8"))["slices"]
    assert "widened" not in found


@pytest.mark.django_db
def test_the_sites_votes_make_a_report(tmp_path: Path, votes):
    with pytest.raises(CommandError, match="no votes"):
        manage("report", tmp_path / "empty.html")
    votes("a", "b", "left", 3, categories=["coding"])
    votes("b", "c", "tie", 2)
    Listing.objects.create(name="c", visibility="private")
    manage("report", tmp_path / "board.html")
    data = held((tmp_path / "board.html").read_text(encoding="utf-8"))
    assert data["models"] == ["a", "b", "hidden 3"]
    assert data["months"] == ["2026-03"]
    assert [len(one["rows"]) for one in data["slices"]] == [2, 1]


@pytest.mark.django_db
def test_the_sites_report_has_the_intervals_of_its_live_board(tmp_path: Path, votes):
    votes("a", "b", "left", 3)
    VoterSpread.objects.create(
        slice="all", votes=3, voters=2, kinds=["voter"], factors={"a": 1.5, "gone": 2.0}, computed_at=NOON
    )
    manage("report", tmp_path / "board.html")
    (found,) = held((tmp_path / "board.html").read_text(encoding="utf-8"))["slices"]
    assert (found["widened"], found["middle"], found["by"]) == ([[0, 1.5]], 1.75, ["voter"])
