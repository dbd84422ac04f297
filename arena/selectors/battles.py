"""Reading battles and votes."""

from collections.abc import Iterator
from datetime import datetime
from typing import NamedTuple

from django.db.models import QuerySet

from arena.models import Vote


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
    )
    return (Outcome(*row) for row in rows.iterator(chunk_size=5000))
