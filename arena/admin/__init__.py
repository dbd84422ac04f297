from arena.admin.conversations import ConversationAdmin, ReplyAdmin

__all__ = ["ConversationAdmin", "ReplyAdmin"]
