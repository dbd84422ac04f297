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
from arena.models.leaderboard import (
    BattleStyle,
    CounterVersion,
    DailyStatistics,
    Listing,
    ListingChange,
    PairCounter,
    Snapshot,
)
from arena.models.sharing import ConversationShare

__all__ = [
    "Battle",
    "BattleStyle",
    "BlockedPhrase",
    "Contender",
    "Conversation",
    "ConversationShare",
    "CounterVersion",
    "DailyStatistics",
    "Listing",
    "ListingChange",
    "Message",
    "ModerationCase",
    "PairCounter",
    "PinnedPair",
    "Reply",
    "Snapshot",
    "Terms",
    "TermsAcceptance",
    "Vote",
    "VoteDecision",
]
