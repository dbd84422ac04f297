"""What is wrong with how a chat model is to be loaded."""


class EngineError(Exception):
    """An engine that cannot be started: one sentence that names the cause and the remedy."""
