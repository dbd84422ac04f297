import gzip
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from arena.battle_files.reading import outcomes, read
from arena.battle_files.rows import BadFile
from arena.battle_files.writing import write

LLMFAO = Path(__file__).parents[2] / "data/llmfao/crowd-comparisons.csv.gz"


def said(prompt, answer):
    return [{"role": "user", "content": prompt}, {"role": "assistant", "content": answer}]


def clean(**changes):
    """A row of FastChat's clean_battle files."""
    return {
        "question_id": "q1", "model_a": "alpha", "model_b": "beta", "winner": "tie (bothbad)", "judge": "arena_user_7",
        "conversation_a": said("Hi", "# Hello"), "conversation_b": said("Hi", "**Hey**"), "turn": 1, "anony": True,
        "language": "English", "tstamp": 1700000000.5, **changes,
    }  # fmt: skip


def save(tmp_path, *rows, name="votes.json"):
    path = tmp_path / name
    lines = name.endswith(".jsonl")
    path.write_text("\n".join(map(json.dumps, rows)) if lines else json.dumps(rows), encoding="utf-8")
    return path


@pytest.mark.parametrize("name", ["votes.json", "votes.jsonl"])
def test_it_reads_fastchats_rows(tmp_path, name):
    (row,) = read(save(tmp_path, clean(), name=name))
    assert (row.left, row.right, row.winner, row.score) == ("alpha", "beta", "both_bad", 0.5)
    assert (row.voter, row.language, row.when, row.external_id) == ("arena_user_7", "en", 1700000000.5, "q1")
    assert row.turns == (("Hi", "# Hello", "**Hey**"),)
    assert row.style is not None
    assert (row.style.left.headers, row.style.right.bold) == (1, 1)


def test_metadata_wins_over_counting_and_may_nest(tmp_path):
    metadata = {
        f"{name}_{side}{tail}": value
        for side in "ab"
        for name, tail, value in (
            ("sum_assistant", "_tokens", 120),
            ("header_count", "", {"h1": 1, "h2": 2}),
            ("list_count", "", {"ordered": 3, "unordered": 4}),
            ("bold_count", "", {"**": 5, "__": 0}),
        )
    }
    votes, left, right = outcomes(read(save(tmp_path, clean(conv_metadata=metadata))))
    assert left is not None
    assert right is not None
    assert left.tolist() == right.tolist() == [[120, 3, 7, 5]]
    assert votes.models == ("alpha", "beta")


def test_it_reads_the_55k_set(tmp_path):
    path = tmp_path / "train.csv"
    path.write_text(
        "id,model_a,model_b,prompt,response_a,response_b,winner_model_a,winner_model_b,winner_tie\n"
        '30,alpha,beta,"[""Hi"",""More""]","[""a"",null]","[""b"",""c""]",0,1,0\n',
        encoding="utf-8",
    )
    (row,) = read(path)
    assert row.winner == "right"
    assert row.turns == (("Hi", "a", "b"), ("More", "", "c"))


def test_it_refuses_two_winners_at_once(tmp_path):
    row = {"model_a": "a", "model_b": "b", "winner_model_a": 1, "winner_model_b": 1, "winner_tie": 0}
    with pytest.raises(BadFile, match="row 1: exactly one"):
        list(read(save(tmp_path, row)))


def test_it_reads_the_140k_set(tmp_path):
    parts = [
        {"role": "user", "content": [{"type": "text", "text": "Hi"}, {"type": "image", "image": None}]},
        {"role": "assistant", "content": [{"type": "text", "text": "Hello"}]},
    ]
    tags = {
        "math_v0.1": {"math": True},
        "if_v0.1": {"if": False, "score": 1},
        "criteria_v0.1": dict.fromkeys(("complexity", "creativity", "domain_knowledge", "problem_solving",
                                        "real_world", "specificity", "technical_accuracy"), True),
    }  # fmt: skip
    row = {
        "id": "x", "model_a": "alpha", "model_b": "beta", "winner": "both_bad", "evaluation_session_id": "s9",
        "conversation_a": parts, "conversation_b": parts, "category_tag": tags, "is_code": True, "language": "de",
        "timestamp": "2025-06-01 12:00:00",
    }  # fmt: skip
    (vote,) = read(save(tmp_path, row))
    assert vote.turns == (("Hi", "Hello", "Hello"),)
    assert vote.categories == ("coding", "maths", "hard")
    assert vote.voter == "s9"
    assert vote.when == datetime(2025, 6, 1, 12, tzinfo=UTC).timestamp()


def log(kind="leftvote", models=("", ""), **changes):
    states = [
        {
            "model_name": name,
            "conv_id": f"c-{name}",
            "offset": 0,
            "messages": [["USER", "Hi"], ["ASSISTANT", name]],
        }
        for name in ("alpha", "beta")
    ]
    return {"tstamp": 1.0, "type": kind, "models": list(models), "states": states, "ip": "1.2.3.4", **changes}


