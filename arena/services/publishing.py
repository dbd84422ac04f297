"""Publishing boards that never change, solving them again from the same votes, and hiding chat models."""

import hashlib
import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from django.db import transaction

from arena import ratings
from arena.battle_files.rows import SCORES
from arena.boards import solver_1, solving
from arena.boards.solving import Counter
from arena.errors import InvalidValue
from arena.models import Listing, ListingChange, Snapshot, Vote
from arena.models.leaderboard import EVERYTHING
from arena.ratings.pairs import Outcomes
from arena.selectors import vote_arrays
from arena.services import counting
from chatsite.accounts.models import User

_SOLVED_BY = re.compile(r"solver (\d+) \(")


class Line(NamedTuple):
    """What of a vote a published board rests on."""

    id: int
    left: str
    right: str
    choice: str
    weight: float
    voter: str
    """The same for all votes of one person; "" for nobody known."""
    prompt: str
    """The same for all votes on one first message; "" for none known."""


class Solved(NamedTuple):
    rows: list[dict[str, Any]]
    spread: dict[str, Any]
    """How votes hang together, where the solver allows for it; see `Snapshot.spread`."""


class Verdict(NamedTuple):
    """What `verify` found; `problems` is empty where the board was solved again bit for bit."""

    snapshot: Snapshot
    problems: list[str]


@transaction.atomic
def publish(*, published_by: User | None = None, slice_name: str = EVERYTHING) -> Snapshot:
    """Keep the board of this moment. It is solved from the votes themselves, not from the counters."""
    lines = list(_counted(slice_name))
    if not lines:
        raise InvalidValue("There are no votes to publish a board of.", field="slice")
    solved = SOLVERS[solving.SOLVER](lines)
    snapshot = Snapshot(
        slice=slice_name,
        votes=len(lines),
        vote_ranges=ranges(line.id for line in lines),
        votes_hash=votes_hash(lines),
        code_version=code_version(),
        rows=solved.rows,
        rows_hash=rows_hash(solved.rows),
        spread=solved.spread,
        published_by=published_by,
    )
    snapshot.full_clean()
    snapshot.save()
    return snapshot


def publish_if_changed() -> Snapshot | None:
    """For the schedule: nothing is published while the votes are those of the last board."""
    last = Snapshot.objects.filter(slice=EVERYTHING).first()
    lines = list(_counted(EVERYTHING))
    if not lines or (last is not None and last.votes_hash == votes_hash(lines)):
        return None
    return publish()


def verify(*, snapshot_id: int) -> Verdict:
    """Solve a published board again from the votes it names."""
    snapshot = Snapshot.objects.filter(pk=snapshot_id).first()
    if snapshot is None:
        raise InvalidValue(f"There is no published board {snapshot_id}.", field="id")
    problems = []
    if rows_hash(snapshot.rows) != snapshot.rows_hash:
        problems.append("The stored rows were changed after they were published.")
    lines = list(_of_ranges(snapshot.vote_ranges))
    solver = solver_of(snapshot.code_version)
    if len(lines) != snapshot.votes:
        problems.append(f"Of {snapshot.votes} votes, {len(lines)} are left.")
    if solver not in SOLVERS:
        problems.append(f"It was solved by solver {solver}, which {code_version()} does not have: update.")
    elif votes_hash(lines, solver=solver) != snapshot.votes_hash:
        problems.append("The votes are not the same any more.")
    elif SOLVERS[solver](lines) != (snapshot.rows, snapshot.spread):
        problems.append(f"The board comes out differently with {code_version()}.")
    return Verdict(snapshot, problems)


@transaction.atomic
def change_visibility(
    *, listing: Listing, visibility: str, operator: User | None, reason: str = ""
) -> Listing:
    """Hide a chat model from the board, or show it again, with a line in the public log."""
    if visibility not in Listing.Visibility.values:
        raise InvalidValue(
            f"visibility must be one of {', '.join(Listing.Visibility.values)}.", field="visibility"
        )
    listing.visibility = visibility
    listing.full_clean()
    listing.save()
    ListingChange.objects.create(
        name=listing.name, visibility=visibility, reason=reason[:300], changed_by=operator
    )
    counting.changed()
    return listing


def ranges(ids: Iterable[int]) -> list[list[int]]:
    """Rising ids as [[first, last], …]: a million ids of a site fit into a few lines."""
    found: list[list[int]] = []
    for number in ids:
        if found and number == found[-1][1] + 1:
            found[-1][1] = number
        else:
            found.append([number, number])
    return found


def votes_hash(lines: Iterable[Line], *, solver: int = solving.SOLVER) -> str:
    """SHA-256 over one line per vote, by id: id, left, right, choice, weight, with tabs between them.

    From the third solver on a line goes on with two numbers: which voter and which prompt it is of, counted as they
    come. So the hash holds who voted together, and nothing that names anybody.
    """
    digest = hashlib.sha256()
    voters, prompts = _Numbers(), _Numbers()
    for line in lines:
        text = f"{line.id}\t{line.left}\t{line.right}\t{line.choice}\t{line.weight!r}"
        if solver >= CLUSTERED:
            text += f"\t{voters.of(line.voter)}\t{prompts.of(line.prompt)}"
        digest.update(f"{text}\n".encode())
    return digest.hexdigest()


