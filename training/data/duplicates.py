"""Step: each conversation once. Exact duplicates by digest, near ones by MinHash (Broder 1997) in bands.

What is remembered per kept conversation is its digests and its signature, some 400 bytes, never its text.
"""

import hashlib
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from training.data.records import Conversation, Preference, Record

SHINGLE = 5
"""Words that are looked at together."""
HASHES = 64
BANDS = 16
"""Bands of four: a pair of likeness 0.8 meets in one of them with probability 0.9998, one of 0.3 with 0.12."""

Signature = npt.NDArray[np.uint32]
_PRIME = np.uint64((1 << 31) - 1)
_random = np.random.default_rng(20240501)
_FACTORS = _random.integers(1, int(_PRIME), HASHES, dtype=np.uint64)
_SHIFTS = _random.integers(0, int(_PRIME), HASHES, dtype=np.uint64)


def digest(record: Record) -> bytes:
    """The same for records that differ in case and blanks only: of a conversation's first question and answer (as
    FastChat compares them), of a pair's prompt and both answers."""
    parts = first_round(record) if isinstance(record, Conversation) else [record.text]
    normal = "\x00".join(" ".join(part.casefold().split()) for part in parts)
    return hashlib.blake2b(normal.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def first_round(conversation: Conversation) -> list[str]:
    body = conversation.messages[len(conversation.head) :]
    return [message.text for message in body[:2]]


def signature(text: str) -> Signature | None:
    """The least of `HASHES` hashes over the text's shingles; None for a text without words."""
    words = text.casefold().split()
    if not words:
        return None
    hashes = np.fromiter(
        (zlib.crc32(word.encode("utf-8", "surrogatepass")) for word in words), np.uint64, len(words)
    )
    width = min(SHINGLE, len(words))
    shingles = np.zeros(len(words) - width + 1, np.uint64)
    for offset in range(width):
        shingles = (shingles * np.uint64(1_000_003) + hashes[offset : offset + len(shingles)]) % _PRIME
    shingles = np.unique(shingles)
    least = np.full(HASHES, np.iinfo(np.uint32).max, np.uint64)
    for start in range(0, len(shingles), 4096):  # (shingles, hashes) stays at 2 MB
        table = (shingles[start : start + 4096, None] * _FACTORS + _SHIFTS) % _PRIME
        least = np.minimum(least, table.min(axis=0))
    return least.astype(np.uint32)


def likeness(one: Signature, other: Signature) -> float:
    """An estimate of the Jaccard likeness, ± 0.05 (one standard error at 0.8)."""
    return float(np.mean(one == other))


class Seen:
    """Which records have come by. The first of those that are alike is kept."""

    def __init__(self, *, near: float | None = None):
        """`near`: from which likeness on two count as the same; None compares exactly only."""
        self._near = near
        self._ids: dict[str, str] = {}
        self._digests: dict[bytes, str] = {}
        self._bands: dict[tuple[int, bytes], list[int]] = {}
        self._signatures: list[tuple[str, Signature]] = []

    def reason(
        self, identifier: str, digests: Sequence[bytes], sign: Signature | None
    ) -> tuple[str, str] | None:
        """Why it is one too many, as (reason, detail); else None, and it is remembered."""
        if identifier in self._ids:
            return "duplicate_id", f"Its id was seen before: {identifier}."
        for value in digests:
            if value in self._digests:
                return "duplicate", f"The same as {self._digests[value]}."
        if self._near is not None and sign is not None and (twin := self._twin(sign)):
            return "near_duplicate", f"Nearly the same as {twin}."
        self._remember(identifier, digests, sign)
        return None

    def _twin(self, sign: Signature) -> str:
        candidates = {index for key in _bands(sign) for index in self._bands.get(key, ())}
        for index in sorted(candidates):
            name, other = self._signatures[index]
            if likeness(sign, other) >= (self._near or 0):
                return name
        return ""

    def _remember(self, identifier: str, digests: Sequence[bytes], sign: Signature | None) -> None:
        self._ids[identifier] = identifier
        for value in digests:
            self._digests[value] = identifier
        if self._near is not None and sign is not None:
            for key in _bands(sign):
                self._bands.setdefault(key, []).append(len(self._signatures))
            self._signatures.append((identifier, sign))


def _bands(sign: Signature) -> list[tuple[int, bytes]]:
    rows = HASHES // BANDS
    raw = sign.tobytes()
    size = rows * sign.itemsize
    return [(band, raw[band * size : (band + 1) * size]) for band in range(BANDS)]


def fingerprint(record: Record, *, near: bool) -> tuple[bytes, Any]:
    """What `Seen` wants to know of a record; the costly part, which other cores can do."""
    text = record.text if isinstance(record, Conversation | Preference) else ""
    return digest(record), signature(text) if near else None
