"""Files become battles and votes: read exactly, refused by name, never twice."""

import csv
import gzip
import json
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from arena.battle_files import reading, writing
from arena.battle_files.rows import BadFile, BattleRow
from arena.models import Battle, BattleStyle, Listing, Vote
from arena.ratings.categories import Turn
from arena.selectors import leaderboard
from arena.selectors.leaderboard import Query
from arena.services import counting, importing
from tests.arena.leaderboard.conftest import counters

LLMFAO = Path(__file__).parents[2] / "data/llmfao/crowd-comparisons.csv.gz"


def manage(*arguments: object) -> str:
    out = StringIO()
    call_command("arena", *map(str, arguments), stdout=out)
    return out.getvalue()


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


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("a,b,Left wins!,1,", "unknown winner 'Left wins!'"),
        ("a,a,left,1,", "a fights itself"),
        (",b,left,1,", "left must be the name of a chat model"),
        (f"{'x' * 201},b,left,1,", "left is longer than 200 characters"),
        ("a,b,,1,", "unknown winner ''"),
        ("a,b,left,1", "more or fewer cells than the header"),
    ],
)
def test_it_refuses_a_row_with_its_line_and_the_reason(write, line, reason):
    path = write("votes.csv", f"left,right,winner,voter,category\na,b,left,1,\n{line}\n")
    refused: list[BadFile] = []
    assert len(list(reading.read(path, rejected=refused.append))) == 1
    (problem,) = refused
    assert problem.line == 3
    assert reason in problem.problem
    assert problem.row is not None


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("x.csv", "one,two\n1,2\n", "no known columns"),
        ("x.json", "{not json", "not JSON"),
        ("x.jsonl", "[1, 2]", "must be a JSON object"),
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
    with pytest.raises(CommandError, match="not UTF-8 text"):
        manage("import", path, "--format", "plain")


@pytest.mark.django_db
def test_a_file_that_is_not_there_is_named():
    with pytest.raises(CommandError, match=r"/nowhere/x\.csv: there is no such file"):
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
def test_an_import_that_was_killed_counts_what_it_wrote_and_is_finished_by_the_next(plain, monkeypatch):
    monkeypatch.setattr(importing, "BATCH", 1)

    def rows_until_killed(votes: list[BattleRow]) -> Iterator[BattleRow]:
        yield from votes[:2]
        raise KeyboardInterrupt

    votes = list(reading.read(plain))
    with pytest.raises(KeyboardInterrupt):
        importing.import_votes(votes=rows_until_killed(votes), source="votes")
    assert leaderboard.board(Query()).votes == 2
    assert "1 votes added, 2 were there" in manage("import", plain)
    assert leaderboard.board(Query()).votes == 3
    before = counters()
    counting.rebuild()
    assert counters() == before


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
    assert (style.left_bold, style.right_headers, style.right_lists, style.left_length) == (1, 1, 2, 6)
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
    assert "0 votes count." in manage("recount")
    manage("import", file, "--source", "back")
    assert leaderboard.board(Query()).standings == before


@pytest.mark.django_db
@pytest.mark.parametrize("name", ["votes.json", "votes.jsonl", "votes.parquet", "votes.csv"])
def test_every_kind_of_file_gives_the_same_board(tmp_path, name):
    """A Parquet file of the arena's own shape fills the board as its JSON does."""
    if name.endswith("parquet"):
        pytest.importorskip("pyarrow")
    said = (Turn("Why is 17 prime?", "**Because**", "# No"),)
    rows = [
        BattleRow("a", "b", "left", voter="v", external_id="1", turns=said, when=1.7e9, categories=("own",)),
        BattleRow("b", "c", "both_bad", external_id="2", when=1.7e9, weight=0.5),
        BattleRow("b", "a", "left", external_id="3", when=1.7e9, anonymous=False),
    ]
    writing.write(tmp_path / name, rows)
    assert "3 votes added, 0 were there, 0 rows refused." in manage("import", tmp_path / name)
    assert "0 votes added, 3 were there" in manage("import", tmp_path / name)
    first, second, named = (Vote.objects.get(battle__external_id=number) for number in "123")
    assert (first.choice, first.voter_key, first.battle.created_at.year) == ("left", "votes:v", 2023)
    assert (second.choice, second.weight, second.counted) == ("both_bad", 0.5, True)
    assert (named.counted, named.exclusion, named.battle.mode) == (False, "named", "side_by_side")
    assert leaderboard.board(Query()).votes == 2
    assert leaderboard.board(Query(slice="category:own")).votes == 1
    if not name.endswith("csv"):  # which keeps no texts
        assert first.battle.turns == [{"prompt": "Why is 17 prime?", "left": "**Because**", "right": "# No"}]
        assert first.battle.language == "en"


