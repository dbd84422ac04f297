"""A suite of what people really ask: messages of the arena's battles whose votes count.

Only from people who accepted the arena's terms and still have their account, from battles that nobody flagged and
moderation did not stop, and no message that looks as if it held a mail address or a long number. Nothing says who wrote
it.
"""

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterable

from django.db.models import Exists, OuterRef, QuerySet

from arena.models import Battle, Conversation, Message, ModerationCase, TermsAcceptance, Vote
from arena.models.battles import SITE
from evaluation.records import Question
from evaluation.suites import Suite

NAME = "arena"
DEFAULT_SIZE = 100
LARGEST = 2000
UNSORTED = "arena"
"""The category of a battle that nothing was said about."""
PERSONAL = re.compile(r"[^\s@]+@[^\s@]+\.\w|(?:\d[\s()/.-]{0,2}){9,}")
LONGEST = 8000
"""Characters of one message; longer ones are pasted documents."""


def draw(*, size: int = DEFAULT_SIZE) -> Suite:
    """At most `size` questions, as equally many of each category as there are.

    The same battles give the same suite: which of a category are taken follows from the messages themselves. May be
    empty.
    """
    by_category: dict[str, list[Question]] = defaultdict(list)
    for battle, turns in _asked(_consented()):
        category = str(battle.categories[0]) if battle.categories else UNSORTED
        identifier = f"arena-{_name(turns[0])}"
        extra = {"language": battle.language} if battle.language else {}
        by_category[category].append(Question(identifier, category, turns, (), extra))
    questions = _evenly(by_category.values(), size)
    return Suite(
        NAME, "", tuple(sorted(questions, key=lambda question: (question.category, str(question.id))))
    )


def _consented() -> QuerySet[Battle]:
    counted = Vote.objects.filter(battle=OuterRef("pk"), counted=True)
    accepted = TermsAcceptance.objects.filter(user=OuterRef("owner"))
    flagged = ModerationCase.objects.filter(battle=OuterRef("pk")).exclude(
        status=ModerationCase.Status.DISMISSED
    )
    return Battle.objects.filter(Exists(counted), Exists(accepted), ~Exists(flagged), source=SITE).order_by(
        "created_at", "pk"
    )


def _asked(battles: QuerySet[Battle]) -> Iterable[tuple[Battle, tuple[str, ...]]]:
    """Each battle with its messages; of battles that begin with the same message only the first."""
    messages: dict[object, list[str]] = defaultdict(list)
    rows = Message.objects.filter(
        conversation__battle__in=battles.order_by(), conversation__side=Conversation.Side.LEFT
    )
    for battle_id, text in rows.order_by("position").values_list("conversation__battle", "text"):
        messages[battle_id].append(text)
    seen: set[str] = set()
    for battle in battles:
        turns = tuple(messages[battle.pk])
        if not turns or not all(_is_fit(text) for text in turns) or _name(turns[0]) in seen:
            continue
        seen.add(_name(turns[0]))
        yield battle, turns


def _is_fit(text: str) -> bool:
    return bool(text.strip()) and len(text) <= LONGEST and not PERSONAL.search(text)


def _name(text: str) -> str:
    """The same for messages that differ in case and blanks only."""
    return hashlib.sha256(" ".join(text.casefold().split()).encode()).hexdigest()[:16]


def _evenly(groups: Iterable[list[Question]], size: int) -> list[Question]:
    """One of each group, then another of each, until there are `size` or none is left."""
    ordered = [sorted(group, key=lambda question: str(question.id)) for group in groups]
    rounds = max((len(group) for group in ordered), default=0)
    taken = [group[turn] for turn in range(rounds) for group in ordered if turn < len(group)]
    return taken[:size]
