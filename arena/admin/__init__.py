from arena.admin.battles import BattleAdmin, ModerationCaseAdmin, VoteAdmin
from arena.admin.conversations import ConversationAdmin, ReplyAdmin
from arena.admin.labelling import CategoryAdmin, TopicAdmin
from arena.admin.leaderboard import DailyStatisticsAdmin, ListingAdmin, SnapshotAdmin

__all__ = [
    "BattleAdmin",
    "CategoryAdmin",
    "ConversationAdmin",
    "DailyStatisticsAdmin",
    "ListingAdmin",
    "ModerationCaseAdmin",
    "ReplyAdmin",
    "SnapshotAdmin",
    "TopicAdmin",
    "VoteAdmin",
]
