"""Tokens to text, with a tokenizer of bytes: every character of more than one byte comes in parts."""

import pytest

from tests.workers.engines.weights import tiny_tokenizer
from workers.engines.transformers.text import TokenBytes, TokenText, _Window

TEXTS = ["plain words", "😀👩‍👩‍👧🇨🇭", "你好世界 日本語", "é à ü", "a\n\nb\t c"]


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    pytest.importorskip("transformers", reason="transformers is not installed: pip install '.[hf]'")
    from transformers import AutoTokenizer

    folder = tmp_path_factory.mktemp("tokenizer")
    tiny_tokenizer(folder)
    return AutoTokenizer.from_pretrained(folder)


class Slow:
    """A tokenizer written in Python, as far as `TokenText` can tell."""

    def __init__(self, tokenizer):
        self.decode = tokenizer.decode


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("kind", ["native", "window"])
def test_no_character_is_split_and_none_is_lost(tokenizer, text, kind):
    stream = TokenText(tokenizer if kind == "native" else Slow(tokenizer))
    ids = tokenizer(text, add_special_tokens=False).input_ids
    pieces = [stream.feed(token) for token in ids]
    assert "".join(pieces) == text
    assert all("\ufffd" not in piece for piece in pieces)
    assert len(ids) == len(text.encode())


def test_bytes_that_become_no_character_are_left_out(tokenizer):
    stream = TokenText(tokenizer)
    half, letter = tokenizer("é", add_special_tokens=False).input_ids[0], tokenizer("a").input_ids[0]
    assert "".join(stream.feed(token) for token in (letter, half, letter, letter)) == "aaa"


def test_what_was_delivered_is_not_said_again(tokenizer):
    ids = tokenizer("äöü and more", add_special_tokens=False).input_ids
    stream = TokenText(tokenizer, ids[:6])
    assert "".join(stream.feed(token) for token in ids[6:]) == " and more"


def test_a_special_token_has_no_text(tokenizer):
    assert TokenText(tokenizer).feed(tokenizer.eos_token_id) == ""


def test_the_window_forgets_what_it_has_read(tokenizer):
    window = _Window(Slow(tokenizer))
    for token in tokenizer("long " * 50, add_special_tokens=False).input_ids:
        window.step(token)
    assert window._begin >= 248


def test_it_names_tokens_by_their_bytes(tokenizer):
    names = TokenBytes(tokenizer)
    ids = tokenizer("é b", add_special_tokens=False).input_ids
    assert b"".join(names.bytes(token) for token in ids) == "é b".encode()
    assert names.text(ids[0]) == "\ufffd"
    assert names.bytes(tokenizer.eos_token_id) == b"</s>"
    told = names.told(ids[2], -0.5, [(ids[3], -99999.0)])
    assert (told.token, told.bytes, told.logprob) == (" ", (32,), -0.5)
    assert told.top[0].logprob == -9999.0


class Sentencepiece:
    """As the tokenizers of Llama 2 and T5 write their pieces."""

    all_special_ids = (0,)
    pieces = ("<s>", "\u2581Hello", "<0xE4>", "w")

    def convert_ids_to_tokens(self, token):
        return self.pieces[token]


def test_pieces_of_sentencepiece_are_read_too():
    names = TokenBytes(Sentencepiece())
    assert [names.bytes(token) for token in range(4)] == [b"<s>", b" Hello", b"\xe4", b"w"]
