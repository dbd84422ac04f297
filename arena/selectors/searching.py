"""Searching one's own conversations: titles, messages and answers, of all branches.

Substrings are compared in the database, which works alike on SQLite and PostgreSQL and finds words of languages that
put no blanks between them. SQLite ignores case for ASCII letters only.
"""

from typing import NamedTuple

from django.db.models import Exists, OuterRef, Q, QuerySet, Subquery

from arena.models import Conversation, Message, Reply
from arena.selectors.conversations import owned_by
from chatsite.accounts.models import User

LONGEST_QUERY = 200  # characters
MOST_WORDS = 8
MOST_FOUND = 50
AROUND = 40  # characters on each side of the word that was found


class Found(NamedTuple):
    conversation: Conversation
    # Where the first word stands; "" when it is in the title only.
    excerpt: str


def search(owner: User, query: str) -> list[Found]:
    """The conversations that hold every word of `query` somewhere, newest first; at most `MOST_FOUND`."""
    words = query[:LONGEST_QUERY].replace("\x00", " ").split()[:MOST_WORDS]
    if not words:
        return []
    found = owned_by(owner).defer("system_prompt")
    for word in words:
        found = found.filter(Q(title__icontains=word) | Exists(_messages(word)) | Exists(_replies(word)))
    found = found.annotate(
        in_message=Subquery(_messages(words[0]).order_by("pk").values("text")[:1]),
        in_reply=Subquery(_replies(words[0]).order_by("created_at").values("text")[:1]),
    )
    return [
        Found(conversation, excerpt(conversation.in_message or conversation.in_reply or "", words[0]))
        for conversation in found.order_by("-updated_at")[:MOST_FOUND]
    ]


def excerpt(text: str, word: str) -> str:
    """The surroundings of the first `word` in `text`, on one line."""
    at = max(text.lower().find(word.lower()), 0)
    start, end = max(at - AROUND, 0), at + len(word) + AROUND
    part = " ".join(text[start:end].split())
    return f"{'…' if start else ''}{part}{'…' if end < len(text) else ''}"


def _messages(word: str) -> QuerySet[Message]:
    return Message.objects.filter(conversation=OuterRef("pk"), text__icontains=word)


def _replies(word: str) -> QuerySet[Reply]:
    return Reply.objects.filter(message__conversation=OuterRef("pk"), text__icontains=word)
