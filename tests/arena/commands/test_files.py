"""`manage.py arena` on files alone. No test here may touch the database; pytest-django sees to it."""

import csv
import json
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from tests.arena.ratings import golden
from tests.arena.ratings.test_fastchat import BRADLEY_TERRY, ELO, STYLE

NAMES = [
    f"{name}_{side}{tail}"
    for side in "ab"
    for name, tail in (
        ("sum_assistant", "_tokens"),
        ("header_count", ""),
        ("list_count", ""),
        ("bold_count", ""),
    )
]


def run(*arguments):
    out = StringIO()
    call_command("arena", *map(str, arguments), stdout=out)
    return out.getvalue()


@pytest.fixture(scope="module")
def battles(tmp_path_factory):
    """The golden votes as FastChat's clean_battle rows."""
    path = tmp_path_factory.mktemp("votes") / "clean_battle.json"
    rows = [
        {
            "model_a": left, "model_b": right, "winner": winner, "judge": f"user{index % 97}", "anony": True,
            "language": "English" if index % 3 else "German", "tstamp": 1_700_000_000 + index * 60,
            "conv_metadata": dict(zip(NAMES, style, strict=True)),
        }
        for index, (left, right, winner, style) in enumerate(golden.rows())
    ]  # fmt: skip
    path.write_text(json.dumps(rows))
    return path


@pytest.mark.parametrize(
    ("method", "expected"), [("bt", BRADLEY_TERRY), ("elo", ELO), ("style-fastchat", STYLE)]
)
def test_rate_prints_fastchats_ratings(battles, method, expected):
    board = json.loads(run("rate", battles, "--method", method, "--json"))
    ratings = {row["model"]: row["rating"] for row in board["ratings"]}
    assert [ratings[name] for name in golden.MODELS] == pytest.approx(expected, abs=0.15)


def test_every_rating_has_an_interval_around_it(battles):
    for extra in (
        [],
        ["--bootstrap", "50"],
        ["--cluster", "voter"],
        ["--cluster", "voter", "--bootstrap", "30"],
    ):
        rows = json.loads(run("rate", battles, "--json", *extra))["ratings"]
        assert len(rows) == 6
        assert all(row["lower"] < row["rating"] < row["upper"] for row in rows)


def test_the_table_says_rank_rating_interval_and_tier(battles):
    lines = run("rate", battles).splitlines()
    assert lines[0].split() == ["rank", "model", "rating", "interval", "votes", "tier"]
    assert lines[1].split()[:3] == ["1", "a", "1107.0"]
    assert "Intervals: robust." in lines


def test_style_says_what_style_is_worth(battles):
    board = json.loads(run("rate", battles, "--method", "style", "--json"))
    effects = {effect["name"]: effect["points"] for effect in board["effects"]}
    assert 20 < effects["length"] < 50
    assert "position" in effects
    assert "length: +" in run("rate", battles, "--method", "style")


def test_an_anchor_shifts_the_board(battles):
    board = json.loads(run("rate", battles, "--anchor", "c=1200", "--bootstrap", "20", "--json"))
    (row,) = (row for row in board["ratings"] if row["model"] == "c")
    assert row["rating"] == pytest.approx(1200)
    assert row["lower"] < 1200 < row["upper"]


def test_the_position_is_told(battles):
    assert "Standing on the left is worth" in run("rate", battles, "--position")


