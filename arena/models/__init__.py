from arena.models.arena import (
    BlockedPhrase,
    Contender,
    ModerationCase,
    PinnedPair,
    Terms,
    TermsAcceptance,
)
from arena.models.background import KeptBoard, VoterSpread
from arena.models.battles import Battle, Vote, VoteDecision
from arena.models.conversations import Conversation, Message, Reply
from arena.models.labelling import Category, Topic
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
    "Category",
    "Contender",
    "Conversation",
    "ConversationShare",
    "CounterVersion",
    "DailyStatistics",
    "KeptBoard",
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
    "Topic",
    "Vote",
    "VoteDecision",
    "VoterSpread",
]
