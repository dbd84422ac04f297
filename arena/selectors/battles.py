"""Reading battles and votes. What a battle's owner may see of a side before the vote is decided here."""

import uuid
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import NamedTuple

from django.db.models import Max, Prefetch, QuerySet
from django.utils.translation import gettext

from arena.errors import NotFound
from arena.models import Attachment, Battle, Conversation, Message, Reply, Vote
from arena.prompts import NOTHING, PastTurn
from arena.selectors import attachments
from chatsite.accounts.models import User


class Side(NamedTuple):
    """One answer as a page shows it: nothing in it says who wrote it."""

    text: str
    status: str
    """`queued`, `finished` or `failed`."""
    outcome: str = ""
    """A finish reason or an error code."""

    @property
    def running(self) -> bool:
        return self.status == Reply.Status.QUEUED


class Turn(NamedTuple):
    """A message and the newest answers of both sides."""

    number: int
    prompt: str
    left: Side
    right: Side
    all_texts: dict[str, list[str]]
    """Per side, every finished answer, earlier versions included."""
    files: Sequence[Attachment] = ()
    """What was shown with the message, to both sides alike."""

    @property
    def running(self) -> bool:
        return self.left.running or self.right.running

    @property
    def comparable(self) -> bool:
        """Both answers are there, whole or stopped."""
        return all(side.status == Reply.Status.FINISHED for side in (self.left, self.right))


class Standing(NamedTuple):
    """A side's newest reply of the last turn, for those who follow it."""

    side: str
    reply_id: uuid.UUID


def owned_by(owner: User) -> QuerySet[Battle]:
    return Battle.objects.filter(owner=owner)


def owned_battle(*, owner: User, battle_id: uuid.UUID) -> Battle:
    """Raises `NotFound` for an unknown one and for another person's alike."""
    battle = owned_by(owner).filter(pk=battle_id).first()
    if battle is None:
        raise NotFound(gettext("This battle does not exist (any more)."), field="battle")
    return battle


def shared_battle(share_key: str) -> Battle | None:
    """The battle that a link opens, for everybody."""
    return Battle.objects.filter(share_key=share_key).first() if share_key else None


def recent(owner: User, amount: int = 20) -> list[tuple[Battle, str]]:
    """The owner's latest battles, each with its first message."""
    battles = list(owned_by(owner).order_by("-created_at")[:amount])
    first = dict(
        Conversation.objects.filter(battle__in=battles, side=Conversation.Side.LEFT, messages__position=1)
        .values_list("battle_id", "messages__text")
        .order_by()
    )
    return [(battle, first.get(battle.pk, "")) for battle in battles]


def running(battle: Battle) -> QuerySet[Reply]:
    return Reply.objects.filter(message__conversation__battle=battle, status=Reply.Status.QUEUED)


def last_turn(battle: Battle) -> tuple[int, list[Standing]]:
    """The number of the last turn, and the newest reply of each side in it."""
    turn = Message.objects.filter(conversation__battle=battle).aggregate(last=Max("position"))["last"] or 0
    rows = (
        Reply.objects.filter(message__conversation__battle=battle, message__position=turn)
        .order_by("created_at")
        .values_list("message__conversation__side", "id")
    )
    newest = dict(rows)
    return turn, [Standing(side, newest[side]) for side in sorted(newest)]


def turns(battle: Battle) -> list[Turn]:
    """All that was said, in five queries; an imported battle needs none."""
    if battle.turns:
        return [_imported(number, turn) for number, turn in enumerate(battle.turns, start=1)]
    replies = Prefetch("messages__replies", queryset=Reply.objects.order_by("created_at"))
    files = Prefetch("messages__attachments", queryset=Attachment.objects.defer("content", "text"))
    sides = {
        side.side: list(side.messages.all())
        for side in battle.sides.prefetch_related("messages", replies, files)
    }
    both = zip(sides.get("left", []), sides.get("right", []), strict=False)
    return [
        Turn(
            number=left.position,
            prompt=left.text,
            left=_side(list(left.replies.all())),
            right=_side(list(right.replies.all())),
            all_texts={"left": _texts(left.replies.all()), "right": _texts(right.replies.all())},
            files=list(left.attachments.all()),
        )
        for left, right in both
    ]


def past_turns(conversation: Conversation, *, before: int) -> list[PastTurn]:
    """The turns of one side in front of the message at position `before`, with the newest finished answer of each."""
    messages = conversation.messages.filter(position__lt=before).order_by("position")
    finished = Reply.objects.filter(
        message__conversation=conversation, message__position__lt=before, status=Reply.Status.FINISHED
    ).exclude(text="")
    answers = dict(finished.order_by("created_at").values_list("message_id", "text"))
    shown = attachments.shown_with(answers)
    return [
        PastTurn(text, answers.get(pk, ""), shown.get(pk, NOTHING))
        for pk, text in messages.values_list("pk", "text")
    ]


def first_prompts(most: int) -> list[str]:
    """What the newest battles began with, imported ones included; a prompt that came twice stands there once."""
    asked = Message.objects.filter(
        conversation__side=Conversation.Side.LEFT, conversation__battle__isnull=False, position=1
    )
    fought = asked.order_by("-created_at").values_list("text", flat=True)[:most]
    newest = Battle.objects.exclude(turns=[]).order_by("-created_at")
    imported = newest.values_list("turns", flat=True)[: most * 3]
    found = dict.fromkeys(text.strip() for text in fought)
    for turns in imported.iterator(chunk_size=1000):
        found.setdefault(str(turns[0].get("prompt", "")).strip())
    return [text for text in found if text][:most]


def vote_of(battle: Battle) -> Vote | None:
    return Vote.objects.filter(battle=battle).first()


def _side(replies: list[Reply]) -> Side:
    if not replies:
        return Side("", Reply.Status.FAILED)
    newest = replies[-1]
    return Side(newest.text, newest.status, newest.outcome)


def _texts(replies: QuerySet[Reply]) -> list[str]:
    return [reply.text for reply in replies if reply.text]


def _imported(number: int, turn: dict[str, str]) -> Turn:
    left, right = str(turn.get("left", "")), str(turn.get("right", ""))
    return Turn(
        number=number,
        prompt=str(turn.get("prompt", "")),
        left=Side(left, Reply.Status.FINISHED, "stop"),
        right=Side(right, Reply.Status.FINISHED, "stop"),
        all_texts={"left": [left], "right": [right]},
    )


class Outcome(NamedTuple):
    """What the ratings need to know of one vote."""

    vote_id: int
    left: str
    right: str
    choice: str
    """One of `Vote.Choice`."""
    weight: float
    propensity: float | None
    voter: str
    prompt: str
    """Fingerprint of the first prompt; so is `voter` no name."""
    language: str
    categories: list[str]
    created_at: datetime
    anonymous: bool


def outcomes(votes: QuerySet[Vote] | None = None) -> Iterator[Outcome]:
    """The votes that count, oldest first, in one query and without holding them all in memory."""
    if votes is None:
        votes = Vote.objects.filter(counted=True)
    rows = votes.order_by("created_at", "id").values_list(
        "id",
        "battle__left_name",
        "battle__right_name",
        "choice",
        "weight",
        "battle__propensity",
        "voter_key",
        "battle__prompt_fingerprint",
        "battle__language",
        "battle__categories",
        "created_at",
        "battle__mode",
    )
    return (
        Outcome(*row[:-1], anonymous=row[-1] == Battle.Mode.ANONYMOUS)
        for row in rows.iterator(chunk_size=5000)
    )
