"""Answers that do not stop in mid-sentence: FastChat's `--judge-sent-end`.

Some fine-tunes end their answers too early. Where the text does not end as a sentence does, the tokens that would end
the answer give way to the next best one (source: `is_sentence_complete` and its caller in fastchat/serve/inference.py).
"""

from collections.abc import Collection, Sequence

import torch

from workers.engines.transformers.text import Text

SENTENCE_ENDS = (".", "?", "!", "。", "？", "！", "…", '"', "'", "”")


class WholeSentences:
    """Withholds the `ends` from one reply while its last sentence is open. Fits `sampling.Held`."""

    def __init__(self, ends: Collection[int], text: Text, said: Sequence[int] = ()):
        """`text` decodes this reply and nothing else; `said` are tokens of it that were picked before."""
        self._ends = list(ends)
        self._text = text
        self._last = ""
        for token in said:
            self.accept(token)

    def mask(self, logits: torch.Tensor) -> torch.Tensor:
        if self._last in SENTENCE_ENDS:
            return logits
        held = logits.clone()
        held[[token for token in self._ends if token < len(held)]] = -torch.inf
        return held

    def accept(self, token: int) -> None:
        if token not in self._ends and (said := self._text.feed(token).rstrip()):
            self._last = said[-1]
