"""People judge pairs of answers without knowing whose they are."""

import secrets
import time
import uuid
from collections.abc import MutableMapping
from typing import Any, Final, NamedTuple

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction

from chatsite.accounts.models import User
from evaluation.models import EvaluationRun, HumanVerdict
from evaluation.models.verdicts import Winner
from evaluation.selectors.people import Pair

PENDING: Final = "evaluation_pairs"
MOST_PENDING: Final = 8
"""Pairs that are open at once in a person's tabs; older ones are forgotten."""

SIDES: Final = ("left", "right", Winner.TIE.value)

Session = MutableMapping[str, Any]


class Handed(NamedTuple):
    """A pair on a person's page. `ticket` is all that the page knows of it."""

    ticket: str
    pair: Pair
    swapped: bool
    since: float


class UnknownTicket(Exception):  # noqa: N818 - reads as what happened
    """The page is too old, or was never handed out to this session."""


def hand_out(session: Session, pair: Pair) -> Handed:
    """Remember in the session which pair is shown and which way round; the same again after a reload.

    The names stay on the server: a signed field in the form could be read by whoever opens it.
    """
    pending = dict(session.get(PENDING, {}))
    for ticket, kept in pending.items():
        if Pair(uuid.UUID(kept["run"]), *kept["key"]) == pair:
            return Handed(ticket, pair, kept["swapped"], kept["since"])
    handed = Handed(secrets.token_urlsafe(12), pair, bool(secrets.randbelow(2)), time.time())
    pending[handed.ticket] = {
        "run": str(pair.run_id),
        "key": list(pair[1:]),
        "swapped": handed.swapped,
        "since": handed.since,
    }
    session[PENDING] = dict(list(pending.items())[-MOST_PENDING:])
    return handed


def take_back(session: Session, ticket: str) -> Handed:
    pending = dict(session.get(PENDING, {}))
    kept = pending.pop(ticket, None)
    if kept is None:
        raise UnknownTicket(ticket)
    session[PENDING] = pending
    return Handed(ticket, Pair(uuid.UUID(kept["run"]), *kept["key"]), kept["swapped"], kept["since"])


def record(*, person: User, handed: Handed, side: str) -> HumanVerdict:
    """Store a choice between the sides as a verdict on the chat models. Of two for one pair the first counts."""
    if side not in SIDES:
        raise ValidationError({"side": f"'{side}' is no side. Choose left, right or tie."})
    pair = handed.pair
    verdict = HumanVerdict(
        run=EvaluationRun.objects.get(pk=pair.run_id),
        person=person,
        question_id=pair.question_id,
        turn=pair.turn,
        model_1=pair.model_1,
        model_2=pair.model_2,
        winner=winner(side, swapped=handed.swapped),
        swapped=handed.swapped,
        seconds=round(max(0.0, time.time() - handed.since), 1),
    )
    verdict.clean_fields()
    try:
        with transaction.atomic():
            verdict.save()
    except IntegrityError:
        return HumanVerdict.objects.get(person=person, **pair._asdict())
    return verdict


def winner(side: str, *, swapped: bool) -> str:
    """Left is model 1 unless the sides were swapped."""
    if side == Winner.TIE:
        return Winner.TIE.value
    return Winner.MODEL_1.value if (side == "left") != swapped else Winner.MODEL_2.value
