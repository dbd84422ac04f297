"""The numbers that answering and judging have in common."""

from collections.abc import Mapping
from typing import Any

from evaluation.judges import temperatures
from evaluation.records import Question
from workers import client

DEFAULT_MAX_TOKENS = 1024
DEFAULT_CONCURRENCY = 8
# More calls than the engine has slots, so that a slot that gets free finds the next request waiting.
AHEAD = 1.25


def room(chat_model: str, parameters: Mapping[str, Any]) -> int:
    """Calls at once to a chat model of the catalog: what was asked for, else enough to keep its engines full."""
    if parameters.get("concurrency"):
        return int(parameters["concurrency"])
    slots = client.slots(chat_model)
    return max(2, round(slots * AHEAD)) if slots else DEFAULT_CONCURRENCY


def temperature_of(question: Question, parameters: Mapping[str, Any]) -> float:
    """What was asked for, else the category's own."""
    if parameters.get("temperature") is not None:
        return float(parameters["temperature"])
    return temperatures.of(question)


def storable(text: str) -> str:
    """`text` without what PostgreSQL or UTF-8 cannot hold; a chat model may produce anything."""
    return text.replace("\x00", "\ufffd").encode("utf-8", "replace").decode("utf-8")
