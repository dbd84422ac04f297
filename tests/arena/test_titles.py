import pytest

from arena.services.conversations import TITLE_CHARACTERS, title_from


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("Hello", "Hello"),
        ("  Hello\n\n  you \t there ", "Hello you there"),
        ("", ""),
        ("\x01\x02", ""),
        ("\u200b\u2060 \u202e", ""),
        ("Ring\x07 the bell", "Ring the bell"),
        ("one two " * 20, "one two one two one two one two one two one two one two one…"),
        ("x" * 100, "x" * 59 + "…"),
        ("鸚" * 100, "鸚" * 59 + "…"),
        ("x" * 60, "x" * 60),
    ],
)
def test_it_makes_a_title_from_the_first_words(text, title):
    assert title_from(text) == title


@pytest.mark.parametrize("text", ["word " * 100, "x" * 500, "a " + "b" * 100, "\n" * 50 + "late"])
def test_a_title_is_never_too_long(text):
    assert len(title_from(text)) <= TITLE_CHARACTERS
