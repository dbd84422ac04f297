"""A conversation as a file: Markdown to read, JSON to process. Pure: values in, text out."""

import json
from collections.abc import Sequence
from typing import TypedDict


class Said(TypedDict):
    role: str
    content: str
    # The chat model of an answer; "" for what a person wrote.
    chat_model: str
    created_at: str


def as_json(title: str, said: Sequence[Said]) -> str:
    """One object with `title` and `messages` in OpenAI's shape (role, content), with what else is known beside it."""
    messages = [{key: value for key, value in one.items() if value} for one in said]
    return json.dumps({"title": title, "messages": messages}, ensure_ascii=False, indent=2) + "\n"


def as_markdown(title: str, said: Sequence[Said]) -> str:
    parts = [f"# {title}"]
    parts += [f"## {one['chat_model'] or 'You'}\n\n{one['content'].strip()}" for one in said]
    return "\n\n".join(parts) + "\n"
