"""Data files as rows to learn from, and what became of the conversations in them."""

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import Dataset, Sampler

from training.data import packing
from training.data.certificate import Certificate, Refused, certify
from training.data.masking import Example, Masker
from training.data.packing import Layout
from training.data.records import BadRow, Conversation
from training.files import FileProblem
from training.preparing import records
from training.recipes.refusals import Refusal
from training.recipes.tensors import model_inputs
from training.tokenizing import Speech

SAMPLES = 50
"""Conversations that the certificate looks at beside its own."""


@dataclass(slots=True)
class Rows:
    examples: list[Example] = field(default_factory=list)
    conversations: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    truncated: int = 0
    """Tokens that were cut off."""
    digest: str = ""
    """Of the files."""

    @property
    def lengths(self) -> list[int]:
        return [len(example) for example in self.examples]

    @property
    def supervised(self) -> int:
        return sum(example.supervised for example in self.examples)

    def as_dict(self) -> dict[str, Any]:
        tokens = sum(self.lengths)
        return {
            "conversations": self.conversations,
            "rows": len(self.examples),
            "tokens": tokens,
            "supervised_tokens": self.supervised,
            "truncated_tokens": self.truncated,
            "dropped": dict(self.dropped),
            "sha256": self.digest,
        }


def conversations(files: Sequence[str], limit: int = 0) -> Iterator[Conversation]:
    """Raises `Refusal` for a file that cannot be used."""
    try:
        found = (
            record for record in records([Path(name) for name in files]) if isinstance(record, Conversation)
        )
        yield from islice(found, limit or None)
    except FileProblem as error:
        raise Refusal("data", str(error)) from None


def certified(speech: Speech, files: Sequence[str]) -> Certificate:
    """Raises `Refusal` without one."""
    samples = list(conversations(files, SAMPLES))
    if not samples:
        raise Refusal(
            "data", "The files hold no conversations. Preference pairs are for the recipe preference."
        )
    found = certify(
        speech.template, speech.tokenize, speech.decode, speech.ends, name=speech.key, samples=samples
    )
    if not found.valid:
        raise Refusal("template", str(Refused(found)))
    return found


def read(
    speech: Speech, certificate: Certificate, files: Sequence[str], *, max_length: int, limit: int = 0
) -> Rows:
    """Raises `Refusal` when nothing is left to learn."""
    masker = Masker(speech.template, speech.tokenize, certificate.cut, max_length)
    rows = Rows(digest=digest(files))
    for conversation in conversations(files, limit):
        rows.conversations += 1
        try:
            examples = masker.rows(conversation)
        except BadRow as error:
            rows.dropped[error.reason] += 1
            continue
        rows.examples += examples
        rows.truncated += sum(example.truncated for example in examples)
    if not rows.examples:
        told = ", ".join(f"{count} {reason}" for reason, count in rows.dropped.items())
        raise Refusal("data", f"No row carries loss ({told}). `manage.py data preview` shows why.")
    return rows


def digest(files: Sequence[str]) -> str:
    """SHA-256 over the files, one after the other."""
    value = hashlib.sha256()
    for name in files:
        with Path(name).open("rb") as file:
            while part := file.read(1 << 20):
                value.update(part)
    return value.hexdigest()


class RowSet(Dataset[list[Example]]):
    """Rows of one or several examples. Packed once, by `seed`; their order is the sampler's."""

    def __init__(self, examples: Sequence[Example], layout: Layout, max_length: int, *, seed: int):
        self._examples, self._layout = examples, layout
        lengths = [len(example) for example in examples]
        if layout == "padded":
            self._rows = [[index] for index in range(len(examples))]
        else:
            self._rows = packing.plan(lengths, max_length, seed=seed)
        self.lengths = [sum(lengths[index] for index in row) for row in self._rows]

    def __len__(self) -> int:
        return len(self._rows)

    def batches(self, size: int, *, seed: int) -> list[list[int]]:
        """Rows that come together in an epoch such as the sampler's."""
        if self._layout == "padded":
            return packing.grouped(self.lengths, size, seed=seed)
        return [list(range(len(self)))[at : at + size] for at in range(0, len(self), size)]

    def computed(self, batch: Sequence[int]) -> int:
        """Tokens of a batch, with the padding that makes its rows alike."""
        lengths = [self.lengths[index] for index in batch]
        if self._layout == "flat":
            return packing.rounded(sum(lengths))
        return len(batch) * packing.rounded(max(lengths))

    @property
    def middling(self) -> int:
        """The row of the middle length."""
        return sorted(range(len(self)), key=lambda index: self.lengths[index])[len(self) // 2]

    def __getitem__(self, index: int) -> list[Example]:
        return [self._examples[number] for number in self._rows[index]]


@dataclass(frozen=True, slots=True)
class Collator:
    """Rows → a model's arguments."""

    layout: Layout
    pad: int
    attention: str
    windowed: bool

    def __call__(self, rows: list[list[Example]]) -> dict[str, torch.Tensor]:
        if self.layout == "flat":
            batch = packing.flatten([example for row in rows for example in row], pad=self.pad)
        else:
            batch = packing.collate(rows, pad=self.pad)
        return model_inputs(batch, self.layout, attention=self.attention, windowed=self.windowed)


class GroupedSampler(Sampler[int]):
    """Rows of like length together, in another order each epoch that follows from the seed alone."""

    def __init__(self, lengths: Sequence[int], batch: int, *, seed: int):
        self._lengths, self._batch, self._seed, self._epoch = lengths, batch, seed, 0

    def set_epoch(self, epoch: int) -> None:
        self._epoch = epoch

    def __len__(self) -> int:
        return len(self._lengths)

    def __iter__(self) -> Iterator[int]:
        batches = packing.grouped(self._lengths, self._batch, seed=self._seed + self._epoch)
        return (index for batch in batches for index in batch)