def test_it_reads_a_fastchat_server_log(tmp_path):
    rows = list(
        read(
            save(
                tmp_path,
                {"tstamp": 0.5, "type": "chat", "model": "x", "state": {}},
                log(),
                log("bothbad_vote", ("alpha", "beta")),
                name="2024-conv.jsonl",
            )
        )
    )
    assert [(row.left, row.winner, row.anonymous, row.line) for row in rows] == [
        ("alpha", "left", True, 2),
        ("alpha", "both_bad", False, 3),
    ]
    assert rows[0].turns == (("Hi", "alpha", "beta"),)


def test_a_log_that_starts_with_a_chat_is_recognised(tmp_path):
    rows = read(save(tmp_path, log("flag"), log("tievote"), name="x.jsonl"), shape="fastchat-log")
    assert [row.winner for row in rows] == ["tie"]


def test_it_reads_llmfao(tmp_path):
    path = tmp_path / "crowd-comparisons.csv"
    path.write_bytes(gzip.decompress(LLMFAO.read_bytes()))
    votes, style, _ = outcomes(read(path))
    assert len(votes) == 8931
    assert len(votes.models) == 59
    assert style is None
    assert votes.voter is not None
    assert votes.voter.max() == 123


def test_it_reads_plain_csv(tmp_path):
    path = tmp_path / "votes.csv"
    path.write_text("left,right,winner,voter,weight\na,b,LEFT,kim,0.5\nb,a,Tie,lee,\n", encoding="utf-8-sig")
    first, second = read(path)
    assert (first.winner, first.voter, first.weight) == ("left", "kim", 0.5)
    assert (second.winner, second.weight) == ("tie", 1.0)


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        (clean(winner="modle_a"), "unknown winner 'modle_a'"),
        (clean(winner=None), "unknown winner"),
        (clean(model_a=""), "model_a must be"),
        (clean(model_a="beta"), "fights itself"),
        (clean(tstamp="yesterday"), "the time must be"),
        (clean(tstamp=float("nan")), "the time must be"),
        (clean(weight=-1), "weight"),
        (clean(anony="perhaps"), "anony"),
        (clean(conversation_a=["Hi"]), "list of messages"),
        (clean(conv_metadata="{broken"), "neither JSON"),
        ({"a": 1}, "no known columns"),
    ],
)
def test_a_bad_row_is_refused_with_file_row_and_problem(tmp_path, row, problem):
    path = save(tmp_path, clean(), row) if "model_a" in row else save(tmp_path, row)
    with pytest.raises(BadFile) as caught:
        list(read(path))
    assert str(caught.value).startswith(f"{path}, row {2 if 'model_a' in row else 1}: ")
    assert problem in str(caught.value)


def test_bad_rows_can_be_collected_while_the_rest_is_read(tmp_path):
    refused: list[BadFile] = []
    rows = list(read(save(tmp_path, clean(), clean(winner="?"), clean()), rejected=refused.append))
    assert [row.line for row in rows] == [1, 3]
    assert [problem.line for problem in refused] == [2]


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("a.json", "[{", "not JSON"),
        ("a.jsonl", '{"type": "chat", "state": {}}\n{', "row 2: not JSON"),
        ("a.json", "[1]", "must be a JSON object"),
        ("a.csv", "left,right,winner\na,b\n", "more or fewer cells"),
        ("a.csv", "left,right,winner\na,b,left,x\n", "more or fewer cells"),
        ("a.parquet", "no", "Parquet"),
    ],
)
def test_a_broken_file_is_named(tmp_path, name, content, problem):
    path = tmp_path / name
    path.write_text(content, encoding="utf-8")
    with pytest.raises(BadFile, match=problem):
        list(read(path))


def test_what_is_no_text_is_refused(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes(b"left,right,winner\n\xff\xfe,b,left\n")
    with pytest.raises(BadFile, match="not UTF-8"):
        list(read(path))


def test_a_missing_file_and_an_unknown_format_are_named(tmp_path):
    with pytest.raises(BadFile, match="no such file"):
        list(read(tmp_path / "none.csv"))
    with pytest.raises(BadFile, match="unknown format 'xml'"):
        list(read(save(tmp_path, clean()), shape="xml"))
    with pytest.raises(BadFile, match="unknown ending"):
        write(tmp_path / "a.xml", [])


@pytest.mark.parametrize("name", ["out.json", "out.jsonl", "out.csv", "out.parquet"])
def test_what_is_written_reads_the_same(tmp_path, name):
    if name.endswith("parquet"):
        pytest.importorskip("pyarrow")
    rows = list(
        read(save(tmp_path, clean(categories=["coding"], weight=0.5), clean(winner="model_b", tstamp=None)))
    )
    assert write(tmp_path / name, rows) == 2
    again = list(read(tmp_path / name))
    for one, other in zip(rows, again, strict=True):
        for field in ("left", "right", "winner", "voter", "external_id", "when", "anonymous", "language", "categories",
                      "weight", "prompt"):  # fmt: skip
            assert getattr(one, field) == getattr(other, field), field
        if not name.endswith("csv"):
            assert one.turns == other.turns
            assert one.style == other.style


def test_an_empty_file_has_no_votes(tmp_path):
    votes, left, _ = outcomes(read(save(tmp_path)))
    assert len(votes) == 0
    assert left is None
