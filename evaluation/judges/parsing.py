"""What a judge's words mean. Strict first, then tolerant, and None for nonsense: it is counted, never scored.

The forms are those of the MT-bench prompts (`[[7]]`, `[[A]]`), of a JSON object as `SINGLE_SCHEMA` and `PAIR_SCHEMA`
ask for, and what weaker judges make of either.
"""

import json
import re
from typing import Any, Literal, TypeAlias

Place: TypeAlias = Literal["A", "B", "tie"]

LOWEST, HIGHEST = 1.0, 10.0

SINGLE_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "explanation": {"type": "string"},
        "score": {"type": "integer", "minimum": 1, "maximum": 10},
    },
    "required": ["explanation", "score"],
    "additionalProperties": False,
}
PAIR_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "explanation": {"type": "string"},
        "winner": {"type": "string", "enum": ["A", "B", "tie"]},
    },
    "required": ["explanation", "winner"],
    "additionalProperties": False,
}

_NUMBER = r"([0-9]+(?:\.[0-9]+)?)"
_SCORE_FORMS = (
    re.compile(rf"\[\[\s*(?:rating:?\s*)?{_NUMBER}(?:\s*/\s*10)?\s*\]\]", re.IGNORECASE),
    re.compile(rf"\[\s*{_NUMBER}\s*\]"),
    re.compile(rf"\b(?:rating|score)\b\W{{0,6}}(?:is\W{{0,3}})?{_NUMBER}", re.IGNORECASE),
    re.compile(rf"\b{_NUMBER}\s*/\s*10\b"),
)
_CHOICE_FORMS = (
    re.compile(r"\[\[\s*(A|B|C|tie)\s*\]\]", re.IGNORECASE),
    re.compile(r"\[\s*(A|B|C|tie)\s*\]", re.IGNORECASE),
    re.compile(r"\b(?:verdict|winner)\b\W{0,6}(?:is\W{0,3})?(?:assistant\s+)?(A|B|C|tie)\b", re.IGNORECASE),
)
_PLACES: dict[str, Place] = {"A": "A", "B": "B", "C": "tie", "TIE": "tie"}


def score(judgment: str) -> float | None:
    """A score from 1 to 10; None when there is none, or it is outside, or the judge contradicts itself."""
    found = _json_field(judgment, "score")
    if isinstance(found, int | float) and not isinstance(found, bool):
        return _in_range(float(found))
    for form in _SCORE_FORMS:
        if matches := form.findall(judgment):
            return _in_range(float(matches[-1])) if _agree(matches, judgment, form) else None
    return None


def choice(judgment: str) -> Place | None:
    """Which place won. None when it is not said, or more than one is named to the end."""
    found = _json_field(judgment, "winner")
    if isinstance(found, str) and found.strip().upper() in _PLACES:
        return _PLACES[found.strip().upper()]
    for form in _CHOICE_FORMS:
        if matches := [match.upper() for match in form.findall(judgment)]:
            return _PLACES[matches[-1]] if _agree(matches, judgment, form) else None
    return None


def _agree(matches: list[str], judgment: str, form: re.Pattern[str]) -> bool:
    """One answer, or several of which the last line holds only one: weak judges repeat the instruction first."""
    if len({match.upper() for match in matches}) == 1:
        return True
    last_line = judgment.strip().splitlines()[-1]
    return len({match.upper() for match in form.findall(last_line)}) == 1


def _in_range(value: float) -> float | None:
    return value if LOWEST <= value <= HIGHEST else None


def _json_field(text: str, name: str) -> object:
    """The field of the first JSON object in `text` that has it."""
    decoder = json.JSONDecoder()
    start = text.find("{")
    while start >= 0:
        try:
            value, _ = decoder.raw_decode(text, start)
        except ValueError:
            value = None
        if isinstance(value, dict) and name in value:
            return value[name]
        start = text.find("{", start + 1)
    return None
