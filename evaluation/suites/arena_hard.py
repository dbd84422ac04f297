"""Arena-Hard's questions (github.com/lmarena/arena-hard-auto, commit 196f6b8, data/arena-hard-v0.1 and -v2.0).

Version 0.1: `{"question_id", "category", "cluster", "turns": [{"content"}]}`. Version 2: `{"uid", "category",
"subcategory", "prompt"}`.
"""

from evaluation.formats.jsonl import Row
from evaluation.records import Question


def first_version(row: Row, position: int) -> Question:
    """`position` is for shapes without ids and not used here."""
    identifier = row.take("question_id", (str, int), "a number or a text")
    turns = row.take("turns", list, "a list of objects with content")
    texts = [
        turn["content"] for turn in turns if isinstance(turn, dict) and isinstance(turn.get("content"), str)
    ]
    if len(texts) < len(turns):
        raise row.error("each entry of turns must be an object whose content is a text")
    return Question(identifier, _category(row, "arena-hard-v0.1"), tuple(texts), (), row.rest)


def second_version(row: Row, position: int) -> Question:
    """`position` is for shapes without ids and not used here."""
    identifier = row.take("uid", str, "a text")
    prompt = row.take("prompt", str, "the question")
    return Question(identifier, _category(row, "arena-hard-v2.0"), (prompt,), (), row.rest)


def _category(row: Row, otherwise: str) -> str:
    return row.take("category", str, "a text") if row.has("category") else otherwise
