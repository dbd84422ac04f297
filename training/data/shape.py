"""Step: a conversation has the shape that a chat template can render, and says something.

A leading message that is no question and a trailing question are cut off; whatever stands behind an empty message is
cut off with it. The rules are those of FastChat's cleaning, with system and tool messages allowed where they belong.
"""

import re
from collections.abc import Sequence

from training.data.records import BadRow, Conversation, Message, Preference

SHORTEST = 16
"""Characters of a whole conversation."""

FOLLOWS = {
    "user": ("assistant",),
    "assistant": ("user", "tool"),
    "tool": ("assistant", "tool"),
}
_REPEATED_LIST = re.compile(r"\n1\. [^2]*\n1\. ")
_REPEATED_DIGIT = re.compile(r"(\d)\1{8}")


def trimmed(conversation: Conversation) -> Conversation:
    """From its first question to its last answer. Raises `BadRow` when nothing is left."""
    head, body = conversation.head, conversation.messages[len(conversation.head) :]
    if body and body[0].role != "user":
        body = body[1:]
    if body and body[-1].role == "user":
        body = body[:-1]
    if len(body) < 2:
        raise BadRow("too_short", "It has no question with an answer.")
    return conversation.with_messages((*head, *body))


def check_order(before: str, message: Message) -> None:
    """Raises `BadRow` when `message` may not stand behind one of the role `before` ("" at the start)."""
    allowed = FOLLOWS[before] if before else ("user",)
    if message.role not in allowed:
        place = f"behind one of {before}" if before else "first"
        raise BadRow("wrong_order", f"A message of {message.role} stands {place}; {allowed[0]} is expected.")


def is_empty(message: Message) -> bool:
    """Nothing to read, or a control character first: ShareGPT's mark of a lost answer."""
    return not message.extra.get("tool_calls") and (not message.text or not message.text[0].isprintable())


def ended_with_answer(messages: Sequence[Message]) -> Sequence[Message]:
    end = len(messages)
    while end and messages[end - 1].role != "assistant":
        end -= 1
    return messages[:end]


def check_content(conversation: Conversation) -> None:
    """Raises `BadRow` when there is too little to learn from."""
    body = conversation.messages[len(conversation.head) :]
    if len(body) < 2 or sum(len(message.text) for message in body) < SHORTEST:
        raise BadRow("too_short", f"Less than a question with an answer, or than {SHORTEST} characters.")


def check_preference(pair: Preference) -> None:
    for name, side in (("chosen", pair.chosen), ("rejected", pair.rejected)):
        if not side or not any(message.text.strip() for message in side):
            raise BadRow("too_short", f"The {name} answer is empty.")
        if side[0].role != "assistant":
            raise BadRow("wrong_order", f"The {name} answer begins with a message of {side[0].role}.")
    if not any(message.role == "user" for message in pair.prompt):
        raise BadRow("too_short", "The pair has no question.")
    if pair.chosen == pair.rejected:
        raise BadRow("no_difference", "Both answers are the same.")


def check_lists(messages: Sequence[Message]) -> None:
    """Raises `BadRow` for numbered lists that stay at 1, which the page's HTML lost."""
    for message in messages:
        if "\n1. " in message.text and _REPEATED_LIST.search(message.text):
            raise BadRow("wrong_list", "A numbered list counts 1, 1, …")


def check_repetition(messages: Sequence[Message]) -> None:
    """Raises `BadRow` for the same digit nine times in a row; it may be an honest number."""
    for message in messages:
        if _REPEATED_DIGIT.search(message.text):
            raise BadRow("repeated_digits", "The same digit stands nine times in a row.")
