"""Files become battles and votes: read exactly, refused by name, never twice."""

import csv
import gzip
import json
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from arena import style_counts, vote_files
from arena.models import Battle, BattleStyle, Listing, Vote
from arena.selectors import leaderboard
from arena.selectors.leaderboard import Query
from arena.vote_files import FileVote, Rejected

LLMFAO = Path(__file__).parents[2] / "data/llmfao/crowd-comparisons.csv.gz"


def manage(*arguments: object) -> str:
    out = StringIO()
    call_command("arena", *map(str, arguments), stdout=out)
    return out.getvalue()


def votes_of(path: Path, kind: str) -> list[FileVote]:
    """All rows, of which none is refused."""
    rows = list(vote_files.read(path, kind))
    assert all(isinstance(row, FileVote) for row in rows)
    return [row for row in rows if isinstance(row, FileVote)]


@pytest.fixture
def write(tmp_path):
    def _write(name: str, text: str):
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return _write


@pytest.fixture
def plain(write):
    return write(
        "votes.csv", "left,right,winner,voter,category\na,b,left,1,coding\na,b,tie,2,\nb,c,bothbad,1,\n"
    )


def test_it_reads_a_plain_csv(plain):
    first, second, third = votes_of(plain, "csv")
    assert (first.left, first.right, first.choice, first.voter, first.categories) == (
        "a",
        "b",
        "left",
        "1",
        ("coding",),
    )
    assert (second.choice, third.choice) == ("tie", "both_bad")


def test_it_reads_arena_rows_with_conversations(write):
    said = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]
    row = {
        "question_id": "q1",
        "model_a": "a",
        "model_b": "b",
        "winner": "tie (bothbad)",
        "judge": "arena_user_7",
        "conversation_a": said,
        "conversation_b": said,
        "language": "English",
        "tstamp": 1682351591.13,
    }
    for name, text in (("x.json", json.dumps([row])), ("x.jsonl", json.dumps(row) + "\n")):
        (vote,) = votes_of(write(name, text), "arena")
        assert (vote.external_id, vote.choice, vote.voter) == ("q1", "both_bad", "arena_user_7")
        assert vote.turns == (("Hi", "Hello", "Hello"),)
        assert vote.created_at
        assert vote.created_at.year == 2023


def test_it_reads_the_shape_with_a_column_for_each_winner(write):
    row = {"id": 1, "model_a": "a", "model_b": "b", "winner_model_a": 0, "winner_model_b": 1, "winner_tie": 0}
    (vote,) = votes_of(write("x.jsonl", json.dumps(row)), "arena")
    assert vote.choice == "right"


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("a,b,Left wins!,1,", "unknown winner 'Left wins!'"),
        ("a,a,left,1,", "a is on both sides"),
        (",b,left,1,", "left is missing"),
        (f"{'x' * 201},b,left,1,", "left is longer than 200 characters"),
        ("a,b,,1,", "unknown winner ''"),
    ],
)
def test_it_refuses_a_row_with_its_line_and_the_reason(write, line, reason):
    path = write("votes.csv", f"left,right,winner,voter,category\na,b,left,1,\n{line}\n")
    _, refused = vote_files.read(path, "csv")
    assert isinstance(refused, Rejected)
    assert refused.line == 3
    assert reason in refused.reason


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("x.csv", "one,two\n1,2\n", "has no columns left, right and winner"),
        ("x.json", "{not json", "is no JSON"),
        ("x.jsonl", "[1, 2]", "was expected"),
    ],
)
@pytest.mark.django_db
def test_it_refuses_a_file_that_holds_no_votes(write, name, text, sentence):
    with pytest.raises(CommandError, match=sentence):
        manage("import", write(name, text))


@pytest.mark.django_db
def test_it_refuses_bytes_that_are_no_text(tmp_path):
    path = tmp_path / "x.csv"
    path.write_bytes(b"left,right,winner\na,\xff\xfe,left\n")
    with pytest.raises(CommandError, match="not text in UTF-8"):
        manage("import", path, "--format", "csv")


@pytest.mark.django_db
def test_a_file_that_is_not_there_is_named():
    with pytest.raises(CommandError, match=r"There is no file /nowhere/x\.csv"):
        manage("import", "/nowhere/x.csv")


@pytest.mark.django_db
def test_it_adds_votes_that_count(plain):
    assert "3 votes added, 0 were there, 0 rows refused." in manage("import", plain)
    vote = Vote.objects.get(battle__external_id="a/b/left/1")
    assert (vote.counted, vote.entered, vote.voter, vote.voter_key) == (True, True, None, "votes:1")
    assert vote.battle.revealed
    assert leaderboard.board(Query()).votes == 3
    assert leaderboard.board(Query(slice="category:coding")).votes == 1


