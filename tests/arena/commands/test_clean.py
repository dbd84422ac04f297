import csv
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from arena.battle_files.reading import read


def run(*arguments):
    out = StringIO()
    call_command("arena", "clean", *map(str, arguments), stdout=out)
    return out.getvalue()


@pytest.fixture
def votes(tmp_path):
    path = tmp_path / "votes.csv"
    rows = [("left", "right", "winner", "voter", "prompt", "id")]
    rows += [("a", "b", "left", f"u{k % 30}", f"p{k}", f"v{k}") for k in range(600)]
    rows += [("a", "b", "right", "contrary", f"q{k}", f"w{k}") for k in range(30)]
    rows += [("a", "b", "tie", f"u{k % 30}", "copied", f"x{k}") for k in range(100)]
    rows += [rows[1], ("a", "b", "?", "u1", "p", "y")]
    with path.open("w", newline="") as out:
        csv.writer(out).writerows(rows)
    return path


def test_it_leaves_out_what_should_not_count_and_says_why(votes, tmp_path):
    text = run(votes, tmp_path / "clean.jsonl")
    assert "30  of 1 voters who vote against everybody else" in text
    assert "1  the same vote again" in text
    assert "votes.csv, row 733: unknown winner '?'" in text
    kept = list(read(tmp_path / "clean.jsonl"))
    assert len(kept) == 700
    assert "contrary" not in {row.voter for row in kept}
    copied = [row.weight for row in kept if row.prompt == "copied"]
    assert sum(copied) < 100
    assert {row.weight for row in kept if row.prompt != "copied"} == {1.0}


def test_both_rules_can_be_switched_off(votes, tmp_path):
    run(votes, tmp_path / "clean.csv", "--keep-outliers", "--keep-copies")
    kept = list(read(tmp_path / "clean.csv"))
    assert len(kept) == 730
    assert {row.weight for row in kept} == {1.0}


def test_it_overwrites_nothing(votes):
    with pytest.raises(CommandError, match="not overwritten"):
        run(votes, votes)
