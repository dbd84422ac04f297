from arena.admin.battles import BattleAdmin, ModerationCaseAdmin, VoteAdmin
from arena.admin.conversations import ConversationAdmin, ReplyAdmin

__all__ = ["BattleAdmin", "ConversationAdmin", "ModerationCaseAdmin", "ReplyAdmin", "VoteAdmin"]
