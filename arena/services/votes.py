"""Casting votes, and deciding which of them count. A vote is never thrown away: leaving it out can be taken back."""

import uuid
from collections.abc import Iterable
from datetime import timedelta
from typing import Any, NamedTuple

from django.conf import settings
from django.db import transaction
from django.utils import timezone
from django.utils.crypto import salted_hmac
from django.utils.translation import gettext

from arena import identity
from arena.battle_files.rows import SCORES
from arena.errors import AlreadyVoted, BattleUnfinished, InvalidValue
from arena.models import Battle, ModerationCase, Reply, Vote, VoteDecision
from arena.models.battles import SITE
from arena.ratings import categories, outliers
from arena.ratings.pairs import Outcomes
from arena.selectors import battles as selectors
from arena.services import counting, news
from chatsite.accounts.models import User
from chatsite.accounts.services import usage
from chatsite.net import subscriber

REASONS = (
    "correct",
    "useful",
    "complete",
    "clear",
    "creative",
    "incorrect",
    "superficial",
    "off_topic",
    "too_long",
)
WINDOW = timedelta(hours=24)
# From then on the votes on one prompt share what this many weigh: a prompt that everybody copies is not a sample of
# what people ask.
PROMPTS_AT_FULL_WEIGHT = 10


class Verdict(NamedTuple):
    """Whether a vote counts, how much, and the evidence for it."""

    exclusion: str = ""
    evidence: dict[str, Any] = {}
    weight: float = 1.0


@transaction.atomic
def cast_vote(
    *, owner: User, battle_id: uuid.UUID, choice: str, reasons: Iterable[str] = (), address: str = ""
) -> Vote:
    """Record the owner's verdict and open the seal.

    `address` is the voter's, of which only a keyed hash is stored. Raises `AlreadyVoted` for a second one, whatever
    process it comes through, and `BattleUnfinished` while there are no two answers to compare.
    """
    selectors.owned_battle(owner=owner, battle_id=battle_id)
    battle = Battle.objects.select_for_update().get(pk=battle_id)
    if Vote.objects.filter(battle=battle).exists():
        raise AlreadyVoted(gettext("You have voted on this battle. Start a new round for the next one."))
    turns = selectors.turns(battle)
    if not turns or not turns[-1].comparable:
        raise BattleUnfinished(
            gettext("Both answers must be there before you can vote. Wait, or regenerate them.")
        )
    vote = Vote(
        battle=battle,
        voter=owner,
        voter_key=voter_key(owner),
        choice=_choice(choice),
        turn=len(turns),
        reasons=_reasons(reasons),
        address_hash=address_hash(address),
    )
    verdict = judge(vote, turns)
    vote.exclusion, vote.evidence, vote.weight = verdict
    vote.counted = not verdict.exclusion
    vote.save()
    _label(battle, turns)
    if verdict.exclusion:
        _note(vote, note="", operator=None)
    _reveal(battle)
    counting.vote_changed(vote)
    news.announce(owner.pk, battle=str(battle.pk), voted=True)
    return vote


def judge(vote: Vote, turns: list[selectors.Turn]) -> Verdict:
    """The rules, the plainest first. The first that speaks against the vote decides."""
    battle = vote.battle
    if battle.mode != Battle.Mode.ANONYMOUS:
        return Verdict(Vote.Exclusion.NAMED)
    if (cast := _counted_lately(voter=vote.voter)) >= settings.ARENA_VOTES_PER_USER:
        return Verdict(Vote.Exclusion.USER_LIMIT, {"votes_in_24_hours": cast})
    if vote.address_hash:
        cast = _counted_lately(address_hash=vote.address_hash)
        if cast >= settings.ARENA_VOTES_PER_ADDRESS:
            return Verdict(Vote.Exclusion.ADDRESS_LIMIT, {"votes_in_24_hours": cast})
    if earlier := _same_again(vote):
        return Verdict(Vote.Exclusion.REPEATED, {"battle": str(earlier.battle_id)})
    if ModerationCase.objects.filter(battle=battle, severe=True).exclude(status="dismissed").exists():
        return Verdict(Vote.Exclusion.MODERATION)
    if named := identity.find(answers(turns), (battle.left_name, battle.right_name)):
        return Verdict(Vote.Exclusion.IDENTITY, dict(identity.as_evidence(named)))
    return Verdict(weight=_weight(battle))


def answers(turns: list[selectors.Turn]) -> Iterable[tuple[str, int, str]]:
    """Every answer that was shown, earlier versions included, as `identity.find` takes them."""
    for turn in turns:
        for side in ("left", "right"):
            for text in turn.all_texts[side]:
                yield side, turn.number, text


@transaction.atomic
def leave_out(
    *,
    vote: Vote,
    exclusion: str,
    operator: User | None,
    note: str = "",
    evidence: dict[str, Any] | None = None,
) -> Vote:
    """Take a vote out of the ratings, with a reason. `operator` None: a rule did it."""
    vote = Vote.objects.select_for_update().select_related("battle").get(pk=vote.pk)
    if vote.counted:
        vote.counted, vote.exclusion, vote.evidence = False, exclusion, evidence or {}
        vote.save(update_fields=["counted", "exclusion", "evidence"])
        _note(vote, note=note, operator=operator)
        counting.vote_changed(vote)
    return vote


