from arena.admin.battles import BattleAdmin, ModerationCaseAdmin, VoteAdmin
from arena.admin.conversations import ConversationAdmin, ReplyAdmin
from arena.admin.leaderboard import DailyStatisticsAdmin, ListingAdmin, SnapshotAdmin

__all__ = [
    "BattleAdmin",
    "ConversationAdmin",
    "DailyStatisticsAdmin",
    "ListingAdmin",
    "ModerationCaseAdmin",
    "ReplyAdmin",
    "SnapshotAdmin",
    "VoteAdmin",
]
