"""`manage.py data`, from file to file."""

import json
from io import StringIO

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from tests.training.rows import numbered, sharegpt
from training import files


def run(*arguments):
    out = StringIO()
    call_command("data", *map(str, arguments), stdout=out)
    return out.getvalue()


def rows(path):
    return [line.row for line in files.read(path)]


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "in.json"
    path.write_text(json.dumps([*numbered(5), sharegpt("only a question", id="short"), numbered(1)[0]]))
    return path


def test_clean_writes_what_is_left_and_says_what_is_not(source, tmp_path):
    target, rejects, report = tmp_path / "out.json", tmp_path / "rejects.jsonl", tmp_path / "report.json"
    shown = run("clean", source, "--out", target, "--rejects", rejects, "--report", report)
    assert rows(target) == numbered(5)
    assert [(row["id"], row["reason"]) for row in rows(rejects)] == [
        ("short", "too_short"),
        ("c0", "duplicate_id"),
    ]
    assert rows(rejects)[1]["row"] == numbered(1)[0]
    assert "7 rows read, 5 written" in shown
    assert json.loads(report.read_text())["dropped"] == {"too_short": 1, "duplicate_id": 1}


def test_cleaning_what_is_clean_changes_nothing(source, tmp_path):
    first, second = tmp_path / "first.jsonl", tmp_path / "second.jsonl"
    run("clean", source, "--out", first)
    run("clean", first, "--out", second)
    assert first.read_bytes() == second.read_bytes()


def test_many_processes_write_the_same_file_as_one(tmp_path):
    source = tmp_path / "in.jsonl"
    source.write_text("".join(json.dumps(row) + "\n" for row in numbered(300)) + "{broken\n")
    targets = [tmp_path / "one.jsonl", tmp_path / "two.jsonl"]
    for processes, target in enumerate(targets, start=1):
        run("clean", source, "--out", target, "--processes", processes, "--near", "0.8")
    assert targets[0].read_bytes() == targets[1].read_bytes()
    assert len(rows(targets[0])) == 300


def test_several_files_become_one_of_another_format(source, tmp_path):
    alpaca = tmp_path / "alpaca.jsonl"
    alpaca.write_text(json.dumps({"instruction": "Add 1 and 2.", "output": "The sum is 3."}) + "\n")
    run("convert", source, alpaca, "--out", tmp_path / "out.jsonl", "--to", "messages")
    written = rows(tmp_path / "out.jsonl")
    assert len(written) == 8
    assert written[-1]["messages"][1] == {"role": "assistant", "content": "The sum is 3."}


def test_convert_puts_aside_what_the_format_cannot_hold(source, tmp_path):
    run(
        "convert",
        source,
        "--out",
        tmp_path / "out.jsonl",
        "--to",
        "alpaca",
        "--rejects",
        tmp_path / "no.jsonl",
    )
    assert [row["reason"] for row in rows(tmp_path / "no.jsonl")] == ["wrong_kind"]


def test_stats_counts_and_draws(source, tmp_path):
    shown = run("stats", source, "--languages", "--plot", tmp_path / "plot.svg")
    assert "7 conversations" in shown
    assert "█" in shown
    assert "<style>" in (tmp_path / "plot.svg").read_text()
    assert json.loads(run("stats", source, "--json"))["conversations"] == 7


def mild(text):
    return "" if "What is 3" not in text else "No threes here."


def test_a_hook_is_named_by_module_and_function(source, tmp_path):
    hook = "tests.training.test_data_command:mild"
    shown = run("clean", source, "--out", tmp_path / "out.json", "--moderation-hook", hook)
    assert "1 moderation" in shown


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--moderation-hook", "nothing.here:at_all"], "--moderation-hook"),
        (["--keep-lang", "en", "--skip-lang", "de"], "exclude each other"),
        (["--near", "2"], "between 0 and 1"),
        (["--sample", "0"], "below 1"),
        (["--rejects", "out.txt"], "ending"),
    ],
)
def test_it_refuses_what_makes_no_sense(source, tmp_path, arguments, words):
    with pytest.raises(CommandError, match=words):
        run("clean", source, "--out", tmp_path / "out.json", *arguments)
    assert not (tmp_path / "out.json").exists()


def test_it_does_not_write_over_what_it_reads(source):
    with pytest.raises(CommandError, match="named twice"):
        run("clean", source, "--out", source)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(CommandError, match=r"There is no file .*nothing\.json"):
        run("stats", tmp_path / "nothing.json")


def test_identity_writes_conversations_with_a_name(tmp_path):
    target = tmp_path / "identity.jsonl"
    run("identity", "--name", "Pippin", "--maker", "chatsite", "--amount", "7", "--out", target)
    assert len(rows(target)) == 7
    with pytest.raises(CommandError, match="--name must not be empty"):
        run("identity", "--name", " ", "--maker", "x", "--out", target)