@transaction.atomic
def let_in(*, vote: Vote, operator: User | None, note: str = "") -> Vote:
    """Count a vote that was left out. One on a named comparison cannot be: it would be a vote on a name."""
    vote = Vote.objects.select_for_update().select_related("battle").get(pk=vote.pk)
    if vote.battle.mode != Battle.Mode.ANONYMOUS:
        raise InvalidValue(gettext("The chat models were named from the start, so this vote cannot count."))
    if not vote.counted:
        vote.counted, vote.exclusion = True, ""
        vote.save(update_fields=["counted", "exclusion"])
        _note(vote, note=note, operator=operator)
        counting.vote_changed(vote)
    return vote


def exclude_outliers() -> int:
    """Leave out the votes of people whose verdicts contradict everybody else's more than chance allows.

    The sequential test of `arena.ratings.outliers`, whose evidence is kept with each vote. Imported votes take part in
    the comparison but stay as they were imported. Returns how many votes it left out.
    """
    cast = list(selectors.outcomes())
    if not cast:
        return 0
    # Whoever is not known is somebody else each time.
    keys = [outcome.voter or f"unknown {outcome.vote_id}" for outcome in cast]
    outcomes = Outcomes.of(
        [outcome.left for outcome in cast],
        [outcome.right for outcome in cast],
        [SCORES[outcome.choice] for outcome in cast],
        voter=keys,
    )
    numbered = sorted(set(keys))  # as `Outcomes` numbers them
    flagged = {numbered[found.voter]: found for found in outliers.judge_voters(outcomes) if found.flagged}
    votes = Vote.objects.filter(counted=True, voter_key__in=flagged, battle__source=SITE)
    for vote in votes:
        found = flagged[vote.voter_key]
        evidence = {"e_value": found.evidence, "votes": found.votes, "at_vote": found.at_vote}
        leave_out(vote=vote, exclusion=Vote.Exclusion.OUTLIER, operator=None, evidence=evidence)
    return len(votes)


def voter_key(user: User) -> str:
    """The same for all of a person's votes; without the site's secret key it leads to nobody."""
    return salted_hmac("arena.voter", str(user.pk), algorithm="sha256").hexdigest()[:32]


def address_hash(address: str) -> str:
    """Of an IPv6 address only the network that one subscriber is given counts. "" stays ""."""
    if not address:
        return ""
    return salted_hmac("arena.address", subscriber(address), algorithm="sha256").hexdigest()


def _choice(choice: str) -> str:
    if choice not in Vote.Choice.values:
        raise InvalidValue(f"choice must be one of {', '.join(Vote.Choice.values)}.", field="choice")
    return choice


def _reasons(reasons: Iterable[str]) -> list[str]:
    wanted = list(dict.fromkeys(reasons))
    if unknown := [reason for reason in wanted if reason not in REASONS]:
        raise InvalidValue(
            f"“{unknown[0][:50]}” is no reason. Take of {', '.join(REASONS)}.", field="reasons"
        )
    return wanted


def _counted_lately(**whose: object) -> int:
    return Vote.objects.filter(counted=True, created_at__gte=timezone.now() - WINDOW, **whose).count()


def _same_again(vote: Vote) -> Vote | None:
    """An earlier vote of the person on the same first prompt and the same two chat models, on whichever sides."""
    battle = vote.battle
    names = (battle.left_name, battle.right_name)
    earlier = Vote.objects.filter(
        voter=vote.voter,
        counted=True,
        battle__prompt_fingerprint=battle.prompt_fingerprint,
        battle__left_name__in=names,
        battle__right_name__in=names,
    )
    return earlier.exclude(battle__prompt_fingerprint="").first()


def _weight(battle: Battle) -> float:
    if not battle.prompt_fingerprint:
        return 1.0
    earlier = Vote.objects.filter(counted=True, battle__prompt_fingerprint=battle.prompt_fingerprint).count()
    return min(1.0, PROMPTS_AT_FULL_WEIGHT / (earlier + 1))


def _label(battle: Battle, turns: list[selectors.Turn]) -> None:
    """Language and categories, by the rules that imported battles are labelled with. For the counters' slices."""
    labels = categories.label(
        [categories.Turn(turn.prompt, turn.left.text, turn.right.text) for turn in turns]
    )
    battle.language, battle.categories = labels.language, list(labels.categories)
    battle.save(update_fields=["language", "categories"])


def _reveal(battle: Battle) -> None:
    if battle.revealed_at is None:
        battle.revealed_at = timezone.now()
        battle.save(update_fields=["revealed_at"])
    for name in {battle.left_name, battle.right_name}:
        replies = Reply.objects.filter(message__conversation__battle=battle, chat_model_name=name)
        ids = [reply_id.hex for reply_id in replies.values_list("id", flat=True)]
        usage.disclose(request_ids=ids, chat_model=name)


def _note(vote: Vote, *, note: str, operator: User | None) -> None:
    VoteDecision.objects.create(
        vote=vote,
        counted=vote.counted,
        exclusion=vote.exclusion,
        evidence=vote.evidence if not vote.counted else {},
        note=note[:500],
        decided_by=operator,
    )
