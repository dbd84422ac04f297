"""What a set of training data is like, counted as it streams by."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from training.data.records import Conversation, Record

EDGES = (0, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384, 32768)


class Bar(NamedTuple):
    label: str
    amount: int


@dataclass(slots=True)
class Statistics:
    """`measure` is the length of a text: its characters, or a tokenizer's tokens."""

    measure: Callable[[str], int] = len
    detect_language: Callable[[str], str] | None = None
    conversations: int = 0
    pairs: int = 0
    rounds: list[int] = field(default_factory=list)
    lengths: list[int] = field(default_factory=list)
    prompts: list[int] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)
    roles: Counter[str] = field(default_factory=Counter)
    languages: Counter[str] = field(default_factory=Counter)
    models: Counter[str] = field(default_factory=Counter)

    def add(self, record: Record) -> None:
        if isinstance(record, Conversation):
            self.conversations += 1
            self.rounds.append(len(record.rounds))
            messages = record.messages
        else:
            self.pairs += 1
            self.rounds.append(sum(message.role == "user" for message in record.prompt))
            messages = (*record.prompt, *record.chosen, *record.rejected)
        lengths = [self.measure(message.text) for message in messages]
        self.lengths.append(sum(lengths))
        for message, length in zip(messages, lengths, strict=True):
            self.roles[message.role] += 1
            if message.role == "assistant":
                self.answers.append(length)
            elif message.role == "user":
                self.prompts.append(length)
        if isinstance(model := record.extra.get("model"), str) and model:
            self.models[model] += 1
        if self.detect_language:
            self.languages[self.detect_language(record.text[:4000]) or "unknown"] += 1

    def as_dict(self) -> dict[str, Any]:
        return {
            "conversations": self.conversations,
            "pairs": self.pairs,
            "total": int(sum(self.lengths)),
            "rounds": summary(self.rounds),
            "length": summary(self.lengths),
            "prompt": summary(self.prompts),
            "answer": summary(self.answers),
            "roles": dict(self.roles.most_common()),
            "languages": dict(self.languages.most_common(20)),
            "models": dict(self.models.most_common(20)),
            "histogram": {bar.label: bar.amount for bar in histogram(self.lengths)},
        }


def summary(values: list[int]) -> dict[str, float]:
    if not values:
        return {}
    array = np.asarray(values)
    middle, high, top = np.percentile(array, (50, 90, 99))
    return {
        "mean": round(float(array.mean()), 2),
        "median": float(middle),
        "p90": float(high),
        "p99": float(top),
        "max": int(array.max()),
    }


def histogram(values: list[int]) -> list[Bar]:
    """How many lie between each edge and the next; the last bar is open."""
    counts, _ = np.histogram(values, bins=[*EDGES, np.inf])
    labels = [f"{low}–{high - 1}" for low, high in pairwise(EDGES)] + [f"{EDGES[-1]}+"]
    return [Bar(label, int(count)) for label, count in zip(labels, counts, strict=True)]
