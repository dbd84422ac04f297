"""Topics of prompts: groups that share words, found by spherical k-means on TF-IDF. Pure, with a fixed seed.

Words, not meaning: it needs no model, takes seconds for thousands of prompts, and says by which words a group holds
together. Chinese, Japanese and Korean text is taken in pairs of signs.
"""

import re
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from arena.ratings.arrays import Floats, Integers
from arena.ratings.categories import STOP_WORDS

MOST_TERMS = 2000
MOST_TOPICS = 24
FEWEST_PROMPTS = 3
RESTARTS = 8
_TEXT_LIMIT = 4000
_TERM = re.compile(r"[^\W\d_]{3,}|[\u2e80-\u9fff\uac00-\ud7af]{2,}")
_WIDE = re.compile(r"[\u2e80-\u9fff\uac00-\ud7af]+")


class Topic(NamedTuple):
    words: tuple[str, ...]
    """The strongest first."""
    members: tuple[int, ...]
    """Positions of its prompts, the nearest to its middle first."""


def find(prompts: Sequence[str], *, topics: int | None = None, seed: int = 0) -> list[Topic]:
    """The largest first. Prompts that share no word with any other are in none; so are groups of fewer than three.

    `topics`: how many are looked for; None: about the square root of half the prompts.
    """
    terms, weights = _vectors([terms_of(prompt) for prompt in prompts])
    known = np.flatnonzero(weights.any(axis=1))
    if len(known) < FEWEST_PROMPTS:
        return []
    wanted = topics if topics is not None else round((len(known) / 2) ** 0.5)
    number = max(1, min(wanted, MOST_TOPICS, len(known) // FEWEST_PROMPTS))
    rng = np.random.default_rng(seed)
    # k-means ends where it cannot improve by single moves; the best of some beginnings is kept.
    groups, centres, _ = max(
        (_cluster(weights[known], number, rng) for _ in range(RESTARTS)), key=lambda one: one[2]
    )
    found = []
    for group, centre in enumerate(centres):
        rows = np.flatnonzero(groups == group)
        if len(rows) >= FEWEST_PROMPTS:
            near = rows[np.argsort(-(weights[known[rows]] @ centre), kind="stable")]
            words = tuple(
                terms[index] for index in np.argsort(-centre, kind="stable")[:8] if centre[index] > 0
            )
            found.append(Topic(words, tuple(int(known[row]) for row in near)))
    return sorted(found, key=lambda topic: (-len(topic.members), topic.words))


def terms_of(prompt: str) -> list[str]:
    """Words of three letters and more that are not in everybody's mouth; pairs of signs where there are no blanks."""
    found = []
    for word in _TERM.findall(prompt[:_TEXT_LIMIT].casefold()):
        if _WIDE.fullmatch(word):
            found += [word[index : index + 2] for index in range(len(word) - 1)]
        elif word not in STOP_WORDS:
            found.append(word)
    return found


def _vectors(documents: Sequence[Sequence[str]]) -> tuple[list[str], Floats]:
    """(terms, (N, V) of length one): log-scaled counts, times how rare a term is."""
    spread = Counter(term for document in documents for term in set(document))
    # What half of all prompts say tells none apart, and what a single one says joins none.
    most = max(2, len(documents) // 2)
    kept = sorted((t for t, n in spread.items() if 2 <= n <= most), key=lambda t: (-spread[t], t))[
        :MOST_TERMS
    ]
    place = {term: index for index, term in enumerate(kept)}
    weights = np.zeros((len(documents), len(kept)), dtype=np.float32)
    for row, document in enumerate(documents):
        for term, times in Counter(document).items():
            if term in place:
                rare = np.log((1 + len(documents)) / (1 + spread[term])) + 1
                weights[row, place[term]] = (1 + np.log(times)) * rare
    length = np.linalg.norm(weights, axis=1, keepdims=True)
    return kept, np.asarray(weights / np.where(length > 0, length, 1))


def _cluster(vectors: Floats, number: int, rng: np.random.Generator) -> tuple[Integers, Floats, float]:
    """(N,) groups, (k, V) centres of length one, and how near the prompts are to them all together."""
    centres = vectors[_far_apart(vectors, number, rng)]
    groups = np.full(len(vectors), -1, dtype=np.int64)
    for _ in range(50):
        nearest = np.argmax(vectors @ centres.T, axis=1)
        if (nearest == groups).all():
            break
        groups = nearest
        for group in range(number):
            total = vectors[groups == group].sum(axis=0)
            length = np.linalg.norm(total)
            if length > 0:
                centres[group] = total / length
    near = (vectors * centres[groups]).sum()
    return groups.astype(np.int64), centres, float(near)


def _far_apart(vectors: Floats, number: int, rng: np.random.Generator) -> list[int]:
    """Where to begin: each next one is drawn the sooner, the less it has in common with those chosen (k-means++)."""
    chosen = [int(rng.integers(len(vectors)))]
    apart = np.full(len(vectors), np.inf)
    while len(chosen) < number:
        apart = np.minimum(apart, np.maximum(1.0 - vectors @ vectors[chosen[-1]], 0.0))
        total = float(apart.sum())
        if total <= 1e-9:
            chosen.append(int(rng.integers(len(vectors))))
        else:
            chosen.append(
                int(np.searchsorted(np.cumsum(apart) / total, rng.random(), side="right")) % len(vectors)
            )
    return chosen
