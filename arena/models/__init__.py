from arena.models.battles import Battle, Vote, VoteDecision
from arena.models.conversations import Conversation, Message, Reply

__all__ = ["Battle", "Conversation", "Message", "Reply", "Vote", "VoteDecision"]
