"""What is known of an answer besides its text."""

import json
import math
import uuid
from typing import NamedTuple

from django.utils.translation import gettext

from arena.errors import NotFound
from arena.models import TokenProbabilities
from arena.selectors.conversations import owned_reply
from chatsite.accounts.models import User

# The classes that the page colours tokens with: from "sure" down to "a guess".
STEPS = (0.9, 0.5, 0.2, 0.05)


class Alternative(NamedTuple):
    text: str
    percent: float


class Token(NamedTuple):
    """One token of an answer."""

    text: str
    percent: float | None
    """None where the engine did not say."""
    step: int
    """0 is sure, `len(STEPS)` a guess."""
    alternatives: list[Alternative]

    @property
    def shown(self) -> str:
        """A new line as a sign: a button of its own would hide it."""
        return self.text.replace("\n", "↵")

    @property
    def lines(self) -> int:
        """How many new lines it begins."""
        return min(self.text.count("\n"), 2)

    @property
    def alternatives_json(self) -> str:
        return json.dumps(self.alternatives)


def token_probabilities(*, owner: User, reply_id: uuid.UUID) -> list[Token]:
    """Raises `NotFound` for another person's answer, and for one without them."""
    reply = owned_reply(owner=owner, reply_id=reply_id)
    stored = TokenProbabilities.objects.filter(reply=reply).first()
    if stored is None:
        raise NotFound(gettext("This answer has no token probabilities."), field="reply")
    return [_token(text, logprob, top) for text, logprob, top in stored.tokens]


def _token(text: str, logprob: float | None, top: list[tuple[str, float]]) -> Token:
    alternatives = [Alternative(other, _percent(value)) for other, value in top]
    if logprob is None:
        return Token(text, None, 0, alternatives)
    probability = math.exp(logprob)
    step = sum(probability < bound for bound in STEPS)
    return Token(text, _percent(logprob), step, alternatives)


def _percent(logprob: float) -> float:
    return round(100 * math.exp(logprob), 1)