def rows_hash(rows: list[dict[str, Any]]) -> str:
    return hashlib.sha256(json.dumps(rows, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def code_version() -> str:
    """The version, the number of the solver, and the hash of the very code that solves."""
    try:
        version = metadata.version("chatsite")
    except metadata.PackageNotFoundError:
        version = "source"
    digest = hashlib.sha256()
    for path in [Path(solving.__file__), *sorted(Path(ratings.__file__).parent.glob("*.py"))]:
        digest.update(path.read_bytes())
    return f"chatsite {version}, solver {solving.SOLVER} ({digest.hexdigest()[:12]}), numpy {np.__version__}"


def solver_of(version: str) -> int:
    """The number of the solver in a `code_version`. The first one had none, only a hash."""
    found = _SOLVED_BY.search(version)
    return int(found.group(1)) if found else 1


class _Numbers:
    """Numbers names as they come, from 0; "" is somebody else each time."""

    def __init__(self) -> None:
        self._known: dict[str, int] = {}
        self._next = 0

    def of(self, name: str) -> int:
        if name in self._known:
            return self._known[name]
        number = self._next
        self._next += 1
        if name:
            self._known[name] = number
        return number


def _first(lines: Sequence[Line]) -> Solved:
    return Solved(_rounded(solver_1.standings(_pair_rows(lines))), {})


def _second(lines: Sequence[Line]) -> Solved:
    """Solved otherwise than by the first; votes are independent of each other still."""
    return Solved(_rounded(solving.solve(_pair_rows(lines)).standings), {})


def _third(lines: Sequence[Line]) -> Solved:
    """Like the second, with the intervals, ranks and tiers that allow for votes that hang together."""
    outcomes = _outcomes(lines)
    found = solving.widening(outcomes) if len(outcomes) else solving.Widening({}, (), "")
    spread = {
        "kinds": list(found.kinds),
        "voters": vote_arrays.different(outcomes.voter),
        "prompts": vote_arrays.different(outcomes.prompt),
    }
    return Solved(_rounded(solving.solve(_pair_rows(lines), widened=found.factors).standings), spread)


CLUSTERED = 3
"""The first solver that wants to know who voted and on what."""
SOLVERS: dict[int, Callable[[Sequence[Line]], Solved]] = {1: _first, 2: _second, CLUSTERED: _third}
"""Every solver that a board may have been published with.

The first is kept as a module of its own, since `arena.boards.solving` solves otherwise now. The others share it: a
change there that lets one of them come out differently wants a copy of the old code first, and a test says so.
"""


def _rounded(standings: Iterable[solver_1.Standing | solving.Standing]) -> list[dict[str, Any]]:
    """To a thousandth of a point, which is what one may promise across machines."""
    return [
        {
            "name": standing.name,
            "rank": standing.rank,
            "tier": standing.tier,
            "rating": round(standing.rating, 3),
            "low": round(standing.low, 3),
            "high": round(standing.high, 3),
            "votes": standing.votes,
        }
        for standing in standings
    ]


def _outcomes(lines: Sequence[Line]) -> Outcomes:
    lines = [line for line in lines if line.left != line.right]
    voters, prompts = _Numbers(), _Numbers()
    known = any(line.prompt for line in lines)
    outcomes = Outcomes.of(
        [line.left for line in lines],
        [line.right for line in lines],
        [SCORES[line.choice] for line in lines],
        weight=[line.weight for line in lines],
    )
    return replace(
        outcomes,
        voter=np.array([voters.of(line.voter) for line in lines], dtype=np.int64),
        prompt=np.array([prompts.of(line.prompt) for line in lines], dtype=np.int64) if known else None,
    )


def _pair_rows(lines: Iterable[Line]) -> list[Counter]:
    sums: dict[tuple[str, str], list[float]] = defaultdict(lambda: [0.0] * len(counting.COLUMNS))
    for line in lines:
        for index, value in counting.steps(line.choice, line.weight):
            sums[line.left, line.right][index] += value
    return [
        Counter(left, right, *(int(value) for value in values[:4]), *values[4:])
        for (left, right), values in sorted(sums.items())
    ]


def _counted(slice_name: str) -> Iterator[Line]:
    votes = Vote.objects.filter(counted=True)
    kind, _, value = slice_name.partition(":")
    if kind == "language":
        votes = votes.filter(battle__language=value)
    elif kind == "category":
        # Not every database can look into a JSON list.
        rows = votes.values_list("id", "battle__categories")
        wanted = [number for number, categories in rows if value in categories]
        return _of_ranges(ranges(sorted(wanted)))
    elif slice_name != EVERYTHING:
        raise InvalidValue(f"There is no slice “{slice_name[:80]}”.", field="slice")
    return _lines(votes)


def _of_ranges(wanted: list[list[int]]) -> Iterator[Line]:
    if not wanted:
        return
    votes = Vote.objects.filter(id__gte=wanted[0][0], id__lte=wanted[-1][1])
    remaining = iter(wanted)
    first, last = next(remaining)
    for line in _lines(votes):
        while line.id > last:
            first, last = next(remaining)
        if line.id >= first:
            yield line


def _lines(votes: Any) -> Iterator[Line]:
    wanted = ("battle__left_name", "battle__right_name", "choice", "weight", "voter_key")
    rows = votes.order_by("id").values_list("id", *wanted, "battle__prompt_fingerprint")
    return (Line(*row) for row in rows.iterator(chunk_size=5000))
