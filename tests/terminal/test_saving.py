"""Talks in files."""

import pytest

from workers.terminal import saving
from workers.terminal.saving import FileProblem
from workers.terminal.talk import Talk


@pytest.fixture
def talk() -> Talk:
    talk = Talk("Be brief.")
    talk.say("Hi")
    talk.answer("Hello")
    return talk


def save(talk, path):
    return saving.save(talk, str(path), chat_model="parrot")


def test_it_adds_the_ending_and_finds_the_file_without_it(talk, tmp_path):
    assert save(talk, tmp_path / "kept") == tmp_path / "kept.json"
    assert saving.load(str(tmp_path / "kept")) == talk
    assert saving.load(str(tmp_path / "kept.json")) == talk


def test_it_keeps_another_ending(talk, tmp_path):
    assert save(talk, tmp_path / "kept.txt") == tmp_path / "kept.txt"


def test_it_writes_for_its_owner_only(talk, tmp_path):
    assert save(talk, tmp_path / "kept").stat().st_mode & 0o777 == 0o600


def test_it_overwrites_an_earlier_talk_and_leaves_no_draft(talk, tmp_path):
    save(Talk(), tmp_path / "kept")
    save(talk, tmp_path / "kept")
    assert saving.load(str(tmp_path / "kept")) == talk
    assert [path.name for path in tmp_path.iterdir()] == ["kept.json"]


def test_it_does_not_overwrite_anything_else(talk, tmp_path):
    other = tmp_path / "thesis.txt"
    other.write_text("three years of work")
    with pytest.raises(FileProblem, match="holds something else and is not overwritten"):
        save(talk, other)
    assert other.read_text() == "three years of work"


def test_it_says_that_it_cannot_write(talk, tmp_path):
    with pytest.raises(FileProblem, match="cannot be written"):
        save(talk, tmp_path / "no/such/folder/kept")


@pytest.mark.parametrize("name", ["/", "~nobody-of-this-name/kept", "kept\0"])
def test_it_says_that_a_name_is_none(talk, name):
    for use in (lambda: save(talk, name), lambda: saving.load(name)):
        with pytest.raises(FileProblem, match="is no name of a file"):
            use()


def test_it_says_that_there_is_no_such_file(tmp_path):
    with pytest.raises(FileProblem, match="there is no such file"):
        saving.load(str(tmp_path / "kept"))


def test_it_reads_no_folder_and_no_device(tmp_path):
    for name in (str(tmp_path), "/dev/zero"):
        with pytest.raises(FileProblem, match="there is no such file"):
            saving.load(name)


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"not json", b"{}"])
def test_it_says_that_a_file_holds_no_talk(tmp_path, content):
    (tmp_path / "other").write_bytes(content)
    with pytest.raises(FileProblem, match="holds no saved talk"):
        saving.load(str(tmp_path / "other"))


def test_it_refuses_a_file_too_large_for_a_talk(tmp_path, monkeypatch):
    monkeypatch.setattr(saving, "LARGEST_BYTES", 10)
    (tmp_path / "large.json").write_text("[" * 11)
    with pytest.raises(FileProblem, match="too large for a talk"):
        saving.load(str(tmp_path / "large"))
