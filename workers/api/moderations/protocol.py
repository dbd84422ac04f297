"""The wire of `/v1/moderations`."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from workers.api.errors import InvalidParameter
from workers.api.fields import LONGEST_MODEL, Fields, items, text

MODEL: Final = "chatsite-moderation"
MOST_INPUTS: Final = 128
LONGEST_INPUT: Final = 200_000  # characters
HONOURED: Final = frozenset({"input", "model"})

# OpenAI's, so that its clients find what they read. A word list knows none of them: what it finds is `policy`.
CATEGORIES: Final = (
    "harassment", "harassment/threatening", "hate", "hate/threatening", "illicit", "illicit/violent", "self-harm",
    "self-harm/instructions", "self-harm/intent", "sexual", "sexual/minors", "violence", "violence/graphic",
)  # fmt: skip
POLICY: Final = "policy"


@dataclass(frozen=True, slots=True)
class ModerationRequest:
    inputs: tuple[str, ...]


def parse(body: dict[str, Any]) -> ModerationRequest:
    """Raises `InvalidParameter` for the first thing that is wrong."""
    fields = Fields(body)
    fields.refuse_unknown(HONOURED)
    fields.text("model", longest=LONGEST_MODEL)  # there is one, whatever it is called
    value = fields.required("input")
    if isinstance(value, str):
        return ModerationRequest((text(value, "input", longest=LONGEST_INPUT),))
    found = items(value, "input", fewest=1, most=MOST_INPUTS, wanted="a string or a list")
    if all(isinstance(entry, dict) for entry in found):
        # Parts of one text, as OpenAI's newer model takes them.
        parts = [_part(entry, f"input[{index}]") for index, entry in enumerate(found)]
        return ModerationRequest(("\n".join(parts),))
    return ModerationRequest(
        tuple(text(entry, f"input[{index}]", longest=LONGEST_INPUT) for index, entry in enumerate(found))
    )


def _part(value: Any, path: str) -> str:
    fields = Fields(value, path)
    if fields.required("type") != "text":
        raise InvalidParameter(fields.param("type"), "can only be 'text' here.", code="unsupported_value")
    return text(fields.required("text"), fields.param("text"), longest=LONGEST_INPUT)


def answer(results: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return {"id": f"modr-{uuid.uuid4().hex}", "model": MODEL, "results": list(results)}


def result(reasons: Sequence[str]) -> dict[str, Any]:
    """`reasons`: what was found, as sentences; OpenAI's own categories among them are recognised."""
    named = {name for reason in reasons for name in reason.removeprefix("Flagged as ").split(", ")}
    found = {name: name in named for name in CATEGORIES}
    found[POLICY] = bool(reasons) and not any(found.values())
    return {
        "flagged": bool(reasons),
        "categories": found,
        "category_scores": {name: float(flagged) for name, flagged in found.items()},
        "category_applied_input_types": {
            name: ["text"] if flagged else [] for name, flagged in found.items()
        },
    }
