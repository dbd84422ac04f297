"""The suites that come with the product, all written for it.

A file never changes under the same version: results of one version can be compared for ever. Whoever edits one raises
its version; a test holds the digest of each.
"""

from dataclasses import dataclass
from pathlib import Path

DATA = Path(__file__).parent / "data"


@dataclass(frozen=True, slots=True)
class Shipped:
    name: str
    version: str
    description: str

    @property
    def path(self) -> Path:
        return DATA / f"{self.name}.jsonl"


SHIPPED = {
    suite.name: suite
    for suite in (
        Shipped(
            "dialogue",
            "1",
            "Two-turn questions in eight categories, with checked references for maths, reasoning and coding.",
        ),
        Shipped("identity", "1", "Who are you? For a chat model that was taught who it is."),
        Shipped("sanity", "1", "Twelve questions with one-word answers: does a new chat model talk at all?"),
    )
}
