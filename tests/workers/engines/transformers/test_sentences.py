"""Answers that end as sentences do."""

import pytest

pytest.importorskip("torch", reason="torch is not installed: pip install '.[hf]'")

import torch

from workers.engines.transformers.sentences import WholeSentences

END, PERIOD, WORD, BLANK, QUOTE = range(5)
SAYS = {PERIOD: ".", WORD: " sea", BLANK: "\n", QUOTE: " he said”"}


class Spelling:
    def feed(self, token: int) -> str:
        return SAYS[token]


def may_end(*said: int, before: tuple[int, ...] = ()) -> bool:
    held = WholeSentences({END, 900}, Spelling(), before)
    for token in said:
        held.accept(token)
    logits = torch.zeros(5)
    masked = held.mask(logits)
    assert torch.equal(logits, torch.zeros(5)), "the argument stays as it is"
    assert masked[1:].isfinite().all()
    return bool(masked[END].isfinite())


@pytest.mark.parametrize("said", [(), (WORD,), (PERIOD, WORD), (WORD, BLANK)])
def test_an_open_sentence_goes_on(said):
    assert not may_end(*said)


@pytest.mark.parametrize("said", [(WORD, PERIOD), (QUOTE,), (WORD, PERIOD, BLANK), (PERIOD, END)])
def test_a_whole_one_may_end(said):
    assert may_end(*said)


def test_what_was_said_before_counts():
    assert may_end(before=(WORD, PERIOD))
    assert not may_end(WORD, before=(PERIOD,))
