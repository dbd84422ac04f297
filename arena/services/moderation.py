"""Looks at what is written and answered in battles, and keeps the queue of cases for the operators."""

import logging
import uuid
from collections.abc import Iterator, Sequence
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils import timezone
from django.utils.module_loading import import_string
from django.utils.translation import gettext

from arena.errors import InvalidValue
from arena.models import BlockedPhrase, ModerationCase, Reply, Vote
from arena.moderation import words
from arena.moderation.findings import Finding, Moderator
from arena.selectors import battles as selectors
from arena.services import votes
from chatsite.accounts.models import User

logger = logging.getLogger(__name__)


def word_list(text: str) -> Sequence[Finding]:
    """The moderator that needs nothing but the phrases in the admin."""
    phrases = BlockedPhrase.objects.values_list("phrase", "action")
    return words.find(text, ((phrase, action == BlockedPhrase.Action.REFUSE) for phrase, action in phrases))


def findings(text: str) -> Iterator[tuple[str, Finding]]:
    """What each of the site's moderators finds, with its name."""
    for name in settings.ARENA_MODERATORS:
        moderator: Moderator = import_string(name)
        for finding in moderator(text):
            yield name, finding


def check_prompt(*, text: str, author: User) -> list[ModerationCase]:
    """Refuse the message, or return the cases to store with its battle.

    Call it outside a transaction: the case of a refused message is stored, without a battle, since there will be none.
    """
    cases = []
    for moderator, finding in findings(text):
        case = _case(ModerationCase.Origin.PROMPT, moderator, finding, reported_by=author)
        if finding.refuse:
            case.save()
            raise InvalidValue(
                gettext("This message is not allowed here. Please write something else."), field="text"
            )
        cases.append(case)
    return cases


def check_answer(*, reply_id: str) -> int:
    """Look at a recorded answer of a battle. Returns how many cases it opened; other answers open none."""
    reply = Reply.objects.select_related("message__conversation__battle").filter(pk=reply_id).first()
    if reply is None or reply.message.conversation.battle is None or not reply.text:
        return 0
    conversation = reply.message.conversation
    found = list(findings(reply.text))
    for moderator, finding in found:
        _case(
            ModerationCase.Origin.ANSWER,
            moderator,
            finding,
            battle=conversation.battle,
            side=conversation.side,
        ).save()
    return len(found)


@transaction.atomic
def flag(*, owner: User, battle_id: uuid.UUID, reason: str) -> ModerationCase:
    """A person asks an operator to look at the battle. Asked twice, the open case stays one."""
    reason = " ".join(reason.split())[:500]
    if not reason:
        raise InvalidValue(gettext("Say in a few words what is wrong."), field="reason")
    battle = selectors.owned_battle(owner=owner, battle_id=battle_id)
    case, _ = ModerationCase.objects.update_or_create(
        battle=battle,
        reported_by=owner,
        origin=ModerationCase.Origin.FLAG,
        status=ModerationCase.Status.OPEN,
        defaults={"reason": reason},
    )
    return case


@transaction.atomic
def decide(*, case: ModerationCase, operator: User, upheld: bool) -> None:
    """Close a case. An upheld one takes the battle's vote out of the ratings."""
    case.status = ModerationCase.Status.UPHELD if upheld else ModerationCase.Status.DISMISSED
    case.decided_by, case.decided_at = operator, timezone.now()
    case.save(update_fields=["status", "decided_by", "decided_at"])
    vote = Vote.objects.filter(battle=case.battle_id).first() if upheld and case.battle_id else None
    if vote is not None and vote.counted:
        votes.leave_out(vote=vote, exclusion=Vote.Exclusion.MODERATION, operator=operator, note=case.reason)


def _case(origin: str, moderator: str, finding: Finding, **values: Any) -> ModerationCase:
    return ModerationCase(
        origin=origin,
        moderator=moderator[:100],
        reason=finding.reason[:500],
        excerpt=finding.excerpt,
        severe=finding.refuse,
        **values,
    )
