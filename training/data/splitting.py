"""Step: long conversations become pieces that fit, cut between rounds, with the system message in front of each.

No round is lost (FastChat's split loses the last one whenever it is the one that does not fit). A single round that
is too long stays, as a piece of its own that says so; training cuts its tokens and counts them.
"""

from collections.abc import Callable, Sequence

from training.data.records import Conversation, Message

Counter = Callable[[Sequence[Message]], int]
"""Messages → tokens as the model will see them, its template included."""

TOO_LONG = "too_long"
"""The field that marks a piece of one round that does not fit."""


def split(conversation: Conversation, count: Counter, most: int) -> list[Conversation]:
    """The conversation itself when it fits into `most` tokens, else its pieces, named `<id>_<first message>`."""
    if count(conversation.messages) <= most:
        return [conversation]
    pieces: list[Conversation] = []
    rounds = conversation.rounds
    position = 0
    start = 0
    while start < len(rounds):
        end = _reach(conversation.head, rounds, start, count, most)
        messages = [message for part in rounds[start:end] for message in part]
        extra = {**conversation.extra, "split_from": conversation.id}
        piece = Conversation(f"{conversation.id}_{position}", (*conversation.head, *messages), extra)
        if end == start + 1 and count(piece.messages) > most:
            piece = Conversation(piece.id, piece.messages, {**extra, TOO_LONG: True})
        pieces.append(piece)
        position += len(messages)
        start = end
    return pieces


def _reach(
    head: tuple[Message, ...], rounds: list[tuple[Message, ...]], start: int, count: Counter, most: int
) -> int:
    """The end of the longest piece from `start` on that fits; at least one round. Bisected: counting is costly."""
    fits, too_many = start + 1, len(rounds) + 1
    while too_many - fits > 1:
        end = (fits + too_many) // 2
        messages = [*head, *(message for part in rounds[start:end] for message in part)]
        if count(messages) <= most:
            fits = end
        else:
            too_many = end
    return fits
