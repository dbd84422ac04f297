"""Why a wish is refused. Nothing was stored when one of these is raised; its text is a sentence for the person."""

from typing import ClassVar


class Refused(Exception):  # noqa: N818 - reads as what happened: `except Refused`
    """Base of all refusals. `code` is stable: the page switches on it."""

    code: ClassVar[str]

    def __init__(self, message: str, *, field: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.field = field


class InvalidValue(Refused):
    """A field does not hold what it must."""

    code = "invalid"


class NotFound(Refused):
    """There is no such thing, or it is another person's: the two answers are the same on purpose."""

    code = "not_found"


class UnknownChatModel(Refused):
    """The chat model does not exist, is not published, or none is."""

    code = "unknown_chat_model"


class Busy(Refused):
    """The conversation's last answer is still being written."""

    code = "busy"


class TooManyReplies(Refused):
    """The person has as many answers running, or the page follows as many, as it may."""

    code = "too_many"


class TooFast(Refused):
    """The page sends more frames than a person can."""

    code = "too_fast"


class Unavailable(Refused):
    """Something behind the site does not answer; the same wish may be granted later."""

    code = "unavailable"


class NotEnoughChatModels(Refused):
    """A battle needs two chat models that answer at this moment."""

    code = "not_enough_chat_models"


class TermsNotAccepted(Refused):
    """The person has not accepted the arena's terms yet."""

    code = "terms"


class AlreadyVoted(Refused):
    """The battle has its vote."""

    code = "voted"


class BattleUnfinished(Refused):
    """There are no two answers to compare (yet)."""

    code = "unfinished"
