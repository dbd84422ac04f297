"""Where a vote meets the leaderboard's counters."""

from arena.models import Vote


def vote_changed(vote: Vote) -> None:
    """Called inside the transaction that cast `vote`, left it out, or let it in again; after it was saved."""
