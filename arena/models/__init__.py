from arena.models.arena import (
    BlockedPhrase,
    Contender,
    ModerationCase,
    PinnedPair,
    Terms,
    TermsAcceptance,
)
from arena.models.attachments import Attachment
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
from arena.models.presets import Preset
from arena.models.sharing import ConversationShare
from arena.models.verdicts import Feedback, TokenProbabilities

__all__ = [
    "Attachment",
    "Battle",
    "BattleStyle",
    "BlockedPhrase",
    "Category",
    "Contender",
    "Conversation",
    "ConversationShare",
    "CounterVersion",
    "DailyStatistics",
    "Feedback",
    "KeptBoard",
    "Listing",
    "ListingChange",
    "Message",
    "ModerationCase",
    "PairCounter",
    "PinnedPair",
    "Preset",
    "Reply",
    "Snapshot",
    "Terms",
    "TermsAcceptance",
    "TokenProbabilities",
    "Topic",
    "Vote",
    "VoteDecision",
    "VoterSpread",
]
