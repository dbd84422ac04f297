"""The least that a question can be: `{"prompt": "…"}`, with `id`, `category` and `reference` where wanted."""

from evaluation.formats.jsonl import Row
from evaluation.records import Question, QuestionId


def question(row: Row, position: int) -> Question:
    """Without an id, its place is the id."""
    prompt = row.take("prompt", str, "the question")
    if not prompt.strip():
        raise row.error("prompt is empty; it must be the question")
    identifier: QuestionId = row.take("id", (str, int), "a number or a text") if row.has("id") else position
    category = row.take("category", str, "a text") if row.has("category") else ""
    reference = (row.take("reference", str, "a text"),) if row.has("reference") else ()
    return Question(identifier, category, (prompt,), reference, row.rest)
