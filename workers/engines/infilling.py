"""Filling a gap between a beginning and an end: the three tokens that models were taught it with.

Source of the names: llama.cpp, src/llama-vocab.cpp (the same search where a file does not say its tokens).
"""

import mmap
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from workers import gguf

KEYS = {
    "before": ("fim_pre_token_id", "prefix_token_id"),
    "behind": ("fim_suf_token_id", "suffix_token_id"),
    "middle": ("fim_mid_token_id", "middle_token_id"),
}
NAMES = {
    "before": (
        "<|fim_prefix|>",
        "<fim-prefix>",
        "<fim_prefix>",
        "<PRE>",
        "▁<PRE>",
        "<｜fim▁begin｜>",
        "<|code_prefix|>",
    ),
    "behind": (
        "<|fim_suffix|>",
        "<fim-suffix>",
        "<fim_suffix>",
        "<SUF>",
        "▁<SUF>",
        "<｜fim▁hole｜>",
        "<|code_suffix|>",
    ),
    "middle": (
        "<|fim_middle|>",
        "<fim-middle>",
        "<fim_middle>",
        "<MID>",
        "▁<MID>",
        "<｜fim▁end｜>",
        "<|code_middle|>",
    ),
}
# What a file has that can fill gaps: one of these.
ANY = tuple(key.encode() for key in KEYS["middle"]) + tuple(name.encode() for name in NAMES["middle"])
LONGEST_HEADER = 64 * 2**20


class Gap(NamedTuple):
    """Ids; what is generated stands between `behind`'s text and the end, and is read behind `middle`."""

    before: int
    behind: int
    middle: int
    begin: int | None
    """What every text begins with, where the model wants that."""

    def around(self, prompt: Iterable[int | str], suffix: str) -> list[int | str]:
        """The prompt of a gap between `prompt` and `suffix`, as text and ids in turn."""
        begin = [] if self.begin is None else [self.begin]
        pieces = [*begin, self.before, *prompt, self.behind, suffix, self.middle]
        return [piece for piece in pieces if piece != ""]


def tokens_of(path: Path) -> Gap | None:
    """Of a GGUF file; None when its model was not taught to fill gaps, or its header cannot be read."""
    if not _may_have_them(path):
        return None
    try:
        return gap_of(gguf.read_header(path).metadata)
    except (OSError, gguf.NotGguf):
        return None


def gap_of(metadata: Mapping[str, Any]) -> Gap | None:
    tokens: list[Any] = metadata.get("tokenizer.ggml.tokens", [])
    found: dict[str, int] = {}
    for part, keys in KEYS.items():
        said = next(
            (value for key in keys if isinstance(value := metadata.get(f"tokenizer.ggml.{key}"), int)), None
        )
        found[part] = _first(tokens, NAMES[part]) if said is None else said
    if not all(0 <= token < len(tokens) for token in found.values()):
        return None
    begin = (
        metadata.get("tokenizer.ggml.bos_token_id") if metadata.get("tokenizer.ggml.add_bos_token") else None
    )
    return Gap(found["before"], found["behind"], found["middle"], begin)


def _first(tokens: list[Any], names: Iterable[str]) -> int:
    """-1 where none of them is there."""
    return next((tokens.index(name) for name in names if name in tokens), -1)


def _may_have_them(path: Path) -> bool:
    """A look that is a hundred times as quick as reading the header."""
    with path.open("rb") as file:
        length = min(LONGEST_HEADER, path.stat().st_size)
        with mmap.mmap(file.fileno(), length, access=mmap.ACCESS_READ) as header:
            return any(header.find(name) >= 0 for name in ANY)
