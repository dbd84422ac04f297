import gzip
import json

import pytest

from training import files
from training.files import FileProblem

ROWS = [{"id": str(number), "text": f'Grüße {number} \u2028 \\" ]['} for number in range(7)]


def write_all(path, rows):
    with files.writing(path) as writer:
        for row in rows:
            writer.write(row)


def read(path):
    return [line.row for line in files.read(path)]


@pytest.mark.parametrize("name", ["a.json", "a.jsonl", "a.ndjson", "a.json.gz", "a.jsonl.gz", "a.parquet"])
def test_what_is_written_is_read_again(tmp_path, name):
    if name.endswith(".parquet"):
        pytest.importorskip("pyarrow")
    with files.writing(tmp_path / name) as writer:
        for row in ROWS:
            writer.write(row)
    assert read(tmp_path / name) == ROWS
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("name", ["a.json", "a.jsonl", "a.parquet"])
def test_no_rows_are_a_file_too(tmp_path, name):
    if name.endswith(".parquet"):
        pytest.importorskip("pyarrow")
    with files.writing(tmp_path / name):
        pass
    assert read(tmp_path / name) == []


@pytest.mark.parametrize("indent", [None, 2])
def test_an_array_is_read_in_pieces_of_any_size(tmp_path, monkeypatch, indent):
    path = tmp_path / "a.json"
    values: list[object] = [*ROWS, [], {}, "x", 12345, -1.5e3, True, None, {"a": {"b": [1, [2]]}}]
    path.write_text(json.dumps(values, indent=indent), encoding="utf-8")
    for size in (1, 2, 3, 7, 1 << 20):
        monkeypatch.setattr(files, "CHUNK", size)
        assert read(path) == values


def test_a_bad_line_is_one_rows_matter(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"a": 1}\n\n{"a": \n{"a": 3}\n')
    lines = list(files.read(path))
    assert [line.number for line in lines] == [1, 2, 3]
    assert [bool(line.problem) for line in lines] == [False, True, False]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b'[{"a": 1} {"a": 2}]', "comma"),
        (b'[{"a": 1}, {"a"', "row 2 is not JSON"),
        (b'{"a": "\xff"}', "UTF-8"),
    ],
)
def test_a_broken_file_is_named(tmp_path, content, words):
    path = tmp_path / "a.json"
    path.write_bytes(content)
    with pytest.raises(FileProblem, match=words) as caught:
        list(files.read(path))
    assert "a.json" in str(caught.value)


def test_a_cut_off_archive_is_named(tmp_path):
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(gzip.compress(b'{"a": 1}\n' * 1000)[:40])
    with pytest.raises(FileProblem, match="cannot be read"):
        list(files.read(path))


def test_a_file_that_is_not_there_or_has_no_known_ending_is_refused(tmp_path):
    with pytest.raises(FileProblem, match="There is no file"):
        list(files.read(tmp_path / "x.json"))
    with pytest.raises(FileProblem, match=r"\.jsonl"), files.writing(tmp_path / "x.txt"):
        pass


def test_a_failure_leaves_the_old_file_as_it_was(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"old": 1}\n')
    with pytest.raises(ZeroDivisionError), files.writing(path) as writer:
        writer.write({"new": 1 / 0})
    assert read(path) == [{"old": 1}]
    assert [found.name for found in tmp_path.iterdir()] == ["a.jsonl"]


def test_parquet_refuses_fields_that_come_late(tmp_path):
    pytest.importorskip("pyarrow")
    rows = [*({"a": number} for number in range(1000)), {"a": 1, "late": 2}]
    with pytest.raises(FileProblem, match="late"):
        write_all(tmp_path / "a.parquet", rows)
