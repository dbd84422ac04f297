"""Votes from elsewhere become battles and votes of this site, in bulk. A second import of a file adds nothing."""

from collections.abc import Iterable, Iterator
from datetime import datetime
from itertools import islice
from typing import NamedTuple

from django.db import transaction
from django.utils import timezone

from arena.errors import InvalidValue
from arena.models import Battle, BattleStyle, Listing, Vote
from arena.models.battles import SITE, fingerprint
from arena.ratings import categories
from arena.services import counting
from arena.vote_files import FileVote

BATCH = 5000


class Result(NamedTuple):
    added: int
    present: int
    """Were there already, by source and id."""


def import_votes(*, votes: Iterable[FileVote], source: str, dry_run: bool = False) -> Result:
    """Add what is not there yet, in batches, and count all votes anew once at the end.

    Votes without a time get that of the import. With `dry_run` nothing is written.
    """
    if not source or source == SITE or len(source) > 100:
        raise InvalidValue(
            "Give the source a name of up to 100 characters, other than “site”.", field="source"
        )
    now = timezone.now()
    added = present = 0
    remaining = iter(votes)
    while batch := list(islice(remaining, BATCH)):
        new = _unknown(batch, source)
        present += len(batch) - len(new)
        added += len(new)
        if not dry_run:
            _write(new, source, now)
    if added and not dry_run:
        counting.rebuild()
    return Result(added, present)


def list_organisations(*, rows: Iterable[tuple[str, str]]) -> int:
    """Write (name, organisation) to the leaderboard's entries; what an operator wrote stays. How many are new."""
    known = set(Listing.objects.values_list("name", flat=True))
    new = [Listing(name=name, organisation=org) for name, org in rows if name and name not in known]
    Listing.objects.bulk_create(new, ignore_conflicts=True)
    return len(new)


def _unknown(batch: list[FileVote], source: str) -> list[FileVote]:
    ids = [vote.external_id for vote in batch]
    known: set[str] = set()
    for part in _parts(ids, 500):  # a database takes so many values in one statement
        rows = Battle.objects.filter(source=source, external_id__in=part)
        known.update(rows.values_list("external_id", flat=True))
    return [vote for vote in batch if vote.external_id not in known]


@transaction.atomic
def _write(votes: list[FileVote], source: str, now: datetime) -> None:
    battles = [_battle(vote, source, now) for vote in votes]
    Battle.objects.bulk_create(battles)
    Vote.objects.bulk_create(_vote(battle, vote, source) for battle, vote in zip(battles, votes, strict=True))
    BattleStyle.objects.bulk_create(style for battle in battles if (style := _style(battle)))


def _style(battle: Battle) -> BattleStyle | None:
    left, right = ("\n\n".join(str(turn[side]) for turn in battle.turns) for side in ("left", "right"))
    return counting.style_of(battle, left, right) if left or right else None


def _battle(vote: FileVote, source: str, now: datetime) -> Battle:
    moment = vote.created_at or now
    found = categories.label([categories.Turn(*turn) for turn in vote.turns]) if vote.turns else None
    labels = [*vote.categories, *(found.categories if found else ())]
    return Battle(
        left_name=vote.left,
        right_name=vote.right,
        revealed_at=moment,
        prompt_fingerprint=fingerprint(vote.prompt) if vote.prompt else "",
        language=(vote.language or (found.language if found else ""))[:16],
        categories=list(dict.fromkeys(labels)),
        source=source,
        external_id=vote.external_id,
        turns=[turn._asdict() for turn in vote.turns],
        created_at=moment,
    )


def _vote(battle: Battle, vote: FileVote, source: str) -> Vote:
    return Vote(
        battle=battle,
        voter_key=f"{source}:{vote.voter}"[:100] if vote.voter else "",
        choice=vote.choice,
        turn=max(1, len(vote.turns)),
        created_at=battle.created_at,
    )


def _parts(values: list[str], size: int) -> Iterator[list[str]]:
    for start in range(0, len(values), size):
        yield values[start : start + size]
