"""Votes from elsewhere become battles and votes of this site, in bulk. A second import of a file adds nothing."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from itertools import islice
from typing import NamedTuple

from django.db import transaction
from django.utils import timezone

from arena.battle_files.rows import BattleRow
from arena.errors import InvalidValue
from arena.models import Battle, BattleStyle, Listing, Vote
from arena.models.battles import SITE, fingerprint
from arena.ratings import categories
from arena.services import counting

BATCH = 500
"""Votes written in one transaction: a fraction of a second."""
LONGEST_CATEGORY = 60
LONGEST_ID = 190


class Result(NamedTuple):
    added: int
    present: int
    """Were there already, by source and id."""


def import_votes(*, votes: Iterable[BattleRow], source: str, dry_run: bool = False) -> Result:
    """Add what is not there yet, in batches that are in the leaderboard's counters as they are written.

    An import that was killed has added whole batches; the next one of the same file adds the rest. Votes without a time
    get that of the import; votes cast with the names in view are kept and do not count. With `dry_run` nothing is
    written.
    """
    if not source or source == SITE or len(source) > 100:
        raise InvalidValue(
            "Give the source a name of up to 100 characters, other than “site”.", field="source"
        )
    now = timezone.now()
    added = present = 0
    remaining = _named(votes)
    while batch := list(islice(remaining, BATCH)):
        new = _unknown(batch, source)
        present += len(batch) - len(new)
        added += len(new)
        if not dry_run:
            _write(new, source, now)
            counting.let_others_write()
    return Result(added, present)


def list_organisations(*, rows: Iterable[tuple[str, str]]) -> int:
    """Write (name, organisation) to the leaderboard's entries; what an operator wrote stays. How many are new."""
    known = set(Listing.objects.values_list("name", flat=True))
    new = [Listing(name=name, organisation=org) for name, org in rows if name and name not in known]
    Listing.objects.bulk_create(new, ignore_conflicts=True)
    return len(new)


def _named(votes: Iterable[BattleRow]) -> Iterator[BattleRow]:
    """With ids that are unique within the file, and the same whenever it is read."""
    seen: Counter[str] = Counter()
    for vote in votes:
        name = vote.external_id or "/".join((vote.left, vote.right, vote.winner, vote.voter))
        name = name[:LONGEST_ID]
        seen[name] += 1
        # People may say the same thing twice; the second one's id says that it is the second.
        yield replace(vote, external_id=f"{name}#{seen[name]}" if seen[name] > 1 else name)


def _unknown(batch: list[BattleRow], source: str) -> list[BattleRow]:
    ids = [vote.external_id for vote in batch]
    known: set[str] = set()
    for part in _parts(ids, 500):  # a database takes so many values in one statement
        rows = Battle.objects.filter(source=source, external_id__in=part)
        known.update(rows.values_list("external_id", flat=True))
    return [vote for vote in batch if vote.external_id not in known]


def _write(votes: list[BattleRow], source: str, now: datetime) -> None:
    battles = [_battle(vote, source, now) for vote in votes]
    both = list(zip(battles, votes, strict=True))
    cast = [_vote(battle, vote, source) for battle, vote in both]
    styles = [counting.styled(battle, *vote.style) for battle, vote in both if vote.style is not None]
    # Labels and styles take seconds, in which a site on SQLite could write nothing.
    with transaction.atomic():
        Battle.objects.bulk_create(battles)
        Vote.objects.bulk_create(cast)
        BattleStyle.objects.bulk_create(styles)
        counting.enter(cast)


def _battle(vote: BattleRow, source: str, now: datetime) -> Battle:
    moment = datetime.fromtimestamp(vote.when, UTC) if vote.when is not None else now
    found = categories.label(vote.turns) if vote.turns else None
    labels = [*vote.categories, *(found.categories if found else ())]
    prompt = vote.turns[0].prompt if vote.turns else vote.prompt
    return Battle(
        mode=Battle.Mode.ANONYMOUS if vote.anonymous else Battle.Mode.SIDE_BY_SIDE,
        left_name=vote.left,
        right_name=vote.right,
        revealed_at=moment,
        prompt_fingerprint=fingerprint(prompt) if prompt else "",
        language=(vote.language or (found.language if found else ""))[:16],
        categories=list(dict.fromkeys(label[:LONGEST_CATEGORY] for label in labels)),
        source=source,
        external_id=vote.external_id,
        turns=[turn._asdict() for turn in vote.turns],
        created_at=moment,
    )


def _vote(battle: Battle, vote: BattleRow, source: str) -> Vote:
    return Vote(
        battle=battle,
        voter_key=f"{source}:{vote.voter}"[:100] if vote.voter else "",
        choice=vote.winner,
        turn=max(1, len(vote.turns)),
        weight=vote.weight,
        counted=vote.anonymous,
        entered=vote.anonymous,
        exclusion="" if vote.anonymous else Vote.Exclusion.NAMED,
        created_at=battle.created_at,
    )


def _parts(values: list[str], size: int) -> Iterator[list[str]]:
    for start in range(0, len(values), size):
        yield values[start : start + size]
