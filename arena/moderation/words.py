"""Looks for phrases, as whole words and whatever the case."""

import re
from collections.abc import Iterable
from functools import lru_cache

from arena.moderation.findings import Finding, around


def find(text: str, phrases: Iterable[tuple[str, bool]]) -> list[Finding]:
    """`phrases`: each with whether it is refused. One finding per phrase, the refused ones first."""
    found = []
    for phrase, refuse in phrases:
        if phrase.strip() and (match := _pattern(phrase).search(text)):
            found.append(Finding(f"The phrase “{phrase}”", around(text, match.start(), match.end()), refuse))
    return sorted(found, key=lambda finding: not finding.refuse)


@lru_cache(maxsize=2048)
def _pattern(phrase: str) -> re.Pattern[str]:
    words = r"\s+".join(re.escape(word) for word in phrase.split())
    # Chinese and Japanese have no blanks between words, and \w counts their signs: there a border would find nothing.
    border_before = r"(?<!\w)" if phrase.strip()[0].isascii() else ""
    border_after = r"(?!\w)" if phrase.strip()[-1].isascii() else ""
    return re.compile(border_before + words + border_after, re.IGNORECASE)
