from arena.models.arena import (
    BlockedPhrase,
    Contender,
    ModerationCase,
    PinnedPair,
    Terms,
    TermsAcceptance,
)
from arena.models.battles import Battle, Vote, VoteDecision
from arena.models.conversations import Conversation, Message, Reply

__all__ = [
    "Battle",
    "BlockedPhrase",
    "Contender",
    "Conversation",
    "Message",
    "ModerationCase",
    "PinnedPair",
    "Reply",
    "Terms",
    "TermsAcceptance",
    "Vote",
    "VoteDecision",
]