@pytest.mark.django_db
def test_a_second_import_adds_nothing(plain):
    manage("import", plain)
    assert "0 votes added, 3 were there" in manage("import", plain)
    assert Vote.objects.count() == 3


@pytest.mark.django_db
def test_the_same_vote_twice_in_a_file_is_two_votes(write):
    path = write("votes.csv", "left,right,winner\na,b,left\na,b,left\n")
    assert "2 votes added" in manage("import", path)
    assert "0 votes added, 2 were there" in manage("import", path)


@pytest.mark.django_db
def test_a_dry_run_writes_nothing(plain):
    assert "3 votes would be added" in manage("import", plain, "--dry-run")
    assert not Battle.objects.exists()


@pytest.mark.django_db
def test_refused_rows_are_written_to_a_file(write, tmp_path):
    path = write("votes.csv", "left,right,winner\na,b,left\na,b,maybe\n")
    rejects = tmp_path / "refused.jsonl"
    assert "1 votes added, 0 were there, 1 rows refused." in manage("import", path, "--rejects", rejects)
    refused = json.loads(rejects.read_text())
    assert refused["line"] == 3
    assert refused["row"]["winner"] == "maybe"


@pytest.mark.django_db
def test_the_name_of_this_site_is_no_source(plain):
    with pytest.raises(CommandError, match="other than “site”"):
        manage("import", plain, "--source", "site")


@pytest.mark.django_db
def test_answers_make_readable_battles_with_categories_and_style(write):
    votes = write("crowd.csv", "id,prompt,model_x,model_y,worker,winner,left,right\n7,8,1,2,58,left,A,B\n")
    pair = {
        "id": 7,
        "text": "Why?",
        "type": "knowledge",
        "result_x": "**Because**",
        "result_y": "# No\n- a\n- b",
    }
    answers = write("pairs.jsonl", json.dumps(pair))
    models = write("models.jsonl", json.dumps({"name": "A", "org": "Aviary"}))
    manage("import", votes, "--answers", answers, "--models", models)
    battle = Battle.objects.get()
    assert battle.turns == [{"prompt": "Why?", "left": "**Because**", "right": "# No\n- a\n- b"}]
    assert battle.categories[0] == "knowledge"
    style = BattleStyle.objects.get()
    assert (style.left_bold, style.right_headers, style.right_lists, style.left_length) == (1, 1, 2, 3)
    assert Listing.objects.get().organisation == "Aviary"


@pytest.mark.django_db
def test_answers_are_labelled_by_the_rules_of_the_arena(write):
    head = "left,right,winner,prompt,left_answer,right_answer,category\n"
    code = "Write a Python function that adds two numbers and explain it"
    path = write("votes.csv", f"{head}a,b,left,{code},```python\\ndef f(): ...```,No,own\n")
    manage("import", path)
    battle = Battle.objects.get()
    assert battle.language == "en"
    assert battle.categories[0] == "own"
    assert "coding" in battle.categories


@pytest.mark.django_db
def test_real_votes_fill_the_board(tmp_path):
    path = tmp_path / "crowd-comparisons.csv"
    path.write_bytes(gzip.decompress(LLMFAO.read_bytes()))
    assert "8931 votes added, 0 were there, 0 rows refused." in manage("import", path)
    board = leaderboard.board(Query())
    assert (len(board.standings), board.votes) == (59, 8931)
    assert board.gradient < 1e-8
    assert board.standings[0].tier == 1
    assert board.standings[-1].rank > 20


@pytest.mark.django_db
def test_what_was_exported_can_be_imported(plain, tmp_path):
    manage("import", plain)
    before = leaderboard.board(Query()).standings
    file = tmp_path / "out.csv"
    assert "3 votes written" in manage("export", file)
    with file.open(newline="") as opened:
        assert next(csv.reader(opened))[:4] == ["id", "left", "right", "winner"]
    with pytest.raises(CommandError, match="not overwritten"):
        manage("export", file)
    Battle.objects.all().delete()
    manage("import", file, "--source", "back")
    assert leaderboard.board(Query()).standings == before


def test_style_counts_leave_code_alone():
    text = "# Title\n\n1. one\n2. two\n* **three**\n```python\n# no header\n- no item\n```\n"
    counts = style_counts.count(text)
    assert (counts.headers, counts.lists, counts.bold) == (1, 3, 1)
    assert counts.length == -(-len(text) // 4)
