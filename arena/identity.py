"""Whether an answer says who wrote it. Pure: texts in, findings out.

Only whole words count, and only in answers: a question about a chat model is no hint about who answers it.
"""

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import NamedTuple

# Names of families, assistants and their makers, as they stand in published chat models' cards (2023 to 2026). None is
# an everyday word of its own ("yi", "palm", "bard" and "command" are, so they are missing); a chat model's own name is
# added for its battles.
KNOWN = (
    "openai", "chatgpt", "gpt-3", "gpt-3.5", "gpt-4", "gpt-4o", "gpt-5",
    "anthropic", "claude",
    "deepmind", "gemini", "gemma",
    "llama", "meta ai", "vicuna", "alpaca", "koala", "lmsys",
    "mistral ai", "mistral", "mixtral",
    "qwen", "tongyi", "alibaba cloud",
    "deepseek", "chatglm", "zhipu", "internlm", "baichuan", "moonshot ai", "kimi",
    "smollm", "hugging face", "huggingface",
    "cohere", "nemotron", "granite", "olmo", "falcon-7b", "falcon-40b", "starling-lm", "zephyr-7b",
    "open assistant", "laion", "stablelm", "dolly", "xai", "grok",
)  # fmt: skip
# Parts of a name that say nothing about who it is.
COMMON_PARTS = frozenset(
    [
        "chat",
        "instruct",
        "base",
        "model",
        "small",
        "medium",
        "large",
        "mini",
        "nano",
        "tiny",
        "turbo",
        "preview",
        "latest",
        "beta",
        "alpha",
        "test",
        "demo",
        "gguf",
        "instruction",
        "tuned",
        "distill",
        "reasoning",
        "thinking",
        "vision",
        "code",
        "coder",
        "math",
        "assistant",
    ]
)
SHORTEST_PART = 4
EXCERPT = 40  # characters on each side of the word


class Finding(NamedTuple):
    """The evidence: which word stands where."""

    side: str
    turn: int
    word: str
    excerpt: str


def words_of(name: str) -> set[str]:
    """The whole name and the parts that could give it away: "SmolLM2-135M-Instruct" has "smollm2" and "smollm"."""
    words = {name.casefold()}
    for part in re.split(r"[^a-z0-9]+", name.casefold()):
        for word in (part, part.rstrip("0123456789")):
            letters = sum(character.isalpha() for character in word)
            if letters >= SHORTEST_PART and word not in COMMON_PARTS:
                words.add(word)
    return words


def find(answers: Iterable[tuple[str, int, str]], names: Iterable[str]) -> list[Finding]:
    """Look through `answers` (side, turn, text); at most one finding for each word of an answer."""
    words = set(KNOWN).union(*(words_of(name) for name in names))
    pattern = _pattern(frozenset(words))
    found: dict[tuple[str, int, str], Finding] = {}
    for side, turn, text in answers:
        for match in pattern.finditer(text):
            word = match.group().casefold()
            start, end = max(0, match.start() - EXCERPT), match.end() + EXCERPT
            found.setdefault((side, turn, word), Finding(side, turn, word, text[start:end]))
    return list(found.values())


def as_evidence(findings: Iterable[Finding]) -> dict[str, list[Mapping[str, object]]]:
    """As it is stored with the vote."""
    return {"words": [finding._asdict() for finding in findings]}


@lru_cache(maxsize=256)
def _pattern(words: frozenset[str]) -> re.Pattern[str]:
    # The longest first: of "gpt-4" and "gpt-4o" the whole word is the evidence. \b would take "gpt-4" in "gpt-4x" apart
    # from "4x", and knows no border beside a hyphen.
    alternatives = "|".join(re.escape(word) for word in sorted(words, key=len, reverse=True))
    return re.compile(rf"(?<![\w-])(?:{alternatives})(?!\w)", re.IGNORECASE)
