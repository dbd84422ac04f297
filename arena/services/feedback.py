"""What people think of an answer in the chat: a thumb with reasons, or a word to the operators."""

import uuid
from collections.abc import Iterable

from django.db import transaction
from django.utils.translation import gettext as _

from arena.errors import Busy, InvalidValue
from arena.models import Feedback, ModerationCase
from arena.selectors import conversations as selectors
from chatsite.accounts.models import User

REASONS = (
    "correct",
    "useful",
    "complete",
    "clear",
    "incorrect",
    "superficial",
    "off_topic",
    "too_long",
    "harmful",
)
LONGEST_COMMENT = 500
EXCERPT = 2000  # characters of the answer that an operator sees


@transaction.atomic
def rate(
    *, owner: User, reply_id: uuid.UUID, good: bool | None, reasons: Iterable[str] = (), comment: str = ""
) -> Feedback | None:
    """Keep a thumb up or down with what was said about it; None takes it back."""
    reply = selectors.owned_reply(owner=owner, reply_id=reply_id)
    if good is None:
        Feedback.objects.filter(reply=reply).delete()
        return None
    if reply.running:
        raise Busy(_("The answer is still being written. Wait for it, or stop it first."))
    chosen = list(dict.fromkeys(reasons))
    if unknown := [reason for reason in chosen if reason not in REASONS]:
        raise InvalidValue(
            _("“%(reason)s” is no reason; there are %(reasons)s.")
            % {"reason": unknown[0][:50], "reasons": ", ".join(REASONS)},
            field="reasons",
        )
    feedback, _created = Feedback.objects.update_or_create(
        reply=reply,
        defaults={"good": good, "reasons": chosen, "comment": _one_line(comment)},
    )
    return feedback


@transaction.atomic
def flag(*, owner: User, reply_id: uuid.UUID, reason: str) -> ModerationCase:
    """Ask an operator to look at an answer. Asked twice, the open case stays one."""
    reply = selectors.owned_reply(owner=owner, reply_id=reply_id)
    reason = _one_line(reason)
    if not reason:
        raise InvalidValue(_("Say in a few words what is wrong."), field="reason")
    case, _created = ModerationCase.objects.update_or_create(
        reply=reply,
        reported_by=owner,
        origin=ModerationCase.Origin.FLAG,
        status=ModerationCase.Status.OPEN,
        defaults={"reason": reason, "excerpt": reply.text[:EXCERPT]},
    )
    return case


def _one_line(text: str) -> str:
    return " ".join(text.replace("\x00", " ").split())[:LONGEST_COMMENT]