@pytest.mark.django_db
def test_a_fastchat_log_fills_the_board(write):
    states = [
        {
            "model_name": name,
            "conv_id": f"c-{name}",
            "offset": 0,
            "messages": [["USER", "Hi"], ["A", "Hello"]],
        }
        for name in ("a", "b")
    ]
    lines = [
        {"type": "chat", "state": states[0]},
        {"type": "leftvote", "models": ["", ""], "states": states, "ip": "1.2.3.4", "tstamp": 1.7e9},
    ]
    path = write("2023-11-14-conv.json", "\n".join(map(json.dumps, lines)))
    assert "1 votes added, 0 were there, 0 rows refused." in manage("import", path)
    battle = Battle.objects.get()
    assert (battle.left_name, battle.right_name, battle.external_id) == ("a", "b", "c-a")
    assert battle.turns == [{"prompt": "Hi", "left": "Hello", "right": "Hello"}]


@pytest.mark.django_db
def test_a_category_too_long_for_a_slice_is_cut(write):
    manage("import", write("votes.csv", f"left,right,winner,category\na,b,left,{'x' * 500}\n"))
    assert Battle.objects.get().categories == ["x" * 60]


@pytest.mark.django_db
def test_answers_without_their_fields_are_refused_by_line(write):
    votes = write("crowd.csv", "id,prompt,model_x,model_y,worker,winner,left,right\n7,8,1,2,58,left,A,B\n")
    with pytest.raises(CommandError, match=r"pairs\.jsonl, row 1: a pair needs id"):
        manage("import", votes, "--answers", write("pairs.jsonl", '{"id": 7}'))
    assert not Battle.objects.exists()


@pytest.mark.django_db
@pytest.mark.parametrize("name", ["out.jsonl", "out.json", "out.parquet"])
def test_an_export_with_texts_gives_the_same_battles_again(write, tmp_path, name):
    if name.endswith("parquet"):
        pytest.importorskip("pyarrow")
    row = {
        "model_a": "a", "model_b": "b", "winner": "model_b", "judge": "v", "tstamp": 1.7e9,
        "conversation_a": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "# Hello"}],
        "conversation_b": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hey"}],
    }  # fmt: skip
    manage("import", write("votes.jsonl", json.dumps(row)))
    plain = tmp_path / f"plain-{name}"
    assert "1 votes written" in manage("export", plain)
    assert b"Hello" not in plain.read_bytes()
    assert "1 votes written" in manage("export", tmp_path / name, "--texts")
    before = Battle.objects.get()
    manage("import", tmp_path / name, "--source", "back")
    after = Battle.objects.get(source="back")
    for field in ("left_name", "right_name", "turns", "categories", "language", "created_at"):
        assert getattr(after, field) == getattr(before, field)
    assert Vote.objects.get(battle=after).choice == "right"


@pytest.mark.django_db
def test_an_export_says_what_it_cannot_write(plain, tmp_path):
    manage("import", plain)
    with pytest.raises(CommandError, match="--texts needs a"):
        manage("export", tmp_path / "out.csv", "--texts")
    with pytest.raises(CommandError, match=r"unknown ending '\.txt'"):
        manage("export", tmp_path / "out.txt")


@pytest.mark.django_db
@pytest.mark.parametrize("name", ["out.jsonl", "out.csv"])
def test_votes_on_names_stay_without_counting_when_they_come_back(write, tmp_path, name):
    manage(
        "import",
        write("named.jsonl", json.dumps({"model_a": "a", "model_b": "b", "winner": "tie", "anony": False})),
    )
    assert "0 votes written" in manage("export", tmp_path / f"counted-{name}")
    assert "1 votes written" in manage("export", tmp_path / name, "--all")
    manage("import", tmp_path / name, "--source", "back")
    assert [vote.counted for vote in Vote.objects.all()] == [False, False]