def test_filters_leave_votes_out(battles):
    whole = json.loads(run("stats", battles, "--json"))
    german = json.loads(run("stats", battles, "--json", "--language", "de", "--no-ties", "--exclude", "a"))
    assert whole["votes"] == 3000
    assert whole["voters"] == 97
    assert german["votes"] < 1000
    assert set(german["languages"]) == {"de"}
    assert set(german["winners"]) == {"left", "right"}
    assert "a" not in german["models"]
    assert "3000 votes, 6 chat models, 97 voters" in run("stats", battles)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--anchor", "c"], "NAME=RATING"),
        (["--anchor", "c=high"], "NAME=RATING"),
        (["--anchor", "c=nan"], "--anchor"),
        (["--anchor", "nobody=1000"], "nobody"),
        (["--bootstrap", "1"], "--bootstrap"),
        (["--bootstrap", "-3"], "--bootstrap"),
        (["--level", "95"], "level"),
        (["--prior", "-1"], "prior"),
        (["--method", "elo", "--cluster", "voter"], "--cluster"),
        (["--method", "style", "--bootstrap", "10"], "--bootstrap"),
        (["--cluster", "prompt"], "prompt"),
        (["--language", "xx"], "no votes remain"),
        (["--position", "--cluster", "voter"], "--position"),
    ],
)
def test_a_bad_option_is_named(battles, arguments, message):
    with pytest.raises(CommandError, match=message):
        run("rate", battles, *arguments)


def test_an_unknown_winner_is_refused_with_file_and_row(tmp_path):
    path = tmp_path / "votes.csv"
    path.write_text("model_a,model_b,winner\na,b,model_a\na,b,model_c\n")
    with pytest.raises(CommandError, match=r"votes\.csv, row 3: unknown winner 'model_c'"):
        run("rate", path)


def test_style_without_texts_is_refused(tmp_path):
    path = tmp_path / "votes.csv"
    path.write_text("left,right,winner\na,b,left\nb,a,left\n")
    with pytest.raises(CommandError, match="conv_metadata"):
        run("rate", path, "--method", "style")


def test_undefeated_models_and_groups_that_never_met_are_told(tmp_path):
    path = tmp_path / "votes.csv"
    with path.open("w", newline="") as out:
        csv.writer(out).writerows([("left", "right", "winner"), ("a", "b", "left"), ("c", "d", "tie")])
    text = run("rate", path)
    assert "2 groups never met" in text
    assert "held by a prior of 1000 points: a, b." in text


def test_a_tie_can_be_a_result_of_its_own(battles):
    plain, davidson, kupper = (
        json.loads(run("rate", battles, "--json", *more))
        for more in ((), ("--ties", "davidson"), ("--ties", "rao-kupper"))
    )
    order = [row["model"] for row in plain["ratings"]]
    for found, sign in ((davidson, "ν"), (kupper, "δ")):
        assert [row["model"] for row in found["ratings"]] == order
        assert found["gradient_norm"] < 1e-8
        assert found["ratings"][0]["lower"] < found["ratings"][0]["rating"] < found["ratings"][0]["upper"]
        assert sign in found["notes"][0]
    # Among the votes that decide, the best wins more often than when its ties count as half a loss.
    assert davidson["ratings"][0]["rating"] > plain["ratings"][0]["rating"]


def test_a_tie_model_stands_alone(battles):
    with pytest.raises(CommandError, match="--ties is for --method bt alone"):
        run("rate", battles, "--ties", "davidson", "--bootstrap", "10")
    with pytest.raises(CommandError, match="nothing to fit"):
        run("rate", battles, "--ties", "davidson", "--no-ties")


def test_it_states_the_price_of_a_rank(battles):
    text = run("simulate", battles, "--target", "c", "--most", "2000", "--clones", "1")
    assert "c among 6 chat models with 3000 honest votes" in text
    for part in (
        "target-only",
        "omnipresent",
        "without",
        "with",
        "clones",
        "beyond doubt",
        "price of one rank",
    ):
        assert part in text
    found = json.loads(run("simulate", battles, "--target", "c", "--attack", "target-only", "--json"))
    plain = found["attacks"][0]
    assert (plain["rank"], plain["defences"], plain["rank_before"]) == ("by rating", "without", 3)
    assert 0 < plain["votes"] < plain["battles"]
    assert "clones" not in found


def test_a_made_board_can_be_attacked_and_nonsense_is_refused(battles):
    assert "model-11 among 20 chat models" in run("simulate", "--attack", "target-only", "--most", "50")
    with pytest.raises(CommandError, match="no votes on nobody"):
        run("simulate", battles, "--target", "nobody")
    with pytest.raises(CommandError, match="--most must be"):
        run("simulate", battles, "--most", "0")
