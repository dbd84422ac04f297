from arena.models.conversations import Conversation, Message, Reply

__all__ = ["Conversation", "Message", "Reply"]
